import json
import subprocess
import sys

import pytest

from fastrl.cli import main as cli
from fastrl.collect import references as measuring
from fastrl.data import references


@pytest.fixture(autouse=True)
def in_process(monkeypatch, tmp_path):
    monkeypatch.setattr(cli, "prepare", lambda: None)
    monkeypatch.chdir(tmp_path)


def test_every_task_has_a_line_with_both_references(capsys):
    assert cli.main(["scores"]) == 0
    out = capsys.readouterr().out
    assert all(f"\n{name}  " in out for name in references.table())
    (hopper,) = (line for line in out.splitlines() if line.startswith("hopper "))
    assert "-20.3" in hopper and "3,234.3" in hopper and hopper.endswith("D4RL score")
    assert "Not comparable with D4RL: PointMaze" in out


def test_one_task_in_full_and_as_json(capsys):
    assert cli.main(["scores", "walker2d"]) == 0
    out = capsys.readouterr().out
    assert "normalised score: v5's right foot" in out and "behaviours/walker2d.npz" in out and "commit" in out
    assert cli.main(["scores", "antmaze-umaze-diverse", "--json"]) == 0
    row = json.loads(capsys.readouterr().out)
    assert row["env"] == "antmaze-umaze" and row["d4rl"] == [0.0, 1.0] and row["reports"] == "D4RL score"


def test_a_maze_that_was_not_measured_has_d4rls_references(capsys):
    assert cli.main(["scores", "antmaze-ultra-diverse"]) == 0
    assert "D4RL's      0.000 and 1.000" in capsys.readouterr().out
    assert cli.main(["scores", "antmaze-ultra-diverse", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["d4rl"] == [0.0, 1.0]


def test_measuring_shows_the_new_number_beside_the_packages(capsys, monkeypatch):
    known = references.table()["pointmaze-large"]
    monkeypatch.setattr(measuring, "measure", lambda name, episodes: known)
    assert cli.main(["scores", "pointmaze-large", "--measure", "--episodes", "7"]) == 0
    out, error = capsys.readouterr()
    assert (
        "pointmaze-large expert: 1.000 [0.996, 1.000] now, 1.000 [" in out and "measuring pointmaze-large: 7" in error
    )
    assert cli.main(["scores", "pointmaze-large", "--measure", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["expert"]["mean"] == 1.0


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (["hoper"], "unknown task with reference scores 'hoper'; did you mean 'hopper'"),
        (["hopper", "--episodes", "5"], "add --measure or leave it out"),
        (["hopper", "--measure", "--episodes", "1"], "--episodes must be at least 2, not 1"),
    ],
)
def test_bad_words_are_one_line(capsys, words, match):
    assert cli.main(["scores", *words]) == 2
    out, error = capsys.readouterr()
    assert out == "" and len(error.splitlines()) == 1 and match in error


def test_showing_starts_no_simulator():
    code = (
        "import sys; from fastrl.cli import main; main.main(['scores']);"
        "sys.exit(any(m.split('.')[0] in ('mujoco', 'gymnasium', 'orbax', 'scipy') for m in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0
