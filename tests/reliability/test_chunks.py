"""The benchmark of chunks, small: a call is as long as asked, and another end is noticed.

That ends are the same is shown where programs are compiled as users' are: in the benchmark, and in tests/engine/.
"""

import copy

import pytest

from fastrl.benchmarks.reliability import chunks

pytestmark = pytest.mark.usefixtures("quick")


def test_ends_are_compared():
    case = chunks.case("o2ppo", 2, 4, eval_episodes=1, probe_every=0)
    assert case["calls"]["finetune"] == 2
    cases = [case, {**copy.deepcopy(case), "calls": {"finetune": 4}}]
    counts, passed = chunks.compared(copy.deepcopy(cases))
    assert passed and counts == {"recipes": 1, "runs": 2, "different_calls": 2, "different_ends": 0}
    assert not chunks.compared([case, copy.deepcopy(case)])[1]  # the same calls show nothing
    for name in chunks.common.SAME:
        wrong = [case, {**cases[1], name: "other"}]
        assert chunks.compared(wrong) == ({**counts, "different_ends": 1}, False)
