import json
from pathlib import Path

import numpy as np
import pytest

from fastrl import statistics
from fastrl.reports import pairs
from fastrl.reports.results import by_point, load

SHARED = {"seed": 0, "env_options": {}, "start": "its checksum", "phases": [{"name": "warmup", "online": True}]}
PRETRAINED = {"name": "pretrain", "online": False, "steps": 100, "algorithm": {"algorithm": "calql"}}


def make(folder: Path, finals, env: str = "hopper", steps=(0, 100, 200), frozen=(), **identity) -> Path:
    """A run folder whose seeds rise from 0 to `finals` [S]."""
    folder.mkdir(parents=True)
    rows = [
        {"kind": "eval", "phase": "finetune", "step": n, "online": n, "offline": 100}
        | {"return": (np.array(finals) * n / steps[-1]).tolist()}
        for n in steps
    ]
    rows += [
        {"kind": "frozen", "seed": seed, "what": ["loss"], "at": 50, "phase": "finetune", "online": 50}
        for seed in frozen
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = {"recipe": folder.name, "env": env, "identity": SHARED | identity}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def cells(blocks) -> list[list[str]]:
    return blocks[1].rows


X, Y = np.array([101.0, 212, 303, 418, 500, 611]), np.array([100.0, 210, 305, 400, 499, 600])


def test_runs_that_share_seeds_and_start_are_paired(tmp_path):
    first, second = make(tmp_path / "wsrl", Y), make(tmp_path / "proto", X)
    blocks = pairs.compared([load(first), load(second)])
    (row,) = cells(blocks)
    assert row[:5] == ["proto", "wsrl", "hopper", "the end", "paired by seed, 6 pairs"]
    found = statistics.paired(X, Y)
    low, high = found.mean_interval
    assert row[5] == f"{np.mean(X - Y):.3f} [{low:.3f}, {high:.1f}]" and row[6].startswith(f"{found.iqm:.3f} [")
    assert row[7] == "83 % [36 %, 100 %]" and pairs.TOO_FEW not in blocks and pairs.METHOD in blocks


@pytest.mark.parametrize(
    "other",
    [
        {"start": "another's checksum"},
        {"start": None},
        {"seed": 1},
        {"first_seed": 6},
        {"start": None, "phases": [PRETRAINED]},
    ],
)
def test_other_runs_are_not(tmp_path, other):
    runs = [load(make(tmp_path / "wsrl", Y)), load(make(tmp_path / "proto", X, **other))]
    blocks = pairs.compared(runs)
    (row,) = cells(blocks)
    assert row[4] == "not paired, 6 and 6 seeds"
    share = statistics.probability_of_improvement(X, Y)
    assert row[7].startswith(f"{100 * share:.0f} % [") and 0.5 < share < 0.7


def test_one_offline_phase_makes_the_same_agents(tmp_path):
    made = {"start": None, "phases": [PRETRAINED, {"name": "warmup", "online": True}]}
    runs = [load(make(tmp_path / "wsrl", Y, **made)), load(make(tmp_path / "calql", X, **made, dataset=None))]
    assert pairs.same_start(*runs)
    others = {"dataset": {"sha256": "other rows"}}, {"phases": [PRETRAINED | {"steps": 99}]}, {"reward_scale": 10.0}
    for number, changed in enumerate(others):
        run = load(make(tmp_path / f"other-{number}", X, **(made | changed)))
        assert not pairs.same_start(runs[0], run)


def test_only_seeds_that_both_have_are_pairs(tmp_path):
    runs = [load(make(tmp_path / "wsrl", Y, frozen=[1])), load(make(tmp_path / "late", X[2:], first_seed=2))]
    assert pairs.shared_seeds(runs[1], runs[0]) == [(0, 1), (1, 2), (2, 3), (3, 4)]
    blocks = pairs.compared(runs)
    (row,) = cells(blocks)
    assert row[4] == "paired by seed, 4 pairs" and row[5].startswith(f"{np.mean(X[2:] - Y[2:]):.3f} [")
    assert pairs.TOO_FEW in blocks


def test_each_environment_has_its_first_run_and_shorter_runs_meet_at_their_end(tmp_path):
    runs = [
        make(tmp_path / "a", Y),
        make(tmp_path / "b", X, env="ant"),
        make(tmp_path / "c", X * 2, steps=(0, 200, 400)),
    ]
    runs += [make(tmp_path / "d", Y, env="ant"), make(tmp_path / "e", Y, env="ant", env_options={"version": "v4"})]
    rows = cells(pairs.compared([load(run) for run in runs]))
    assert [row[:4] for row in rows] == [["c", "a", "hopper", "200 online steps"], ["d", "b", "ant", "the end"]]
    assert rows[0][5] == cells(pairs.compared([load(runs[0]), load(make(tmp_path / "f", X))]))[0][5]
    assert pairs.compared([load(runs[0]), load(runs[1])]) == []


def test_runs_that_share_no_later_step_are_said_to_be_compared_early(tmp_path):
    runs = [load(make(tmp_path / "a", Y)), load(make(tmp_path / "b", X, steps=(0, 150, 250)))]
    blocks = pairs.compared(runs)
    assert cells(blocks)[0][3] == "0 online steps" and pairs.EARLY.format("b", "a", 0) in blocks
    shorter = load(make(tmp_path / "c", X, steps=(0, 100)))
    assert not any("no common step" in str(block) for block in pairs.compared([runs[0], shorter]))


def test_the_last_of_several_evaluations_at_one_step_counts(tmp_path):
    run = load(make(tmp_path / "a", Y, steps=(0, 100, 200)))
    run.online[:] = [0, 0, 200]  # two evaluations while pre-training
    assert pairs.at(run, 0).tolist() == run.values[:, 1].tolist() != run.values[:, 0].tolist()


def test_points_of_a_sweep_are_paired_where_their_first_phase_agreed(tmp_path):
    points = {"points": [{"utd": 1}, {"utd": 4}], "start": None, "phases": [PRETRAINED]}
    folder = make(tmp_path / "sweep", np.concatenate([Y, X]), steps=(0, 100), **points)
    assert not pairs.same_start(*by_point(folder))  # all evaluations are of that phase, and differ
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    rows[0]["phase"] = "pretrain"
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (row,) = cells(pairs.compared(by_point(folder)))
    assert row[4] == "paired by seed, 6 pairs" and row[:2] == ["utd=4", "utd=1"]


def test_what_is_not_finite_and_what_is_alone_has_no_interval(tmp_path):
    bad = np.where(np.arange(6) == 2, np.nan, X)
    runs = [make(tmp_path / "a", Y), make(tmp_path / "b", bad), make(tmp_path / "c", X[:1], start=None)]
    blocks = pairs.compared([load(run) for run in runs])
    first, second = cells(blocks)
    assert first[5:] == ["not finite"] * 3
    assert second[4] == "not paired, 1 and 6 seeds" and not any("[" in cell for cell in second[5:])


def test_no_width_is_said_to_be_no_certainty(tmp_path):
    runs = [load(make(tmp_path / "a", Y)), load(make(tmp_path / "b", Y + 1000, start=None))]
    blocks = pairs.compared(runs)
    assert cells(blocks)[0][7] == "100 % [100 %, 100 %]" and pairs.APART in blocks
    alike = pairs.compared([runs[0], load(make(tmp_path / "c", Y))])
    assert pairs.APART not in alike and cells(alike)[0][7] == "50 % [0 %, 100 %]"
