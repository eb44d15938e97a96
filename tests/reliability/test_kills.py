"""The benchmark of kills, on a command that stands in: what it counts, and that it notices each fault."""

import random

import pytest

from fastrl.benchmarks.reliability import common, kills


def test_a_run_is_killed_in_every_phase_and_in_its_report():
    for recipe in common.RECIPES:
        phases = common.phases(recipe)
        planned = kills.moments(phases, 10, random.Random(0))
        assert len(planned) == 10 and planned[-1][1] == "report"
        assert {phase for phase, _, _ in planned[:-1]} == set(phases)
        assert {kind for _, kind, _ in planned[:-1]} == {"row", "save"}
        order = [(phases.index(phase), row) for phase, _, row in planned]
        assert order == sorted(order) and max(row for _, row in order[:-1]) < common.LOGGED


@pytest.mark.parametrize(
    ("fault", "noticed"), [("", None), ("forgets", "acknowledged_lost"), ("drifts", "different_ends")]
)
def test_kills_are_counted_and_a_fault_is_noticed(fault, noticed, command, tmp_path, monkeypatch):
    monkeypatch.setattr(kills, "PAUSES", {"row": 0.005, "save": 0.001, "report": 0.01})
    command(fault)
    (case,) = kills.killed("wsrl", tmp_path, 4)
    counts = kills.counted([case])
    assert counts["kills"] == 4 and counts["runs"] == 1 and counts["failed_to_resume"] == 0
    assert counts["in_phase"]["report"] == 1 and sum(counts["in_phase"].values()) == 4
    assert kills.good(counts) is (noticed is None)
    assert [name for name in ("acknowledged_lost", "different_ends") if counts[name]] == [noticed] * (
        noticed is not None
    )


def test_a_log_that_is_not_how_the_reference_begins_is_a_loss(tmp_path):
    (tmp_path / "metrics.jsonl").write_bytes(b'{"phase": "a", "x": 1}\n{"phase": "a", "x": 2}\n{"pha')
    rows = [b'{"phase": "a", "x": 1}', b'{"phase": "a", "x": 2}', b'{"phase": "a", "x": 3}']
    moment = ("a", "row", 1)
    assert not kills.after(moment, tmp_path, -1, "", rows)["lost"]
    assert kills.after(moment, tmp_path, -1, "", rows[::-1])["lost"]
    assert kills.after(moment, tmp_path, 5, "resumed at step 5 of a", rows)["lost"]  # step 5 is gone
