import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fastrl.engine import seeds, streams
from fastrl.types import UserError

pytestmark = pytest.mark.usefixtures("quick")


def data_of(keys):
    return np.asarray(jax.random.key_data(keys))


def test_a_key_does_not_depend_on_how_many_there_are():
    few, many = data_of(streams.seeds(7, 4)), data_of(streams.seeds(7, 8))
    np.testing.assert_array_equal(few, many[:4])
    assert len(np.unique(many, axis=0)) == 8
    assert not (data_of(streams.seeds(8, 4)) == few).all(1).any()


def test_a_job_may_have_the_later_seeds(plan_of):
    np.testing.assert_array_equal(data_of(streams.seeds(7, 4))[2:], data_of(streams.seeds(7, 2, first=2)))
    plan = plan_of("sac", "probe-action", seeds=2, first_seed=3)
    np.testing.assert_array_equal(data_of(plan.keys()), data_of(streams.seeds(0, 5))[3:])
    with pytest.raises(UserError, match="--first-seed must be 0 or more"):
        plan_of("sac", "probe-action", seeds=2, first_seed=-1)


def test_the_modes():
    assert seeds.block("vmap") is None and seeds.block("sequential") == 1
    assert seeds.block("auto") == (1 if jax.default_backend() == "cpu" else None)
    assert seeds.block("vmap", exact=True) == seeds.EXACT and seeds.block("sequential", exact=True) == 1


@pytest.mark.parametrize("block", [None, 1, 3])
def test_mapped_is_the_function_of_each_seed(block):
    x = {"a": jnp.arange(12.0).reshape(6, 2), "b": jnp.arange(6.0)}
    got = seeds.mapped(lambda one: one["a"].sum() * one["b"], block)(x)
    np.testing.assert_array_equal(got, np.arange(12.0).reshape(6, 2).sum(1) * np.arange(6.0))


def test_per_seed_is_the_function_of_each_seed():
    x, y = jnp.arange(6.0).reshape(3, 2), jnp.arange(3.0)
    function = lambda x, y: {"sum": x.sum() + y, "x": x}
    for n in (1, 3):
        result = seeds.per_seed(function, n)(x[:n], y[:n])
        np.testing.assert_array_equal(result["sum"], (x.sum(1) + y)[:n])
        np.testing.assert_array_equal(result["x"], x[:n])


@pytest.mark.parametrize(("count", "size"), [(1, 1), (3, 1), (6, 2)])
def test_one_after_another_hands_the_shared_part_on(count, size):
    def body(i, block, shared):
        assert block.shape == (size, 2)
        return block * 10 + i, shared * 2 + i

    stacked, shared = seeds.one_after_another(
        body, jnp.arange(2.0 * count).reshape(count, 2), jnp.int32(1), count // size, jnp.int32(0), size
    )
    first = np.arange(0, count, size)
    added = np.repeat(first, size)[:, None]
    np.testing.assert_array_equal(stacked, (jnp.arange(2.0 * count) * 10).reshape(count, 2) + added)
    expected = 1
    for i in first:
        expected = expected * 2 + i
    assert int(shared) == expected


def finished(plan, execute):
    """Ring rows and agents of a run, on the host, with its log."""
    outcome = execute(plan)
    rows = np.asarray(outcome.carry.ring.rows)
    return rows, jax.tree.map(np.asarray, outcome.carry.seeds.agent), outcome.rows


@pytest.fixture(scope="module")
def four(plan_of, execute, quick):
    return finished(plan_of("sac", "probe-action", seeds=4), execute)


@pytest.mark.parametrize("recipe", ["sac", "ppo", "o2sac"])
def test_seed_3_of_4_is_seed_3_of_8_bit_for_bit(recipe, request, plan_of, execute):
    few, many = (plan_of(recipe, "probe-action", seeds=n) for n in (4, 8))
    rows, agent, log = request.getfixturevalue("four") if recipe == "sac" else finished(few, execute)
    more_rows, more_agent, more_log = finished(many, execute)
    np.testing.assert_array_equal(rows, more_rows[:4])
    for ours, theirs in zip(jax.tree.leaves(agent), jax.tree.leaves(more_agent), strict=True):
        np.testing.assert_array_equal(ours, theirs[:4])
    for row, more in zip(log, more_log, strict=True):
        assert row == {name: value[:4] if isinstance(value, list) else value for name, value in more.items()}
    streams = rows[:, :20, 1]  # the warm-up's actions
    assert len(np.unique(streams, axis=0)) == 4


def test_side_by_side_changes_rounding_only(four, plan_of, execute):
    """The checker of keys is off: JAX 0.10 takes a key that one branch of a vmapped `cond` reads for read twice."""
    rows, agent, _ = four
    plan = plan_of("sac", "probe-action", seeds=4, map_seeds="vmap")
    assert plan.block is None
    with jax.debug_key_reuse(False):
        other_rows, other_agent, _ = finished(plan, execute)
    np.testing.assert_array_equal(rows[:, :20, 0], other_rows[:, :20, 0])
    np.testing.assert_allclose(rows[:, :20], other_rows[:, :20], rtol=1e-5, atol=1e-6)
    for ours, theirs in zip(jax.tree.leaves(agent), jax.tree.leaves(other_agent), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=2e-3, atol=2e-4)
    assert dataclasses.fields(agent) == dataclasses.fields(other_agent)


def test_in_blocks_a_seed_has_the_same_bits_alone_and_beside_others(plan_of, execute):
    """As on an accelerator: side by side, eight at a time, of which the missing ones are thrown away."""
    found = []
    for count in (1, 3, 10):
        plan = plan_of("sac", "probe-action", seeds=count, map_seeds="vmap", exact_seeds=True)
        assert plan.block == 8 and plan.mesh.rows == (16 if count > 8 else 8)
        with jax.debug_key_reuse(False):
            found.append(finished(plan, execute))
    rows, agents, logs = found[-1]
    for count, (fewer, agent, log) in zip((1, 3), found, strict=False):
        np.testing.assert_array_equal(fewer[:count], rows[:count])
        for ours, theirs in zip(jax.tree.leaves(agent), jax.tree.leaves(agents), strict=True):
            np.testing.assert_array_equal(ours[:count], theirs[:count])
        for row, more in zip(log, logs, strict=True):
            assert row == {name: value[:count] if isinstance(value, list) else value for name, value in more.items()}
