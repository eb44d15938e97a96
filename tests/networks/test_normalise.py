import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fastrl.networks import normalise
from fastrl.types import Algorithm, Clock, Transition

MEAN, STD = np.array([1.0, -2.0, 0.5], np.float32), np.array([2.0, 0.1, 4.0], np.float32)


def echo(judge=False):
    """An algorithm that acts with what it sees and keeps what it learns from."""
    return Algorithm(
        init=lambda key: {"seen": jnp.zeros((2, 4, 3)), "score": jnp.zeros(())},
        act=lambda state, obs, key, explore: obs,
        update=lambda state, batches, key, clock: (
            state | {"seen": batches.next_obs},
            {"batches": batches, "clock": clock},
        ),
        judge=(lambda state, score: state | {"score": score}) if judge else None,
    )


def transitions(*shape):
    keys = jax.random.split(jax.random.key(1), 2)
    obs, following = (jax.random.normal(key, (*shape, 3)) for key in keys)
    ones = jnp.ones(shape)
    return Transition(obs, jnp.full((*shape, 2), 0.3), 2 * ones, 3 * ones, following, 4 * ones, 5 * ones)


@pytest.mark.parametrize("shape", [(3,), (4, 3), (2, 4, 3)])
def test_the_policy_sees_normalised_observations(shape, key):
    algorithm = normalise.normalised(echo(), (MEAN, STD))
    state = algorithm.init(key)
    obs = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    found = algorithm.act(state, jnp.asarray(obs), jax.random.key(1), False)
    np.testing.assert_allclose(found, (obs - MEAN) / STD, rtol=1e-5)


def test_learning_sees_normalised_observations_and_nothing_else_changes(key):
    algorithm = normalise.normalised(echo(), (MEAN, STD))
    state, batches, clock = algorithm.init(key), transitions(2, 4), Clock(jnp.int32(7), jnp.int32(3))
    before = jax.tree.map(np.array, batches)
    new, metrics = algorithm.update(state, batches, jax.random.key(2), clock)
    seen = metrics["batches"]
    np.testing.assert_allclose(seen.obs, (before.obs - MEAN) / STD, rtol=1e-5)
    np.testing.assert_allclose(seen.next_obs, (before.next_obs - MEAN) / STD, rtol=1e-5)
    for name in ("action", "reward", "mask", "mc_return", "last"):
        np.testing.assert_array_equal(getattr(seen, name), getattr(before, name))
    jax.tree.map(np.testing.assert_array_equal, batches, before)  # the rows outside stay raw
    assert metrics["clock"] is clock
    np.testing.assert_array_equal(new.inner["seen"], seen.next_obs)
    np.testing.assert_array_equal(new.mean, MEAN)
    np.testing.assert_array_equal(new.std, STD)


def test_statistics_are_part_of_the_state_and_follow_it(key):
    algorithm = normalise.normalised(echo(), (MEAN, STD))
    states = jax.vmap(algorithm.init)(jax.random.split(key, 2))
    assert states.mean.shape == states.std.shape == (2, 3)
    other = normalise.normalised(echo(), (0 * MEAN, 1 + 0 * STD))  # the state's numbers count, not the builder's
    found = other.act(algorithm.init(jax.random.key(1)), jnp.ones(3), jax.random.key(2), False)
    np.testing.assert_allclose(found, (1 - MEAN) / STD, rtol=1e-5)


def test_the_best_policy_is_judged_inside_or_not_at_all(key):
    assert normalise.normalised(echo(), (MEAN, STD)).judge is None
    algorithm = normalise.normalised(echo(judge=True), (MEAN, STD))
    judged = algorithm.judge(algorithm.init(key), jnp.float32(3.0))
    assert judged.inner["score"] == 3.0
    np.testing.assert_array_equal(judged.mean, MEAN)


def test_statistics_of_a_dataset():
    obs = np.random.default_rng(0).normal(3, 2, (500, 3)).astype(np.float32)
    obs[:, 1] = 7.0  # constant: its std is the floor alone
    mean, std = normalise.statistics(obs)
    assert mean.dtype == std.dtype == np.float32 and normalise.FLOOR == 1e-3
    want = obs.astype(np.float64)
    np.testing.assert_allclose(mean, want.mean(0), rtol=1e-6)
    np.testing.assert_allclose(std, np.sqrt(((want - want.mean(0)) ** 2).mean(0)) + 1e-3, rtol=1e-5)
    np.testing.assert_allclose(std[1], 1e-3, rtol=1e-4)


def test_statistics_of_many_large_numbers_are_taken_in_float64():
    obs = np.full((200_000, 1), 1e4, np.float32)
    obs[::2] += 1
    mean, std = normalise.statistics(obs)
    np.testing.assert_allclose(mean, 1e4 + 0.5, rtol=1e-7)
    np.testing.assert_allclose(std, 0.5 + 1e-3, rtol=1e-5)
