"""The benchmark of compilations, small: calls are counted, and one that copies or compiles again is noticed."""

import jax
import jax.numpy as jnp
import pytest

from fastrl.benchmarks.reliability import compiles

pytestmark = pytest.mark.usefixtures("quick")


def test_a_run_compiles_once_and_wrong_ones_fail():
    case = compiles.case("o2ppo", 40)
    counts, passed = compiles.counted([case])
    assert passed and counts["phases"] == counts["scans_compiled"] == 3 and counts["arrays_gone"] > 100
    for wrong in (
        {"compiled": {compiles.SCAN: 4}},
        {"calls": 3},
        {"compiled_late": 1},
        {"gone": case["gone"] - 1},
        {"least_taken_over": 0.5},
    ):
        assert not compiles.counted([{**case, **wrong}])[1]


def test_what_is_not_given_away_or_comes_from_the_host_is_seen():
    notes, given = compiles.Notes(), jnp.ones(3)
    compiled = jax.jit(lambda x: x + 1).lower(given).compile()
    compiles.Program(compiled, compiles.SCAN, notes)(given)
    assert notes.calls == [{"arrays": 1, "gone": 0, "taken_over": 0}]
    with pytest.raises(Exception, match="Disallowed"):
        compiles.Program(lambda x: x + 1, compiles.SCAN, notes)(given)
