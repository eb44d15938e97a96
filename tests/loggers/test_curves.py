import json
from pathlib import Path

import pytest

from fastrl.loggers import curves, logger
from fastrl.loggers.logger import About


def about(**config):
    return About(Path("runs/one"), config, ("pretrain",), pytest.fail)


def row(phase="finetune", kind="train", online=30, **values):
    return {"kind": kind, "phase": phase, "step": 5, "online": online, "offline": 20, **values}


def test_a_training_row_is_the_mean_and_the_seeds_over_environment_steps():
    found = row(**{"critic/loss": [1.0, None, 4.0]})
    assert curves.axis(about(), found) == ("environment_steps", 30)
    assert curves.curves(about(), found) == {
        "train/critic/loss": 2.5,
        "seed/0/train/critic/loss": 1.0,
        "seed/2/train/critic/loss": 4.0,
    }


def test_an_evaluation_is_the_iqm_with_an_interval_around_it():
    values = [0.0, 10.0, 20.0, 90.0]
    found = curves.curves(about(first_seed=8), row(kind="eval", **{"return": values, "eval_steps": 40}))
    assert found["eval/return"] == 15.0  # a quarter left out at each end
    assert 0.0 <= found["eval/return_low"] < 15.0 < found["eval/return_high"] <= 90.0
    assert [found[f"seed/{n}/eval/return"] for n in range(8, 12)] == values and found["eval/eval_steps"] == 40
    assert len(found) == 8


def test_an_offline_phase_has_its_name_in_front_and_gradient_steps_below():
    found = row(phase="pretrain", kind="eval", online=0, **{"return": [3.0]})
    assert curves.axis(about(), found) == ("gradient_steps", 20)
    assert curves.curves(about(), found) == {"pretrain/eval/return": 3.0, "pretrain/seed/0/eval/return": 3.0}
    assert curves.globs(about())["pretrain/*"] == "gradient_steps"
    assert curves.globs(about())["eval/*"] == "environment_steps"


def test_the_points_of_a_sweep_are_curves_of_their_own():
    swept = about(point={"0": {"actor_lr": 0.1}, "1": {"actor_lr": 0.2}})
    found = curves.curves(swept, row(loss=[1.0, 3.0, 5.0, 9.0]))
    assert found["point/0/train/loss"] == 2.0 and found["point/1/train/loss"] == 7.0
    assert found["point/1/seed/0/train/loss"] == 5.0 and len(found) == 6


def test_what_config_json_says_are_columns_and_points_have_numbers(tmp_path):
    phases = [{"name": "pretrain", "online": False, "steps": 5, "algorithm": {"algorithm": "iql", "actor_lr": 0.1}}]
    identity = {"seeds": 2, "dataset": {"rows": 9, "sha256": "ab"}, "points": [{"tau": 0.1}, {"tau": 0.2}]}
    content = {
        "recipe": "iql",
        "env": "maze",
        "dataset": "a.hdf5",
        "seeds": 4,
        "identity": identity | {"phases": phases},
    }
    (tmp_path / "config.json").write_text(json.dumps(content))
    found = logger.about(tmp_path, pytest.fail)
    assert found.offline == ("pretrain",) and found.group == "iql-maze" and found.tags == ["iql", "maze"]
    assert found.config["pretrain"] == {"online": False, "steps": 5, "algorithm": "iql", "actor_lr": 0.1}
    assert found.config["point"] == {"0": {"tau": 0.1}, "1": {"tau": 0.2}}
    assert (found.config["dataset"], found.config["dataset_sha256"], found.config["dataset_rows"]) == (
        "a.hdf5",
        "ab",
        9,
    )


def test_of_many_seeds_only_evaluations_are_curves_one_by_one():
    many = [float(n) for n in range(curves.EACH + 1)]
    assert set(curves.curves(about(), row(loss=many))) == {"train/loss"}
    assert f"seed/{curves.EACH}/eval/return" in curves.curves(about(), row(kind="eval", **{"return": many}))


def test_a_row_that_says_that_a_seed_froze_is_no_curve():
    assert curves.curves(about(), row(kind="frozen", seed=1, at=3)) == {}


def test_the_summary_is_the_last_and_the_best_evaluation_online():
    rows = [row(phase="pretrain", kind="eval", online=0, **{"return": [9.0, 9.0]}), row(loss=[1.0, 1.0])]
    rows += [row(kind="eval", online=n, **{"return": [x, x + 2.0]}) for n, x in ((10, 1.0), (20, 5.0), (30, 3.0))]
    assert curves.summary(about(), rows) == {
        "final/eval/return": 4.0,
        "best/eval/return": 6.0,
        "best/eval/return/environment_steps": 20,
    }
    assert curves.summary(about(), rows[:2])["best/pretrain/eval/return/gradient_steps"] == 20
