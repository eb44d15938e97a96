"""The benchmark of seeds, small: what it keeps of a seed, and that a flipped bit and another seed are noticed.

That bits are the same is shown where programs are compiled as users' are: in the benchmark, and in tests/engine/.
"""

import copy

import pytest

from fastrl.benchmarks.reliability import seeds

pytestmark = pytest.mark.usefixtures("quick")
SMALL = {"actor_hidden": (8,), "critic_hidden": (8,), "batch_size": 8, "warmup": 10, "steps": 20, "eval_every": 10}


def test_a_flipped_bit_is_noticed():
    zero, one = seeds.runs("sequential", 2, 0, "probe-action", **SMALL)
    assert one["rows"]["ring"].ndim == 2 and len(one["agent"]) > 10 and len(one["log"]) > 10
    counts, passed = seeds.compared([{"mode": "sequential", **seeds.difference(one, copy.deepcopy(one))}])
    assert passed and counts["sequential"]["same_bits"] == 1 and counts["sequential"]["agent_differs_by"] == 0
    other = copy.deepcopy(one)
    path = next(path for path, leaf in other["agent"].items() if leaf.dtype == "float32" and leaf.size > 1)
    other["agent"][path] = other["agent"][path].copy()
    other["agent"][path].view("int32").flat[0] ^= 1
    apart = seeds.difference(one, other)
    assert not apart["agent"]["same"] and apart["rows"]["same"] and apart["agent"]["largest_difference"] > 0
    for mode, passes in (("sequential", False), ("exact", False), ("vmap", True)):
        assert seeds.compared([{"mode": mode, **apart}])[1] is passes
    wrong = seeds.difference(zero, one)
    assert not wrong["keys"]["same"] and not seeds.compared([{"mode": "vmap", **wrong}])[1]
