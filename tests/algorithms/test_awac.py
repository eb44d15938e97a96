import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fastrl.algorithms import awac, sac, transfer
from fastrl.methods import AWAC, SAC

SMALL = AWAC(actor_hidden=(16,), critic_hidden=(16, 16), advantage_temperature=0.5, max_weight=2.0)


KINDS = {"plain": {}, "tanh-mean": {"tanh_mean": True}, "squashed": {"squash": True, "std": "exp"}}


@pytest.fixture
def started(filled, spec):
    """A state; the same networks are a plain Gaussian's with one std, or a squashed one's with a head for it."""
    return lambda config: filled(awac.awac(config, spec))


def taken(loss, config, spec, ref, *args, piece=None):
    return ref.run(loss(config, awac.networks(config, spec)), *args, ref.clock, piece=piece)


def policy(config, ref, params, obs):
    """Mean, std, and what becomes of a sample [B, A] of the Gaussian."""
    mean, std = ref.actor(params, obs)
    mean = np.tanh(mean) if config.tanh_mean else mean
    return mean, std, np.tanh if config.squash else lambda x: np.clip(x, -1, 1)


def noise(key, batch):
    return np.asarray(jax.random.normal(key, batch.action.shape), np.float64)


@pytest.mark.parametrize("kind", KINDS)
def test_the_critics_target_has_no_entropy(kind, started, ref, spec, make_batch):
    config = dataclasses.replace(SMALL, **KINDS[kind])
    state, batch, key = started(config), make_batch(0, 12), jax.random.key(5)
    grads, metrics = taken(awac.critic_loss, config, spec, ref, state, batch, jax.random.clone(key), piece=6)
    rows, target, actor = ref.to64((batch, state.critic.target, state.actor.params))
    mean, std, played = policy(config, ref, actor, rows.next_obs)
    drawn = mean + std * noise(key, batch)
    assert (abs(drawn) > 1).any()
    action = played(drawn)
    y = rows.reward + 0.99 * rows.mask * ref.critic(target, rows.next_obs, action).min(0)
    td = lambda critic: ((ref.critic(critic, rows.obs, rows.action) - y) ** 2).mean()
    np.testing.assert_allclose(metrics["critic/loss"], td(ref.to64(state.critic.params)), rtol=1e-4)
    np.testing.assert_allclose(*ref.slope(td, state.critic.params, grads["critic"]), rtol=2e-3)


@pytest.mark.parametrize(
    ("weighting", "kind"), [("clip", "plain"), ("softmax", "plain"), ("softmax", "tanh-mean"), ("clip", "squashed")]
)
def test_the_actor_imitates_by_the_advantage_over_its_own_action(weighting, kind, started, ref, spec, make_batch):
    config = dataclasses.replace(SMALL, weighting=weighting, **KINDS[kind])
    state, batch, key = started(config), make_batch(0, 12), jax.random.key(5)
    grads, metrics = taken(awac.actor_loss, config, spec, ref, state, batch, jax.random.clone(key))
    assert set(grads) == {"actor"}
    rows, critic, old = ref.to64((batch, state.critic.params, state.actor.params))
    mean, std, played = policy(config, ref, old, rows.obs)
    own = played(mean + std * noise(key, batch))
    advantage = (ref.critic(critic, rows.obs, rows.action).min(0) - ref.critic(critic, rows.obs, own).min(0)) / 0.5
    weight = np.minimum(np.exp(advantage), 2.0)
    assert (weight == 2).any() and (weight < 2).any()
    if weighting == "softmax":
        weight = 12 * np.exp(advantage) / np.exp(advantage).sum()

    def loss(actor):
        mean, std, _ = policy(config, ref, actor, rows.obs)
        x = np.arctanh(np.clip(rows.action, -0.99999, 0.99999))
        density = ref.squashed(mean, std, x)[1] if config.squash else ref.gaussian(mean, std, rows.action)
        return -(weight * density).mean()

    np.testing.assert_allclose(metrics["actor/loss"], loss(old), rtol=1e-4)
    np.testing.assert_allclose(*ref.slope(loss, state.actor.params, grads["actor"]), rtol=2e-3)
    pieces, _ = taken(awac.actor_loss, config, spec, ref, state, batch, jax.random.clone(key), piece=4)
    for a, b in zip(jax.tree.leaves(grads), jax.tree.leaves(pieces), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_the_actor_sees_the_critics_just_stepped(started, ref, spec, make_batch):
    """One update: with the actor's loss at the old critics the actor would end elsewhere."""
    config = dataclasses.replace(SMALL, critic_lr=0.3, actor_lr=1e-3)
    started, batch, key = started(config), make_batch(0, 1, 12), jax.random.key(7)
    new, _ = ref.run(awac.awac(config, spec).update, started, batch, jax.random.clone(key), ref.clock)
    assert [int(x.opt.count) for x in (new.critic, new.actor)] == [1, 1]
    keys = jax.random.split(key)
    one = jax.tree.map(lambda x: x[0], batch)
    stepped = dataclasses.replace(started, critic=new.critic)
    for state, same in ((stepped, True), (started, False)):
        grads, _ = taken(awac.actor_loss, config, spec, ref, state, one, jax.random.clone(keys)[1])
        leaf = lambda tree: np.asarray(tree["mean"]["bias"], np.float64)
        moved = ref.adam(leaf(started.actor.params), leaf(grads["actor"]), 0, 0, 1, 1e-3)
        assert np.allclose(moved, leaf(new.actor.params), atol=1e-6) == same


def test_the_target_moves_after_the_critics(started, ref, spec, make_batch):
    started = started(SMALL)
    new, _ = ref.run(awac.awac(SMALL, spec).update, started, make_batch(0, 1, 12), jax.random.key(7), ref.clock)
    for old, params, target in zip(
        *(jax.tree.leaves(x) for x in (started.critic.target, new.critic.params, new.critic.target)), strict=True
    ):
        np.testing.assert_allclose(target, old + 0.005 * (params - old), rtol=1e-5, atol=1e-6)
    assert jnp.isfinite(new.actor.params["mean"]["bias"]).all()


def test_sac_goes_on_from_a_squashed_one_with_its_networks(spec):
    config = dataclasses.replace(SMALL, squash=True, std="exp", layer_norm=True, num_critics=10)
    online = sac.sac(SAC(actor_hidden=(16,), critic_hidden=(16, 16)), spec).init(jax.random.key(0))
    before = awac.awac(config, spec).init(jax.random.key(1))
    after = transfer.adopt(online, before)
    for got, own in ((after.actor, before.actor), (after.critic, before.critic)):
        jax.tree.map(np.testing.assert_array_equal, got, own)
    jax.tree.map(np.testing.assert_array_equal, after.temperature, online.temperature)
