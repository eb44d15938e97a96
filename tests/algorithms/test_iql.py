import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fastrl.algorithms import iql
from fastrl.config import IQL

SMALL = IQL(actor_hidden=(16,), critic_hidden=(16, 16), expectile=0.8)
critic_gradient = jax.jit(iql.critic_gradient, static_argnums=(0, 4))
actor_gradient = jax.jit(iql.actor_gradient, static_argnums=(0, 4))


@pytest.fixture
def started(filled, spec):
    """A state."""
    return lambda config: filled(iql.iql(config, spec))


def test_value_and_critic(started, ref, make_batch):
    state, batch = started(SMALL), make_batch(0, 12)
    grads, metrics = critic_gradient(SMALL, state, batch, jax.random.key(5), 6)
    rows, target_critic, old_value = ref.to64((batch, state.target_critic, state.value))
    y = rows.reward + 0.99 * rows.mask * ref.value(old_value, rows.next_obs)
    best = ref.critic(target_critic, rows.obs, rows.action).min(0)

    def td(critic):
        return ((ref.critic(critic, rows.obs, rows.action) - y) ** 2).mean()

    def regression(value):
        error = best - ref.value(value, rows.obs)
        return (np.abs(0.8 - (error < 0)) * error**2).mean()

    np.testing.assert_allclose(metrics["critic/loss"], td(ref.to64(state.critic)), rtol=1e-4)
    np.testing.assert_allclose(metrics["value/loss"], regression(old_value), rtol=1e-4)
    np.testing.assert_allclose(*ref.slope(td, state.critic, grads[0]), rtol=2e-3)
    np.testing.assert_allclose(*ref.slope(regression, state.value, grads[1]), rtol=2e-3)


@pytest.mark.parametrize("squash", [False, True])
def test_actor(squash, started, ref, make_batch):
    config = dataclasses.replace(SMALL, squash=squash, std="exp", inverse_temperature=0.3, max_weight=0.3)
    state, batch = started(config), make_batch(0, 12)
    grads, metrics = actor_gradient(config, state, batch, jax.random.key(5), None)
    rows, target_critic, value = ref.to64((batch, state.target_critic, state.value))
    advantage = ref.critic(target_critic, rows.obs, rows.action).min(0) - ref.value(value, rows.obs)
    weight = np.minimum(np.exp(0.3 * advantage), 0.3)
    assert (weight == 0.3).any() and (weight < 0.3).any()

    def loss(actor):
        mean, std = ref.actor(actor, rows.obs)
        if squash:
            log_prob = ref.squashed(mean, std, np.arctanh(np.clip(rows.action, -0.99999, 0.99999)))[1]
        else:
            log_prob = ref.gaussian(mean, std, rows.action)
        return -(weight * log_prob).mean()

    np.testing.assert_allclose(metrics["actor/loss"], loss(ref.to64(state.actor)), rtol=2e-4)
    np.testing.assert_allclose(*ref.slope(loss, state.actor, grads), rtol=3e-3)


def test_update_steps_all_networks_together_and_draws_a_subset_of_targets(started, ref, spec, make_batch):
    config = dataclasses.replace(SMALL, num_critics=4, layer_norm=True, dropout=0.1)
    state, batches = started(config), make_batch(0, 1, 12)
    new, metrics = jax.jit(iql.iql(config, spec).update)(state, batches, jax.random.key(7))
    critic_key, _ = jax.random.split(jax.random.key(7))
    batch = jax.tree.map(lambda x: x[0], batches)
    (critic, value), _ = critic_gradient(config, state, batch, critic_key, None)
    for old, grads, got in ((state.critic, critic, new.critic), (state.value, value, new.value)):
        for p, g, x in zip(*map(jax.tree.leaves, (*ref.to64((old, grads)), got))):
            np.testing.assert_allclose(x, ref.adam(p, g, 0 * p, 0 * p, 1, 3e-4), atol=3e-6)
    assert new.actor_opt.count == new.critic_opt.count == new.value_opt.count == 1
    assert all(x.dtype == jnp.float32 and x.shape == () for x in metrics.values())


def test_mean_is_not_squashed_and_actions_are_clipped(started, ref, spec, make_batch):
    state, obs = started(SMALL), 50 * make_batch(0, 12).obs
    mean, _ = ref.actor(*ref.to64((state.actor, obs)))
    got = iql.iql(SMALL, spec).act(state, obs, jax.random.key(0), False)
    assert (abs(mean) > 1).any()
    np.testing.assert_allclose(got, np.clip(mean, -1, 1), atol=1e-5)
