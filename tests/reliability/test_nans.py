"""The benchmark of numbers that are not finite, small: a seed is frozen, and a wrong answer is noticed."""

import copy

import pytest

from fastrl.benchmarks.reliability import nans

pytestmark = pytest.mark.usefixtures("quick")


def test_a_fault_is_told_and_wrong_answers_fail():
    case = nans.case("sac", "warmup", "reward")
    assert case["told"] == {"seed": nans.LOST, "phase": "warmup", "at": 13, "what": "reward"}
    stop = {"ok": True}
    counts, passed = nans.counted([case], [stop])
    assert passed and counts == {
        **{"faults": 1, "told_as_they_were": 1},
        **{"others_with_the_same_bits": 1, "finite_agents": 1},
    }
    assert not nans.counted([case], [{"ok": False}])[1] and not nans.counted([], [])[1]
    for wrong in ({"as_it_was": False}, {"finite": False}, {"others_same": {**case["others_same"], "rows": False}}):
        assert not nans.counted([{**copy.deepcopy(case), **wrong}], [stop])[1]
    for told in ({"seed": 0}, {"at": 12}, {"what": "observation"}, {"phase": "finetune"}):
        assert not nans.as_injected(case["told"] | told, "warmup", "reward")
    late = {"seed": nans.LOST, "phase": "finetune", "at": 1, "what": "critic/loss"}
    assert nans.as_injected(late, "warmup", "critic/loss")
    assert not nans.as_injected(late | {"what": "reward"}, "warmup", "critic/loss")
