import importlib.util

import pytest

from fastrl.cli import train
from fastrl.errors import UserError
from fastrl.loggers import names

OWN = """
class Mine:
    def start(self, about): ...
    def log(self, number, row): ...
    def finish(self, summary, complete): ...
class Half:
    def start(self, about): ...
"""


def test_names_with_commas_a_sequence_and_none():
    assert [named.name for named in names.find("tensorboard, wandb")] == ["tensorboard", "wandb"]
    assert [named.name for named in names.find(("trackio", "trackio"))] == ["trackio"]
    assert names.find("none") == names.find(()) == ()
    found = names.find("wandb,trackio")
    assert [type(named.make()).__name__ for named in found] == ["WeightsAndBiases", "Trackio"]


@pytest.mark.parametrize(
    ("asked", "line"),
    [
        ("wandbb", "unknown logger 'wandbb'; did you mean 'wandb'"),
        ("none,wandb", "none switches all loggers off"),
        ("nowhere.py:Mine", "there is no file nowhere.py"),
    ],
)
def test_what_names_no_logger_is_refused_in_one_line(asked, line):
    with pytest.raises(UserError, match=line):
        names.find(asked)


def test_a_missing_package_is_one_line_that_says_which_extra(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"--log trackio: trackio is not installed; pip install 'fastrl\[trackio\]'"):
        names.find("trackio")


def test_a_logger_of_the_users_own_by_file_as_a_class_or_as_an_object(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(OWN)
    (named,) = names.find(f"{path}:Mine")
    assert type(named.make()).__name__ == "Mine"
    mine = named.make()
    assert names.find([mine])[0].make() is mine
    with pytest.raises(UserError, match="this one has no log"):
        names.find(f"{path}:Half")


def test_the_command_line_has_the_option():
    _, _, arguments = train.asked(["wsrl", "--env", "hopper", "--log", "tensorboard,wandb"])
    assert arguments["log"] == ("tensorboard", "wandb")
