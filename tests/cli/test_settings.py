import json
from pathlib import Path

import h5py
import pytest

from fastrl.cli import main as cli
from fastrl.methods import CQL, SAC

pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture(autouse=True)
def in_an_empty_folder(monkeypatch, tmp_path):
    monkeypatch.setattr("fastrl.cli.train.prepare", lambda *given: None)
    monkeypatch.chdir(tmp_path)


def printed(capsys, *words):
    """What --print-config prints, and the values of its options."""
    assert cli.main([*words, "--print-config"]) == 0
    content = json.loads(capsys.readouterr().out)
    return content, {name: entry["value"] for name, entry in content["options"].items()}


def origin(content, option):
    return content["options"][option]["from"]


WSRL = ("run", "wsrl", "--env", "pointmaze-umaze")


def test_every_option_has_its_value_and_says_where_it_is_from(capsys):
    content, values = printed(capsys, *WSRL, "--utd", "2", "--finetune.tau", "0.01", "--seeds", "3")
    assert (content["command"], content["recipe"], content["env"]) == ("run", "wsrl", "pointmaze-umaze")
    assert content["out"] == "runs/wsrl-pointmaze-umaze" and list(Path().iterdir()) == []
    expected = {
        "utd": (2, "command line"),
        "seeds": (3, "command line"),
        "finetune.tau": (0.01, "command line"),
        "pretrain.tau": (0.02, "preset pointmaze"),
        "steps": (4_000, "preset pointmaze"),
        "pretrainer": ("calql", "paper"),
        "capacity": (4_000, "other options"),
        "cql_actions": (4, "preset pointmaze"),
        "pretrain.backup": (CQL().backup, "default"),
        "finetune.backup": (SAC().backup, "default"),
        "weight_decay": (0.0, "default"),
    }
    assert {name: (values[name], origin(content, name)) for name in expected} == expected
    assert "align" not in values and "expectile" not in values  # of other recipes
    content, values = printed(capsys, "run", "o2sac", "--env", "hopper")
    assert origin(content, "align_steps") == "recipe o2sac" and origin(content, "warmup") == "recipe o2sac"
    assert (values["pretrain.alpha" if "pretrain.alpha" in values else "alpha"]) == 10.0


def test_what_is_printed_can_be_read_back_and_the_command_line_wins(capsys):
    words = (
        *WSRL,
        "--utd",
        "2",
        "--finetune.tau",
        "0.01",
        "--env-option",
        "horizon=50",
        "--sweep",
        "actor_lr=1e-4,1e-3",
    )
    content, values = printed(capsys, *words, "--actor-hidden", "32,16", "--grad-clip", "0.5")
    assert "actor_lr" not in values and content["sweep"] == ["actor_lr=1e-4,1e-3"]
    Path("a.json").write_text(json.dumps(content))
    again, same = printed(capsys, "run", "--config", "a.json")
    assert same == values and {name: again[name] for name in content if name != "options"} == {
        name: content[name] for name in content if name != "options"
    }
    assert origin(again, "utd") == "config a.json" and origin(again, "weight_decay") == "default"
    changed = {"utd": 5, "seeds": 2, "finetune.tau": 0.5}
    given = ("--utd", "5", "--seeds", "2", "--finetune.tau", "0.5")
    assert printed(capsys, "run", "--config", "a.json", *given)[1] == values | changed
    assert (
        printed(capsys, "run", "wsrl", "--config", "a.json", "--env", "pointmaze-medium")[0]["env"]
        == "pointmaze-medium"
    )


MINE = """
import fastrl

def recipe(builder):
    return [builder.online(fastrl.SAC(batch_size=64), warmup=100)]  # a list in a list, as online phases are two
"""


def test_a_length_that_fits_the_batches_of_the_file_alone_is_read_back(capsys):
    """400 steps are fewer than the preset's first update needs."""
    content, values = printed(capsys, *WSRL, *["--batch-size", "16", "--utd", "2", "--steps", "400", "--warmup", "32"])
    Path("short.json").write_text(json.dumps(content))
    _, same = printed(capsys, "run", "--config", "short.json")
    assert same == values


def test_what_the_run_would_refuse_is_not_printed(capsys):
    Path("mine.py").write_text(MINE)
    task = ("--env", "pointmaze-umaze", "--print-config")
    for words, match in (
        (("run", "sac", *task, "--expectile", "0.9"), "no phase of sac has --expectile"),
        (("run", "mine.py:recipe", *task, "--batch-size", "32"), "batch_size belongs to the algorithm; write it into"),
    ):
        assert cli.main(list(words)) == 2
        out, error = capsys.readouterr()
        assert out == "" and match in error and len(error.splitlines()) == 1
    assert cli.main(["run", "mine.py:recipe", *task]) == 0
    assert json.loads(capsys.readouterr().out)["options"]["batch_size"]["value"] == 64


def test_what_is_printed_of_an_algorithm_of_ones_own_can_be_read_back(capsys, mine):
    Path("mine.py").write_text(mine)
    words = ("finetune", "--algorithm", "mine.py:Mine")
    content, values = printed(capsys, *words, "--env", "pointmaze-umaze", "--noise", "0.1")
    assert values["noise"] == 0.1 and origin(content, "noise") == "command line" and "noise" not in content
    Path("a.json").write_text(json.dumps(content))
    assert printed(capsys, *words, "--config", "a.json")[1] == values
    assert cli.main(["finetune", "--config", "a.json"]) == 2
    assert "name mine.py:Mine on the command line too" in capsys.readouterr().err
    content, values = printed(capsys, "run", "mine.py:recipe", "--env", "pointmaze-umaze")
    Path("b.json").write_text(json.dumps(content))
    assert "noise" not in values and printed(capsys, "run", "--config", "b.json")[1] == values


def test_other_commands(capsys, probe_data):
    data = probe_data()
    with h5py.File("d.hdf5", "w") as file:
        file["observations"], file["actions"], file["rewards"] = data.obs, data.action, data.reward
        file["terminals"], file["timeouts"] = data.mask == 0, data.boundary
    task = ("--env", "probe-truncation", "--dataset", "d.hdf5", "--steps", "20")
    words = ("pretrain", "iql", *task, "--expectile", "0.6")
    content, values = printed(capsys, *words)
    assert values["expectile"] == 0.6 and values["steps"] == 20 and "pretrain_steps" not in values
    Path("p.json").write_text(json.dumps(content))
    assert printed(capsys, "pretrain", "--config", "p.json")[1] == values
    assert printed(capsys, "pretrain", "--config", "p.json", "--expectile", "0.7")[1] == values | {"expectile": 0.7}
    values = printed(capsys, "finetune", "td3", "--env", "pointmaze-umaze", "--policy-delay", "3")[1]
    assert values["policy_delay"] == 3 and values["warmup"] == 1_000


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ("{", "--config c.json cannot be read"),
        ("[1]", "--config c.json is no configuration"),
        ({"command": "pretrain"}, "c.json is of fastrl pretrain; write fastrl pretrain --config c.json"),
        ({"envv": "hopper"}, "unknown key 'envv'; did you mean 'env'?"),
        ({"env": 3}, "c.json: env is 3, it must be a word"),
        ({"options": {"utdd": 3}}, "unknown option 'utdd'; did you mean 'utd'?"),
        ({"options": {"utd": "many"}}, "c.json: utd: 'many' is not a whole number"),
        ({"options": {"expectile": 0.5}}, "no phase of sac has --expectile"),
        ({"options": {"finetune.utd": 0}}, "--utd must be above 0"),
    ],
)
def test_a_bad_file_is_one_line(capsys, content, match):
    if isinstance(content, dict):
        content = json.dumps({"recipe": "sac", "env": "pointmaze-umaze"} | content)
    Path("c.json").write_text(content)
    assert cli.main(["run", "--config", "c.json", "--dry-run"]) == 2
    out, error = capsys.readouterr()
    assert out == "" and len(error.splitlines()) == 1 and match in error
    assert [path.name for path in Path().iterdir()] == ["c.json"]
