"""XQL's one loss, alone and inside IQL's update, against NumPy."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fastrl.algorithms import iql, losses, parts, xql
from fastrl.methods import XQL
from fastrl.networks.critics import Value

SMALL = XQL(actor_hidden=(8,), critic_hidden=(8,), value_temperature=0.3, value_limit=2.0)


def gumbel(error, temperature, limit, scale=None):
    """The loss, and the exponent of its scale where it is not given."""
    z = np.minimum(error / temperature, limit)
    scale = max(z.max(), -1.0) if scale is None else scale
    return (np.exp(z) - z - 1).mean() / np.exp(scale), scale


ERRORS = {"mixed": (0.0, 2.0), "beyond the limit": (30.0, 9.0), "far below": (-40.0, 3.0)}


@pytest.mark.parametrize("name", ERRORS)
def test_the_gumbel_loss_and_its_gradient(name, close):
    shift, spread = ERRORS[name]
    error = shift + spread * np.random.default_rng(0).normal(size=50)
    error = np.asarray(jnp.asarray(error, jax.dtypes.canonicalize_dtype(float)), np.float64)
    value, slope = jax.value_and_grad(lambda x: losses.gumbel(x, 2.0, 7.0))(jnp.asarray(error))
    wanted, scale = gumbel(error, 2.0, 7.0)
    close(value, wanted)
    assert (scale == -1) == (name == "far below")
    z = error / 2.0
    assert (z > 7).any() == (name == "beyond the limit")
    close(slope, np.where(z < 7, np.exp(np.minimum(z, 7)) - 1, 0) / 2.0 / 50 / np.exp(scale))


def test_at_its_minimum_the_value_is_a_soft_maximum():
    q = np.array([1.0, -2.0, 0.5, 3.0])
    best = 1.5 * np.log(np.exp(q / 1.5).mean())
    slope = jax.grad(lambda v: losses.gumbel(jnp.asarray(q) - v, 1.5, 50.0))
    assert abs(slope(best)) < 1e-6 < slope(best + 0.1) and slope(best - 0.1) < -1e-6


def networks(config, spec):
    net = parts.networks(config, spec, squash=False, tanh_mean=True)
    return net, Value(spec.obs_size, config.critic_hidden, config.layer_norm)


def test_value_and_critic_whatever_the_pieces(filled, ref, spec, make_batch):
    state, batch = filled(xql.xql(SMALL, spec)), make_batch(0, 12)
    loss = iql.critic_loss(SMALL, *networks(SMALL, spec), xql.regression(SMALL))
    for piece in (None, 6):
        grads, metrics = ref.run(loss, state, batch, jax.random.key(5), ref.clock, piece=piece)
        rows, target_critic, old = ref.to64((batch, state.critic.target, state.value.params))
        y = rows.reward + 0.99 * rows.mask * ref.value(old, rows.next_obs)
        best = ref.critic(target_critic, rows.obs, rows.action).min(0)
        error = best - ref.value(old, rows.obs)
        wanted, scale = gumbel(error, 0.3, 2.0)
        assert (error / 0.3 > 2).any() and (error / 0.3 < 2).any()

        def td(critic, rows=rows, y=y):
            return ((ref.critic(critic, rows.obs, rows.action) - y) ** 2).mean()

        def regression(value, rows=rows, best=best, scale=scale):
            return gumbel(best - ref.value(value, rows.obs), 0.3, 2.0, scale)[0]

        np.testing.assert_allclose(metrics["value/loss"], wanted, rtol=1e-4)
        np.testing.assert_allclose(metrics["critic/loss"], td(ref.to64(state.critic.params)), rtol=1e-4)
        np.testing.assert_allclose(*ref.slope(regression, state.value.params, grads["value"]), rtol=2e-3)
        np.testing.assert_allclose(*ref.slope(td, state.critic.params, grads["critic"]), rtol=2e-3)


def test_the_update_is_iqls_with_the_other_regression(filled, ref, spec, make_batch):
    config = dataclasses.replace(SMALL, layer_norm=False)
    state, batches, key = filled(xql.xql(config, spec)), make_batch(0, 1, 12), jax.random.key(7)
    new, _ = ref.run(xql.xql(config, spec).update, state, batches, key.copy(), ref.clock)
    keys, batch = jax.random.split(key), jax.tree.map(lambda x: x[0], batches)
    net = networks(config, spec)
    grads = ref.run(iql.critic_loss(config, *net, xql.regression(config)), state, batch, keys[0], ref.clock)[0]
    grads |= ref.run(iql.actor_loss(config, *net), state, batch, keys[1], ref.clock)[0]
    for name in ("critic", "value", "actor"):
        old, got = getattr(state, name), getattr(new, name)
        for p, g, x in zip(*map(jax.tree.leaves, (*ref.to64((old.params, grads[name])), got.params)), strict=True):
            np.testing.assert_allclose(x, ref.adam(p, g, 0 * p, 0 * p, 1, 3e-4), atol=3e-6)


def test_the_policy_is_a_gaussian_with_a_tanh_on_its_mean_and_a_floor_of_its_std(filled, ref, spec, make_batch):
    net, _ = networks(SMALL, spec)
    params = dict(filled(xql.xql(SMALL, spec)).actor.params)
    params["log_std"] = jnp.array([-7.0, 0.2])
    obs = make_batch(0, 12).obs
    dist, (mean, _) = net.actor(params, obs), ref.actor(*ref.to64((params, obs)))
    np.testing.assert_allclose(dist.mean, np.tanh(mean), atol=1e-5)
    np.testing.assert_allclose(dist.std, np.broadcast_to(np.exp([-5.0, 0.2]), (12, 2)), rtol=1e-6)
    slope = jax.grad(lambda p: net.actor(p, obs).std.sum())(params)["log_std"]
    assert slope[0] == 0 < slope[1]
