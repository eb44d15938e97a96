"""The benchmark of numbers that are not finite, small: a seed is frozen, and a wrong answer is noticed."""

import copy
import json
import os
import subprocess
import sys

from fastrl.benchmarks.reliability import nans

CASES = """
import json
from unittest import mock
from fastrl.benchmarks.reliability import nans, small
small.prepare()
from fastrl.engine import health
found = [nans.case("sac", 12, "reward")]
with mock.patch.object(health, "select", lambda good, new, old: new):  # without the guard
    print(json.dumps([*found, nans.case("sac", 12, "reward")]))
"""


def test_a_fault_is_told_and_wrong_answers_fail():
    """In a process without the flags of the tests: with those a call of one step rounds otherwise than one of ten."""
    environment = {**os.environ, "XLA_FLAGS": "", "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
    done = subprocess.run([sys.executable, "-c", CASES], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    case, broken = json.loads(done.stdout.splitlines()[-1])
    assert case["told"] == {"seed": nans.LOST, "phase": "warmup", "at": 13, "what": "reward"}
    stop = {"ok": True}
    counts, passed = nans.counted([case], [stop])
    assert passed and set(counts.values()) == {1} and len(counts) == 5
    assert not nans.counted([case], [{"ok": False}])[1] and not nans.counted([], [])[1]
    for wrong in (
        {"as_it_was": False},
        {"last_good": False},
        {"finite_rows": False},
        {"others_same": {**case["others_same"], "rows": False}},
    ):
        assert not nans.counted([{**copy.deepcopy(case), **wrong}], [stop])[1]
    for told in ({"seed": 0}, {"at": 12}, {"what": "observation"}, {"phase": "finetune"}):
        assert not nans.as_injected(case["told"] | told, 12, "reward")
    late = {"seed": nans.LOST, "phase": "finetune", "at": 1, "what": "critic/loss"}
    assert nans.as_injected(late, 12, "critic/loss")
    assert not nans.as_injected(late | {"what": "reward"}, 12, "critic/loss")
    assert not broken["last_good"] and not broken["finite_rows"]
