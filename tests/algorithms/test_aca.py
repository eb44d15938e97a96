"""SAC+ML and Actor-Critic Alignment against NumPy in float64: every loss, the aligned critics, an update's order."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fastrl.algorithms import aca, rows, sac, sacml
from fastrl.methods import ACA, SACML
from fastrl.recipes.aca import from_offline
from fastrl.types import Clock, UserError

SHARED = {"actor_hidden": (8,), "critic_hidden": (8, 8), "discount": 0.9, "tau": 0.03}
PLAIN = {"squash": False, "std": "uniform"}
OFFLINE = SACML(**SHARED, q_weight=3.0)
ONLINE = ACA(**SHARED, density_floor=1.0, density_end=0.7, density_steps=10.0)
NOW = Clock(jnp.int32(40), jnp.int32(1))
POLICIES = pytest.mark.parametrize("policy", [{}, PLAIN], ids=["squashed", "plain"])


@pytest.fixture(autouse=True)
def double():
    with jax.enable_x64(True):
        yield


@pytest.fixture
def started(filled, ref, spec):
    """A state in float64, of random numbers but for ACA's weight."""

    def start(config):
        state = ref.wide(filled(config.build(spec)))
        return dataclasses.replace(state, weight=jnp.float64(0.8)) if isinstance(config, ACA) else state

    return start


def normal(key, shape=(12, 2)):
    return np.asarray(jax.random.normal(key.copy(), shape))


def of(ref, config, params, obs):
    """Mean and std, before the tanh where there is one."""
    mean, std = ref.actor(params, obs)
    return (
        (mean, std) if config.squash else (np.tanh(mean), np.exp(np.clip(params["log_std"], -5, 0)) * np.ones((12, 2)))
    )


def at(ref, config, params, obs, x):
    """Action and log density of the Gaussian's sample x."""
    mean, std = of(ref, config, params, obs)
    return ref.squashed(mean, std, x) if config.squash else (x, ref.gaussian(mean, std, x))


def sampled(ref, config, params, obs, noise):
    mean, std = of(ref, config, params, obs)
    return at(ref, config, params, obs, mean + std * noise)


def density(ref, config, params, obs, action):
    """Log density of given actions."""
    return at(ref, config, params, obs, np.arctanh(action) if config.squash else action)[1]


def z_of(ref, params, obs):
    return ref.critic(params, obs, obs[:, :0])


def check_temperature(ref, found, s, log_prob, goal):
    np.testing.assert_allclose(found, np.exp(s.temperature.params) * (-log_prob - goal).mean(), rtol=1e-7)


# -- SAC+ML ----------------------------------------------------------------------------------------------------------


@POLICIES
def test_the_actor_climbs_a_relative_q_and_likelihood(policy, started, ref, spec, make_batch):
    config = dataclasses.replace(OFFLINE, **policy, target_entropy=-1.5)
    state, batch, key = started(config), ref.wide(make_batch(0, 12)), jax.random.key(5)
    s, b = ref.to64((state, batch))

    def q_of(actor):
        action, log_prob = sampled(ref, config, actor, b.obs, normal(key))
        return ref.critic(s.critic.params, b.obs, action).min(0), log_prob

    q, log_prob = q_of(s.actor.params)
    scale = 3.0 / abs(q).mean()

    def loss(actor):
        q, log_prob = q_of(actor)
        likelihood = density(ref, config, actor, b.obs, b.action).mean()
        return scale * (np.exp(s.temperature.params) * log_prob - q).mean() - likelihood

    run = sacml.actor_loss(sacml.settled(config), sacml.networks(config, spec))
    for piece in (None, 6):
        grads, metrics = ref.run(run, state, batch, key.copy(), NOW, piece=piece)
        np.testing.assert_allclose(metrics["actor/loss"], loss(s.actor.params), rtol=1e-7)
        np.testing.assert_allclose(*ref.slope(loss, state.actor.params, grads["actor"]), rtol=1e-5)
        check_temperature(ref, grads["temperature"], s, log_prob, -1.5)


@POLICIES
def test_the_baselines_are_what_is_left_of_q(policy, started, ref, spec, make_batch):
    config = dataclasses.replace(OFFLINE, **policy)
    state, batch, key = started(config), ref.wide(make_batch(0, 12)), jax.random.key(5)
    net = sacml.networks(config, spec)
    baselines = sacml.baselines(config, spec)
    s, b = ref.to64((state, batch))
    _, after = sampled(ref, config, s.actor.params, b.next_obs, normal(key))
    least = z_of(ref, s.baseline.params, b.next_obs).min(0)
    y = b.reward + 0.9 * b.mask * (after + least - np.exp(s.temperature.params) * after)
    now = density(ref, config, s.actor.params, b.obs, b.action)
    loss = lambda p: ((now + z_of(ref, p, b.obs) - y) ** 2).mean()
    for piece in (None, 6):
        run = sacml.baseline_loss(config, net, baselines)
        grads, metrics = ref.run(run, state, batch, key.copy(), NOW, piece=piece)
        np.testing.assert_allclose(metrics["baseline/loss"], loss(s.baseline.params), rtol=1e-7)
        np.testing.assert_allclose(*ref.slope(loss, state.baseline.params, grads["baseline"]), rtol=1e-5)
    assert set(grads) == {"baseline"}


def check_step(ref, before, grads, after, rate, clip=np.inf):
    """One step of a fresh Adam, its gradient clipped at a norm."""
    norm = np.sqrt(sum((np.asarray(g) ** 2).sum() for g in jax.tree.leaves(grads)))
    for p, g, x in zip(*map(jax.tree.leaves, (*ref.to64((before.params, grads)), after.params)), strict=True):
        np.testing.assert_allclose(x, ref.adam(p, g * min(1, clip / norm), 0 * p, 0 * p, 1, rate), atol=1e-8)
    return norm


def check_target(before, after, tau=0.03):
    moved = jax.tree.map(lambda old, new: (1 - tau) * old + tau * new, before.target, after.params)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, atol=1e-7), after.target, moved)


def test_one_update_of_sacml_is_critics_and_baselines_then_the_actor(started, ref, spec, make_batch):
    state, batches, key = started(OFFLINE), ref.wide(make_batch(0, 1, 12)), jax.random.key(7)
    config, batch = sacml.settled(OFFLINE), jax.tree.map(lambda x: x[0], batches)
    net = sacml.networks(config, spec)
    baselines = sacml.baselines(config, spec)
    new, _ = ref.run(OFFLINE.build(spec).update, state, batches, key.copy(), NOW)
    first_key, actor_key = jax.random.split(key)
    keys = jax.random.split(first_key)
    grads = ref.run(sac.critic_loss(config, net), state, batch, keys[0], NOW)[0]
    grads |= ref.run(sacml.baseline_loss(config, net, baselines), state, batch, keys[1], NOW)[0]
    for name in ("critic", "baseline"):
        check_step(ref, getattr(state, name), grads[name], getattr(new, name), 3e-4)
    check_target(state.critic, new.critic)
    between = dataclasses.replace(state, critic=new.critic)
    grads = ref.run(sacml.actor_loss(config, net), between, batch, actor_key, NOW)[0]
    check_step(ref, state.actor, grads["actor"], new.actor, 3e-4)
    check_step(ref, state.temperature, grads["temperature"], new.temperature, 3e-4)


# -- ACA -------------------------------------------------------------------------------------------------------------


def floored(ref, config, s, obs, action):
    """softplus(log pi0 - c) + c, c the lower of the densities at both sides."""
    mean, std = of(ref, config, s.offline, obs)
    sides = [at(ref, config, s.offline, obs, mean + side * config.density_floor * std)[1] for side in (-1, 1)]
    low = np.minimum(*sides)
    found = np.log1p(np.exp(density(ref, config, s.offline, obs, action) - low)) + low
    assert (found >= low).all()
    return found


def q_of(ref, config, s, params, obs, action):
    return ref.critic(params, obs, action) + float(s.weight) * floored(ref, config, s, obs, action)


@POLICIES
def test_the_critics_are_a_learned_part_and_a_floored_density(policy, started, ref, spec, make_batch):
    config = dataclasses.replace(ONLINE, **policy)
    state, batch, key = started(config), ref.wide(make_batch(0, 12)), jax.random.key(5)
    net, (s, b) = sacml.networks(config, spec), ref.to64((state, batch))
    views = config.build(spec).views
    for view, params in ((views.q, s.critic.params), (views.target_q, s.critic.target)):
        wanted = q_of(ref, config, s, params, b.obs, b.action)
        np.testing.assert_allclose(view(state, batch.obs, batch.action), wanted, rtol=1e-7)
    action, log_prob = sampled(
        ref, config, s.actor.params, b.next_obs, normal(jax.random.split(key.copy())[0], (12, 1, 2))[:, 0]
    )
    value = q_of(ref, config, s, s.critic.target, b.next_obs, action).min(0)
    y = b.reward + 0.9 * b.mask * (value - np.exp(s.temperature.params) * log_prob)
    loss = lambda p: ((q_of(ref, config, s, p, b.obs, b.action) - y) ** 2).mean()
    run = aca.with_density(sac.critic_loss, sacml.settled(config), net)
    for piece in (None, 6):
        grads, metrics = ref.run(run, state, batch, key.copy(), NOW, piece=piece)
        np.testing.assert_allclose(metrics["critic/loss"], loss(s.critic.params), rtol=1e-7)
        np.testing.assert_allclose(*ref.slope(loss, state.critic.params, grads["critic"]), rtol=1e-5)


@POLICIES
def test_the_actor_climbs_both_parts(policy, started, ref, spec, make_batch):
    config = dataclasses.replace(ONLINE, **policy)
    state, batch, key = started(config), ref.wide(make_batch(0, 12)), jax.random.key(5)
    s, b = ref.to64((state, batch))
    noise = normal(jax.random.split(key.copy(), 3)[0])

    def loss(actor):
        action, log_prob = sampled(ref, config, actor, b.obs, noise)
        q = q_of(ref, config, s, s.critic.params, b.obs, action).min(0)
        return (np.exp(s.temperature.params) * log_prob - q).mean()

    run = aca.with_density(sac.actor_loss, sacml.settled(config), sacml.networks(config, spec))
    for piece in (None, 6):
        grads, metrics = ref.run(run, state, batch, key.copy(), NOW, piece=piece)
        np.testing.assert_allclose(metrics["actor/loss"], loss(s.actor.params), rtol=1e-7)
        np.testing.assert_allclose(*ref.slope(loss, state.actor.params, grads["actor"]), rtol=1e-5)
        log_prob = sampled(ref, config, s.actor.params, b.obs, noise)[1]
        check_temperature(ref, grads["temperature"], s, log_prob, -2.0)


def test_several_candidates_have_the_density_of_each(started, ref, spec, make_batch):
    state, batch = started(ONLINE), ref.wide(make_batch(0, 12))
    critic = aca.aligned(ONLINE, sacml.networks(ONLINE, spec), state).critic
    actions = jnp.stack([batch.action, 0.5 * batch.action], 1)
    both = critic.candidates(state.critic.params, batch.obs, actions)
    for k in range(2):
        one = critic.q(state.critic.params, batch.obs, actions[:, k])
        np.testing.assert_allclose(both[:, :, k], one, rtol=1e-9)


def test_one_update_of_aca_is_critics_then_the_actor_then_the_weight(started, ref, spec, make_batch):
    state, batches, key = started(ONLINE), ref.wide(make_batch(0, 1, 12)), jax.random.key(7)
    config, batch = sacml.settled(ONLINE), jax.tree.map(lambda x: x[0], batches)
    net = sacml.networks(config, spec)
    new, metrics = ref.run(ONLINE.build(spec).update, state, batches, key.copy(), NOW)
    critic_key, rest_key = jax.random.split(key)
    grads = ref.run(aca.with_density(sac.critic_loss, config, net), state, batch, critic_key, NOW)[0]
    check_step(ref, state.critic, grads["critic"], new.critic, 3e-4)
    check_target(state.critic, new.critic)
    between = dataclasses.replace(state, critic=new.critic)
    actor_key = jax.random.split(rest_key)[0]
    grads = ref.run(aca.with_density(sac.actor_loss, config, net), between, batch, actor_key, NOW)[0]
    assert check_step(ref, state.actor, grads["actor"], new.actor, 3e-4, clip=0.25) > 0.25  # it was clipped
    check_step(ref, state.temperature, grads["temperature"], new.temperature, 3e-4)
    np.testing.assert_allclose([metrics["density/weight"], new.weight], [0.8, 0.7], rtol=1e-9)
    jax.tree.map(np.testing.assert_array_equal, new.offline, state.offline)


def test_the_weight_falls_on_a_line_by_updates_of_the_actor_and_stays_at_its_end(started, ref, spec, make_batch):
    state, batches = dataclasses.replace(started(ONLINE), weight=jnp.float64(1.0)), ref.wide(make_batch(0, 3, 12))
    fade, one, found = aca.fading(ONLINE), jax.tree.map(lambda x: x[0], batches), []
    for _ in range(5):
        found.append(float(state.weight))
        state, _ = fade(state, one, jax.random.key(0), NOW)
    np.testing.assert_allclose(found, [1.0, 0.9, 0.8, 0.7, 0.7], rtol=1e-9)
    state = dataclasses.replace(state, weight=jnp.float64(1.0))
    for config, left in ((ONLINE, 0.9), (dataclasses.replace(ONLINE, critics_alone=True), 1.0)):
        new, _ = ref.run(config.build(spec).update, state, batches, jax.random.key(7), NOW)
        np.testing.assert_allclose(new.weight, left, rtol=1e-9)
        assert int(new.critic.opt.count) == 3 and int(new.actor.opt.count) == (left < 1)


@pytest.mark.parametrize("layer_norm", [False, True])
def test_at_the_switch_the_learned_part_is_the_baseline_for_every_action(layer_norm, started, ref, spec, make_batch):
    online, offline = (dataclasses.replace(config, layer_norm=layer_norm) for config in (ONLINE, OFFLINE))
    fresh, previous = started(online), started(offline)
    state = from_offline(fresh, previous)
    s, b = ref.to64((state, make_batch(0, 12)))
    z = z_of(ref, ref.to64(previous.baseline.params), b.obs)
    for action in (b.action, -b.action, np.ones_like(b.action), 0 * b.action):
        np.testing.assert_array_equal(ref.critic(s.critic.params, b.obs, action), z)
        np.testing.assert_array_equal(ref.critic(s.critic.target, b.obs, action), z)
    for policy in (state.actor.params, state.offline):
        jax.tree.map(np.testing.assert_array_equal, policy, previous.actor.params)
    jax.tree.map(np.testing.assert_array_equal, state.actor.opt, previous.actor.opt)
    assert state.temperature is fresh.temperature and not int(state.critic.opt.count)
    jax.tree.map(np.testing.assert_array_equal, from_offline(fresh, state), state)  # ACA goes on with all of ACA


def test_an_agent_without_baselines_is_refused(started):
    fresh = started(ONLINE)
    plain = sac.SACState(fresh.actor, fresh.critic, fresh.temperature)
    with pytest.raises(UserError, match="ACA starts from the baselines of SAC"):
        from_offline(fresh, plain)


def test_at_the_start_the_temperature_and_the_weight_are_one(spec):
    state = ONLINE.build(spec).init(jax.random.key(0))
    assert float(state.temperature.params) == 0.0 and float(state.weight) == 1.0
    jax.tree.map(np.testing.assert_array_equal, state.offline, state.actor.params)


@pytest.mark.parametrize("config", [OFFLINE, ONLINE], ids=["SAC+ML", "ACA"])
def test_pieces_change_rounding_only(config, started, ref, spec, make_batch):
    state, batches, found = started(config), ref.wide(make_batch(0, 1, 12)), []
    for piece in (None, 6):
        with rows.pieces_of(piece):
            new, _ = jax.jit(config.build(spec).update)(state, batches, jax.random.key(7), NOW)
        found.append(new)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-9, atol=1e-10), *found)
