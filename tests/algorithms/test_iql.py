import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fastrl.algorithms import iql, parts
from fastrl.methods import IQL
from fastrl.networks.critics import Value

SMALL = IQL(actor_hidden=(16,), critic_hidden=(16, 16), expectile=0.8)


@pytest.fixture
def started(filled, spec):
    """A state."""
    return lambda config: filled(iql.iql(config, spec))


@pytest.fixture
def gradients(ref, spec):
    """`(loss, config, state, batch, key, piece) -> (gradients by group, metrics)`; the loss is iql's function."""

    def take(loss, config, state, batch, key, piece=None):
        net = parts.networks(config, spec, squash=config.squash, tanh_mean=config.tanh_mean)
        value = Value(spec.obs_size, config.critic_hidden, config.layer_norm)
        return ref.run(loss(config, net, value), state, batch, key, ref.clock, piece=piece)

    return take


def test_value_and_critic(started, gradients, ref, make_batch):
    state, batch = started(SMALL), make_batch(0, 12)
    grads, metrics = gradients(iql.critic_loss, SMALL, state, batch, jax.random.key(5), piece=6)
    rows, target_critic, old_value = ref.to64((batch, state.critic.target, state.value.params))
    y = rows.reward + 0.99 * rows.mask * ref.value(old_value, rows.next_obs)
    best = ref.critic(target_critic, rows.obs, rows.action).min(0)

    def td(critic):
        return ((ref.critic(critic, rows.obs, rows.action) - y) ** 2).mean()

    def regression(value):
        error = best - ref.value(value, rows.obs)
        return (np.abs(0.8 - (error < 0)) * error**2).mean()

    np.testing.assert_allclose(metrics["critic/loss"], td(ref.to64(state.critic.params)), rtol=1e-4)
    np.testing.assert_allclose(metrics["value/loss"], regression(old_value), rtol=1e-4)
    np.testing.assert_allclose(*ref.slope(td, state.critic.params, grads["critic"]), rtol=2e-3)
    np.testing.assert_allclose(*ref.slope(regression, state.value.params, grads["value"]), rtol=2e-3)


@pytest.mark.parametrize("squash", [False, True])
def test_actor(squash, started, gradients, ref, make_batch):
    config = dataclasses.replace(SMALL, squash=squash, std="exp", inverse_temperature=0.3, max_weight=1.0)
    state, batch = started(config), make_batch(0, 12)
    grads, metrics = gradients(iql.actor_loss, config, state, batch, jax.random.key(5))
    assert set(grads) == {"actor"}
    rows, target_critic, value = ref.to64((batch, state.critic.target, state.value.params))
    advantage = ref.critic(target_critic, rows.obs, rows.action).min(0) - ref.value(value, rows.obs)
    weight = np.minimum(np.exp(0.3 * advantage), 1.0)
    assert (weight == 1).any() and (weight < 1).any()

    def loss(actor):
        mean, std = ref.actor(actor, rows.obs)
        if squash:
            log_prob = ref.squashed(mean, std, np.arctanh(np.clip(rows.action, -0.99999, 0.99999)))[1]
        else:
            log_prob = ref.gaussian(mean, std, rows.action)
        return -(weight * log_prob).mean()

    np.testing.assert_allclose(metrics["actor/loss"], loss(ref.to64(state.actor.params)), rtol=2e-4)
    np.testing.assert_allclose(*ref.slope(loss, state.actor.params, grads["actor"]), rtol=3e-3)


def test_update_steps_all_networks_together_and_draws_a_subset_of_targets(started, gradients, ref, spec, make_batch):
    config = dataclasses.replace(SMALL, num_critics=4, layer_norm=True, dropout=0.1)
    state, batches = started(config), make_batch(0, 1, 12)
    new, metrics = ref.run(iql.iql(config, spec).update, state, batches, jax.random.key(7), ref.clock)
    keys = jax.random.split(jax.random.key(7))
    batch = jax.tree.map(lambda x: x[0], batches)
    grads = gradients(iql.critic_loss, config, state, batch, keys[0])[0]
    grads |= gradients(iql.actor_loss, config, state, batch, keys[1])[0]
    for name in ("critic", "value", "actor"):
        old, got = getattr(state, name), getattr(new, name)
        for p, g, x in zip(*map(jax.tree.leaves, (*ref.to64((old.params, grads[name])), got.params)), strict=True):
            np.testing.assert_allclose(x, ref.adam(p, g, 0 * p, 0 * p, 1, 3e-4), atol=3e-6)
        assert int(got.opt.count) == 1
    averaged = jax.tree.map(lambda t, c: 0.995 * t + 0.005 * c, state.critic.target, new.critic.params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), new.critic.target, averaged)
    assert all(x.dtype == jnp.float32 and x.shape == () for x in metrics.values())


def test_the_minimum_is_over_the_drawn_targets_alone(started, gradients, ref, make_batch):
    config = dataclasses.replace(SMALL, num_critics=4)
    state, batch = started(config), make_batch(0, 12)
    _, metrics = gradients(iql.critic_loss, config, state, batch, jax.random.key(5))
    drawn = np.asarray(jax.random.permutation(jax.random.key(5), 4)[:2])
    target, value, rows = ref.to64((state.critic.target, state.value.params, batch))
    error = ref.critic(target, rows.obs, rows.action)[drawn].min(0) - ref.value(value, rows.obs)
    np.testing.assert_allclose(metrics["value/loss"], (np.abs(0.8 - (error < 0)) * error**2).mean(), rtol=1e-4)


def test_at_high_utd_value_and_critics_step_together_and_the_actor_once(started, ref, spec, make_batch):
    state = started(SMALL)
    new, _ = ref.run(iql.iql(SMALL, spec).update, state, make_batch(0, 3, 12), jax.random.key(7), ref.clock)
    assert [int(x.opt.count) for x in (new.critic, new.value, new.actor)] == [3, 3, 1]


@pytest.mark.parametrize("tanh_mean", [False, True])
def test_mean_is_not_squashed_unless_asked_and_actions_are_clipped(tanh_mean, started, ref, spec, make_batch):
    config = dataclasses.replace(SMALL, tanh_mean=tanh_mean)
    state, obs = started(config), 50 * make_batch(0, 12).obs
    mean, _ = ref.actor(*ref.to64((state.actor.params, obs)))
    got = iql.iql(config, spec).act(state, obs, jax.random.key(0), False)
    assert (abs(mean) > 1).any()
    np.testing.assert_allclose(got, np.tanh(mean) if tanh_mean else np.clip(mean, -1, 1), atol=1e-5)
