"""PROTO on SAC and on TD3 against NumPy in float64: targets, losses, gradients, the order of an update, schedules."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fastrl.algorithms import proto, prototd3, rows
from fastrl.methods import PROTO, PROTOTD3
from fastrl.types import Clock

SHARED = {
    "actor_hidden": (8,),
    "critic_hidden": (8,),
    "regularization_weight": 1.5,
    "regularization_steps": 100.0,
    "regularization_tau": 0.2,
    "tau": 0.03,
    "discount": 0.9,
}
SAC = PROTO(**SHARED, num_critics=3)
TD3 = PROTOTD3(**SHARED, target_noise=0.4)
NOW = Clock(jnp.int32(40), jnp.int32(1))
ETA = 1.5 * 0.6


@pytest.fixture(autouse=True)
def double():
    with jax.enable_x64(True):
        yield


@pytest.fixture
def started(filled, ref, spec):
    """A state in float64, the actor's target not its parameters, whose policy often draws beyond [-1, 1]."""
    return lambda config: ref.wide(filled(config.build(spec)))


def policy(ref, params, obs):
    """Mean and std of a Gaussian with a tanh on its mean."""
    mean, _ = ref.actor(params, obs)
    return np.tanh(mean), np.exp(np.maximum(params["log_std"], -5)) * np.ones_like(mean)


def sampled(ref, params, obs, noise):
    mean, std = policy(ref, params, obs)
    action = mean + std * noise
    return action, ref.gaussian(mean, std, action)


def normal(key, shape=(12, 2)):
    return np.asarray(jax.random.normal(key.copy(), shape))


def away(ref, s, obs, action, log_prob):
    return log_prob - ref.gaussian(*policy(ref, s.actor.target, obs), action)


@pytest.mark.parametrize("step", [0, 40, 100, 250])
def test_the_weight_falls_on_a_line_over_environment_steps(step):
    found = [proto.weight(config, Clock(jnp.int32(step), jnp.int32(7))) for config in (SAC, TD3)]
    np.testing.assert_allclose(found, 1.5 * max(1 - step / 100, 0))
    tenth = proto.weight(PROTO(), Clock(jnp.int32(1_000_000), jnp.int32(0)))
    np.testing.assert_allclose(tenth, 0.1 * 2.0, rtol=1e-6)  # of eta_0, after a million steps


@pytest.mark.parametrize(
    "changes", [{}, {"subset_size": 1, "backup_regularization": False}, {"subset_size": 3}], ids=str
)
def test_the_target(changes, started, ref, spec, make_batch):
    config = dataclasses.replace(SAC, **changes)
    state, batch, key = started(config), ref.wide(make_batch(0, 12)), jax.random.key(5)
    net = proto.networks(config, spec)
    got = ref.run(lambda *x: proto.td_target(config, net, *x, jnp.float64(ETA)), state, batch, key.copy())
    s, b = ref.to64((state, batch))
    noise_key, subset_key = jax.random.split(key)
    action, log_prob = sampled(ref, s.actor.params, b.next_obs, normal(noise_key))
    assert (abs(action) > 1).any()
    q = ref.critic(s.critic.target, b.next_obs, action)
    drawn = np.arange(3) if config.subset_size == 3 else np.asarray(jax.random.permutation(subset_key, 3))
    value = q[drawn[: config.subset_size]].min(0)
    if config.backup_regularization:
        value = value - np.exp(s.temperature.params) * log_prob - ETA * away(ref, s, b.next_obs, action, log_prob)
    np.testing.assert_allclose(got, b.reward + 0.9 * b.mask * value, rtol=1e-9)


@pytest.mark.parametrize("changes", [{}, {"actor_q": "min", "target_entropy": -3.0}], ids=str)
def test_actor_and_temperature(changes, started, ref, spec, make_batch):
    config = dataclasses.replace(SAC, **changes)
    state, batch, key = started(config), ref.wide(make_batch(0, 12)), jax.random.key(5)
    loss = proto.actor_loss(config, proto.networks(config, spec))
    s, b = ref.to64((state, batch))
    for piece in (None, 6):
        grads, metrics = ref.run(loss, state, batch, key.copy(), NOW, piece=piece)

        def each(actor):
            action, log_prob = sampled(ref, actor, b.obs, normal(key))
            q = ref.critic(s.critic.params, b.obs, action)
            q = q.min(0) if config.actor_q == "min" else q.mean(0)
            return np.exp(s.temperature.params) * log_prob - q + ETA * away(ref, s, b.obs, action, log_prob), log_prob

        value, log_prob = each(s.actor.params)
        np.testing.assert_allclose(metrics["actor/loss"], value.mean(), rtol=1e-9)
        np.testing.assert_allclose(metrics["regularization/weight"], ETA, rtol=1e-9)
        np.testing.assert_allclose(*ref.slope(lambda p: each(p)[0].mean(), s.actor.params, grads["actor"]), rtol=1e-5)
        goal = -1.0 if config.target_entropy is None else -3.0  # minus half of the two dimensions
        slope = np.exp(s.temperature.params) * (-log_prob - goal).mean()
        np.testing.assert_allclose(grads["temperature"], slope, rtol=1e-9)


def check_step(ref, before, grads, after, rate):
    """One step of a fresh Adam."""
    for p, g, x in zip(*map(jax.tree.leaves, (*ref.to64((before.params, grads)), after.params)), strict=True):
        np.testing.assert_allclose(x, ref.adam(p, g, 0 * p, 0 * p, 1, rate), atol=1e-8)


def check_target(before, after, tau):
    moved = jax.tree.map(lambda old, new: (1 - tau) * old + tau * new, before.target, after.params)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, atol=1e-7), after.target, moved)


def test_one_update_is_critics_then_the_actor_with_these_then_its_average(started, ref, spec, make_batch):
    state, batches, key = started(SAC), ref.wide(make_batch(0, 1, 12)), jax.random.key(7)
    batch, net = jax.tree.map(lambda x: x[0], batches), proto.networks(SAC, spec)
    new, metrics = ref.run(SAC.build(spec).update, state, batches, key.copy(), NOW)
    critic_key, actor_key = jax.random.split(key)
    y = ref.run(lambda *x: proto.td_target(SAC, net, *x, jnp.float64(ETA)), state, batch, critic_key.copy())
    grads = ref.run(proto.critic_loss(SAC, net), state, batch, critic_key, NOW)[0]
    b, y = ref.to64((batch, y))
    loss = lambda p: ((ref.critic(p, b.obs, b.action) - y) ** 2).mean()
    np.testing.assert_allclose(*ref.slope(loss, state.critic.params, grads["critic"]), rtol=1e-5)
    check_step(ref, state.critic, grads["critic"], new.critic, 3e-4)
    check_target(state.critic, new.critic, 0.03)
    between = dataclasses.replace(state, critic=new.critic)
    grads, found = ref.run(proto.actor_loss(SAC, net), between, batch, actor_key, NOW)
    check_step(ref, state.actor, grads["actor"], new.actor, 3e-4)
    check_step(ref, state.temperature, grads["temperature"], new.temperature, 3e-4)
    check_target(state.actor, new.actor, 0.2)
    np.testing.assert_allclose(metrics["actor/loss"], found["actor/loss"], rtol=1e-9)


def counts(state):
    return [int(x.opt.count) for x in (state.critic, state.actor)]


def test_at_high_utd_the_rest_steps_once_and_with_critics_alone_never(started, ref, spec, make_batch):
    state, batches = started(SAC), ref.wide(make_batch(0, 3, 12))
    new, _ = ref.run(SAC.build(spec).update, state, batches, jax.random.key(7), NOW)
    assert counts(new) == [3, 1]
    alone = dataclasses.replace(SAC, critics_alone=True)
    new, _ = ref.run(alone.build(spec).update, state, batches, jax.random.key(7), NOW)
    assert counts(new) == [3, 0]
    jax.tree.map(np.testing.assert_array_equal, new.actor, state.actor)


def test_the_last_policy_starts_as_the_policy(spec):
    for config in (SAC, TD3):
        state = config.build(spec).init(jax.random.key(0))
        jax.tree.map(np.testing.assert_array_equal, state.actor.target, state.actor.params)


# -- on TD3 ----------------------------------------------------------------------------------------------------------


def distance(ref, s, actor, obs):
    return ((policy(ref, actor, obs)[0] - policy(ref, s.actor.target, obs)[0]) ** 2).mean()


@pytest.mark.parametrize("changes", [{}, {"subset_size": 1, "backup_regularization": False}], ids=str)
def test_td3_critics(changes, started, ref, spec, make_batch):
    config = dataclasses.replace(TD3, **changes)
    state, batch, key = started(config), ref.wide(make_batch(0, 12)), jax.random.key(5)
    loss = prototd3.critic_loss(config, proto.networks(config, spec))
    s, b = ref.to64((state, batch))
    noise_key, subset_key = jax.random.split(key.copy())
    smooth = np.clip(0.4 * normal(noise_key), -0.5, 0.5)
    action = np.clip(policy(ref, s.actor.params, b.next_obs)[0] + smooth, -1, 1)
    q = ref.critic(s.critic.target, b.next_obs, action)
    if config.backup_regularization:
        value = q.min(0) - ETA * distance(ref, s, s.actor.params, b.next_obs)
    else:
        value = q[int(jax.random.permutation(subset_key, 2)[0])]
    y = b.reward + 0.9 * b.mask * value
    td = lambda p: ((ref.critic(p, b.obs, b.action) - y) ** 2).mean(1).sum()
    for piece in (None, 6):
        grads, metrics = ref.run(loss, state, batch, key.copy(), NOW, piece=piece)
        np.testing.assert_allclose(metrics["critic/loss"], td(s.critic.params), rtol=1e-9)
        np.testing.assert_allclose(*ref.slope(td, s.critic.params, grads["critic"]), rtol=1e-5)


def test_td3_actor(started, ref, spec, make_batch):
    state, batch = started(TD3), ref.wide(make_batch(0, 12))
    s, b = ref.to64((state, batch))
    first = lambda actor: ref.critic(s.critic.params, b.obs, policy(ref, actor, b.obs)[0])[0]
    scale = 2.5 / abs(first(s.actor.params)).mean()

    def loss(actor):
        return -scale * first(actor).mean() + ETA * distance(ref, s, actor, b.obs)

    run = prototd3.actor_loss(TD3, proto.networks(TD3, spec))
    for piece in (None, 6):
        grads, metrics = ref.run(run, state, batch, jax.random.key(5), NOW, piece=piece)
        np.testing.assert_allclose(metrics["actor/loss"], loss(s.actor.params), rtol=1e-9)
        np.testing.assert_allclose(*ref.slope(loss, s.actor.params, grads["actor"]), rtol=1e-5)
        assert not np.any(grads["actor"]["log_std"])  # at the mode the std does not matter


def test_td3_steps_the_actor_and_both_targets_at_every_second_update(started, ref, spec, make_batch):
    state, batches, key = started(TD3), ref.wide(make_batch(0, 1, 12)), jax.random.key(7)
    batch, update = jax.tree.map(lambda x: x[0], batches), TD3.build(spec).update
    early, _ = ref.run(update, state, batches, key.copy(), Clock(jnp.int32(40), jnp.int32(0)))
    assert counts(early) == [1, 0]
    jax.tree.map(np.testing.assert_array_equal, early.critic.target, state.critic.target)
    jax.tree.map(np.testing.assert_array_equal, early.actor, state.actor)
    new, _ = ref.run(update, state, batches, key.copy(), NOW)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, atol=1e-12), new.critic.params, early.critic.params)
    check_target(state.critic, new.critic, 0.03)
    between = dataclasses.replace(state, critic=new.critic)
    loss = prototd3.actor_loss(TD3, proto.networks(TD3, spec))
    grads, _ = ref.run(loss, between, batch, jax.random.key(0), NOW)
    check_step(ref, state.actor, grads["actor"], new.actor, 3e-4)
    check_target(state.actor, new.actor, 0.2)


def test_td3_plays_the_mode_with_noise_on_it(started, ref, spec, make_batch):
    state, obs, algorithm = started(TD3), ref.wide(make_batch(0, 12)).obs, TD3.build(spec)
    mean, _ = policy(ref, *ref.to64((state.actor.params, obs)))
    np.testing.assert_allclose(algorithm.act(state, obs, jax.random.key(0), False), mean, atol=1e-9)
    noise = normal(jax.random.key(0))
    played = algorithm.act(state, obs, jax.random.key(0), True)
    np.testing.assert_allclose(played, np.clip(mean + 0.2 * noise, -1, 1), atol=1e-9)
    np.testing.assert_allclose(algorithm.views.policy(state, obs).mode(), mean, atol=1e-9)


@pytest.mark.parametrize("config", [SAC, dataclasses.replace(TD3, policy_delay=1)], ids=["SAC", "TD3"])
def test_pieces_change_rounding_only(config, started, ref, spec, make_batch):
    state, batches, found = started(config), ref.wide(make_batch(0, 1, 12)), []
    for piece in (None, 6):
        with rows.pieces_of(piece):
            new, _ = jax.jit(config.build(spec).update)(state, batches, jax.random.key(7), NOW)
        found.append(new)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-9, atol=1e-10), *found)
