import dataclasses

import pytest

from fastrl import presets
from fastrl.cli import explain
from fastrl.cli import main as cli
from fastrl.config import RunOptions
from fastrl.methods import ALGORITHMS


def explained(capsys, *words):
    with pytest.raises(SystemExit) as caught:
        cli.main(list(words))
    assert caught.value.code == 0
    return capsys.readouterr().out


def row(text, recipe):
    """The cells of a recipe's first line, by two spaces or more."""
    line = next(line for line in text.split("default\n", 1)[1].splitlines() if line.startswith(recipe))
    return [cell.strip() for cell in line.split("  ") if cell.strip()]


def test_an_option_in_full(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    text = explained(capsys, "run", "--explain", "utd")
    assert text.startswith("--utd\n  critic updates per environment step")
    facts = dict(line.strip().split("  ", 1) for line in text.split("\n\n")[1].splitlines())
    facts = {name: fact.strip() for name, fact in facts.items()}
    assert facts["type"] == "a whole number; above 0" and "replay_ratio" in facts["elsewhere"]
    assert facts["in papers"].startswith("M (WSRL") and facts["methods"] == "every method but ppo, o2ppo and odt"
    assert facts["in a sweep"] == "one run after another" and "must be the same" in facts["at a resume"]
    assert row(text, "wsrl") == ["wsrl, jsrl, so2", "every preset", "pretrain 1, finetune 4"]
    assert row(text, "rlpd") == ["rlpd, sac", "every preset", "4"]


def test_a_recipe_and_an_environment_narrow_it(capsys):
    text = explained(capsys, "run", "wsrl", "--explain=--gap", "--env", "antmaze-umaze")
    assert "phases        pretrain (calql)" in text and row(text, "wsrl") == ["wsrl", "antmaze", "0.8"]
    text = explained(capsys, "run", "wsrl", "--explain", "--steps")
    pointmaze = presets.DOMAINS["pointmaze"].run["steps"]
    assert f"pointmaze                 {pointmaze}" in text and row(text, "wsrl")[-1] == "500000"
    assert "sac has no use for it" in explained(capsys, "run", "sac", "--explain", "pretrain_steps")
    text = explained(capsys, "pretrain", "iql", "--explain", "expectile")
    assert row(text, "iql")[-1] == "0.7" and "antmaze              0.9" in text


def test_an_option_of_ones_own_is_not_that_of_another_algorithm(capsys, monkeypatch, tmp_path, mine):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("fastrl.cli.train.prepare", lambda *given: None)
    (tmp_path / "mine.py").write_text(mine)
    text = explained(capsys, "run", "mine.py:recipe", "--explain", "tau", "--env", "pointmaze-umaze")
    assert text.startswith("--tau\n  a temperature\n") and "polyak" not in text and "REDQ" not in text
    assert "methods       mine.py:Mine\n" in text and "by the recipe itself: --tau is refused" in text
    assert row(text, "mine.py")[-1] == "0.7"
    text = explained(capsys, "run", "mine.py:recipe", "--explain", "noise", "--env", "pointmaze-umaze")
    assert text.startswith("--noise\n  std of the noise\n") and row(text, "mine.py")[-1] == "0.5"
    assert "--finetune.noise" not in text
    assert "has no use for it" in explained(capsys, "run", "mine.py:recipe", "--explain", "actor_lr")
    text = explained(capsys, "pretrain", "mine.py:Mine", "--explain", "tau", "--env", "pointmaze-umaze")
    assert text.startswith("--tau\n  a temperature\n") and row(text, "mine.py")[-1] == "0.02"  # the preset's


def test_other_words_and_slips(capsys):
    assert explained(capsys, "run", "--explain", "gamma").startswith("--discount\n")
    assert explained(capsys, "run", "--explain", "finetune.utd").startswith("--utd\n")
    assert "DIR:2 is its seed 2" in explained(capsys, "run", "--explain", "from")
    for word, hint in (
        ("uttd", "--utd"),
        ("learning-rate", "--actor-lr or --critic-lr"),
        ("evalevery", "--eval-every"),
    ):
        assert cli.main(["run", "wsrl", "--explain", word]) == 2
        assert f"unknown option --{word}; did you mean {hint}?" in capsys.readouterr().err


def test_pages_are_as_wide_as_the_terminal(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    fields = [field.name for kind in (RunOptions, *ALGORITHMS.values()) for field in dataclasses.fields(kind)]
    for name in list(dict.fromkeys(fields))[::3]:
        text = explained(capsys, "run", "o2sac", "--explain", name)
        assert max(map(len, text.splitlines())) <= 80 and "\n  type " in text, name


@pytest.mark.parametrize("recipe", ["wsrl"])
def test_what_may_change_at_a_resume_is_not_in_the_identity(identity_of, recipe):
    others = {
        "chunk": 5,
        "checkpoint_minutes": 1.0,
        "hang_minutes": 9.0,
        "on_nan": "stop",
        "log": ("none",),
        "devices": "1",
        "devices_per_seed": 1,
    }
    assert set(others) == set(explain.FREE)
    plain = identity_of(recipe)
    for name, value in others.items():
        assert identity_of(recipe, **{name: value}) == plain, name
    kept = {"seed": 1, "steps": 50, "eval_every": 9, "utd": 3, "initialise": "actor", "reset_optimizers": True}
    for name, value in (kept | {"freeze_actor": 5, "warmup_by": "uniform", "online": "calql"}).items():
        assert identity_of(recipe, **{name: value}) != plain, name
