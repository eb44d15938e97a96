import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fastrl.algorithms import parts, rows, sac, step
from fastrl.algorithms.group import Group
from fastrl.algorithms.optimisers import AdamState
from fastrl.methods import SAC
from fastrl.types import Clock, UserError

SMALL = SAC(actor_hidden=(16,), critic_hidden=(16, 16), num_critics=4)


@pytest.fixture
def started(filled, spec):
    """A state, the actor's Adam of which is moving."""

    def start(config):
        state = filled(sac.sac(config, spec))
        fill = lambda tree, x: jax.tree.map(lambda leaf: jnp.full_like(leaf, x), tree)
        moving = AdamState(fill(state.actor.params, 1e-3), fill(state.actor.params, 1e-6), jnp.int32(9))
        temperature = dataclasses.replace(state.temperature, params=jnp.float32(-0.3))
        actor = dataclasses.replace(state.actor, opt=moving)
        return dataclasses.replace(state, temperature=temperature, actor=actor)

    return start


@pytest.fixture
def gradients(ref, spec):
    """`(loss, config, state, batch, key, piece) -> (gradients by group, metrics)`; the loss is sac's function."""

    def take(loss, config, state, batch, key, piece=None):
        return ref.run(loss(config, parts.networks(config, spec)), state, batch, key, ref.clock, piece=piece)

    return take


def numpy_target(ref, config, state, batch, key):
    """y [B] from the keys' own noise and subset."""
    noise_key, subset_key = jax.random.split(key)
    count = 10 if config.backup == "max_actions" else 1
    noise = np.asarray(jax.random.normal(noise_key, (len(batch.reward), count, 2)), np.float64)
    target, actor, rows = ref.to64((state.critic.target, state.actor.params, batch))
    mean, std = ref.actor(actor, rows.next_obs)
    temperature = np.log1p(np.exp(float(state.temperature.params)))
    values = []
    for k in range(count):
        action, log_prob = ref.squashed(mean, std, mean + std * noise[:, k])
        q = ref.critic(target, rows.next_obs, action)
        if config.backup == "max_critics":
            q = q.max(0)
        else:
            q = q[np.asarray(jax.random.permutation(subset_key.copy(), 4)[:2])].min(0)
        values.append(q - temperature * log_prob if config.backup_entropy else q)
    return rows.reward + 0.99 * rows.mask * np.max(values, 0)


@pytest.mark.parametrize(
    "changes",
    [{}, {"backup": "max_actions"}, {"backup": "max_critics"}, {"backup_entropy": True, "std": "uniform"}],
    ids=str,
)
def test_target(changes, started, ref, spec, make_batch):
    config = dataclasses.replace(SMALL, **changes)
    state = started(config)
    batch = make_batch(0, 12)
    want = numpy_target(ref, config, state, batch, jax.random.key(5))
    net = parts.networks(config, spec)
    target = lambda state, *args: sac.td_target(config, net, state, *sac.foreseen(config, net, state, *args))
    for piece in (None, 40):
        got = ref.run(target, state, batch, jax.random.key(5), piece=piece)
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)
    ended = np.asarray(batch.mask) == 0
    np.testing.assert_array_equal(np.asarray(got)[ended], np.asarray(batch.reward)[ended])
    assert not np.isclose(got, batch.reward)[~ended].any()  # a truncated row (mask 1) bootstraps


@pytest.mark.parametrize("shared", [False, True])
def test_critic_gradient(shared, started, gradients, ref, make_batch):
    config = dataclasses.replace(SMALL, shared_head=shared)
    state = started(config)
    batch = make_batch(0, 12)
    grads, metrics = gradients(sac.critic_loss, config, state, batch, jax.random.key(5))
    assert set(grads) == {"critic"}
    target = numpy_target(ref, config, state, batch, jax.random.key(5))
    rows = ref.to64(batch)

    def loss(critic):
        return ((ref.critic(critic, rows.obs, rows.action) - target) ** 2).mean()

    np.testing.assert_allclose(metrics["critic/loss"], loss(ref.to64(state.critic.params)), rtol=1e-4)
    np.testing.assert_allclose(metrics["critic/target"], target.mean(), rtol=1e-4)
    np.testing.assert_allclose(*ref.slope(loss, state.critic.params, grads["critic"]), rtol=2e-3)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"actor_q": "mean", "temperature_obs": "current", "temperature_form": "exp", "target_entropy": -1.0},
        {"bc_weight": 0.3, "std": "uniform"},
    ],
    ids=str,
)
def test_actor_and_temperature_gradients(changes, started, gradients, ref, make_batch):
    config = dataclasses.replace(SMALL, **changes)
    state = started(config)
    batch = make_batch(0, 12)
    grads, metrics = gradients(sac.actor_loss, config, state, batch, jax.random.key(5), piece=6)
    assert set(grads) == {"actor", "temperature"}  # none reaches the critics
    keys = jax.random.split(jax.random.key(5), 3)
    noise, next_noise = (np.asarray(jax.random.normal(k, (12, 2)), np.float64) for k in keys[:2])
    critic, rows = ref.to64((state.critic.params, batch))
    raw = float(state.temperature.params)
    temperature = np.exp(raw) if config.temperature_form == "exp" else np.log1p(np.exp(raw))

    def loss(actor):
        mean, std = ref.actor(actor, rows.obs)
        action, log_prob = ref.squashed(mean, std, mean + std * noise)
        q = ref.critic(critic, rows.obs, action)
        q = q.min(0) if config.actor_q == "min" else q.mean(0)
        data = ref.squashed(mean, std, np.arctanh(np.clip(rows.action, -0.99999, 0.99999)))[1]
        w = config.bc_weight
        return (1 - w) * (temperature * log_prob - q).mean() - w * data.mean()

    np.testing.assert_allclose(metrics["actor/loss"], loss(ref.to64(state.actor.params)), rtol=1e-4)
    np.testing.assert_allclose(*ref.slope(loss, state.actor.params, grads["actor"]), rtol=2e-3)
    here = config.temperature_obs == "current"
    mean, std = ref.actor(ref.to64(state.actor.params), rows.obs if here else rows.next_obs)
    entropy = -ref.squashed(mean, std, mean + std * (noise if here else next_noise))[1].mean()
    derivative = temperature if config.temperature_form == "exp" else 1 / (1 + np.exp(-raw))
    goal = -2.0 if config.target_entropy is None else config.target_entropy
    np.testing.assert_allclose(metrics["actor/entropy"], entropy, rtol=1e-4)
    np.testing.assert_allclose(metrics["temperature/value"], temperature, rtol=1e-5)
    np.testing.assert_allclose(grads["temperature"], derivative * (entropy - goal), rtol=1e-4)


def check_adam(ref, rate, before, grads, after):
    """`after` is `before`, one Adam step on."""
    old, opt = ref.to64((before.params, grads, before.opt.first, before.opt.second)), before.opt
    for p, g, m, v, new in zip(*map(jax.tree.leaves, (*old, after.params)), strict=True):
        np.testing.assert_allclose(new, ref.adam(p, g, m, v, int(opt.count) + 1, rate), atol=2e-6)
    assert int(after.opt.count) == int(opt.count) + 1


def test_one_update_takes_all_losses_at_the_old_parameters(started, gradients, ref, spec, make_batch):
    algorithm, state = sac.sac(SMALL, spec), started(SMALL)
    batches = make_batch(0, 1, 12)
    new, metrics = ref.run(algorithm.update, state, batches, jax.random.key(7), ref.clock)
    critic_key, actor_key = jax.random.split(jax.random.key(7))
    batch = jax.tree.map(lambda x: x[0], batches)
    critic, _ = gradients(sac.critic_loss, SMALL, state, batch, critic_key)
    rest, _ = gradients(sac.actor_loss, SMALL, state, batch, actor_key)
    check_adam(ref, 3e-4, state.critic, critic["critic"], new.critic)
    check_adam(ref, 1e-4, state.actor, rest["actor"], new.actor)
    check_adam(ref, 1e-4, state.temperature, rest["temperature"], new.temperature)
    averaged = jax.tree.map(lambda t, c: 0.995 * t + 0.005 * c, state.critic.target, new.critic.params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), new.critic.target, averaged)
    assert new.actor.target is None and new.temperature.target is None
    assert all(x.dtype == jnp.float32 and x.shape == () for x in metrics.values())


def composed(config, spec, state, batches, key, clock):
    """U critic steps, the target's average after each, and one step of the rest on all rows, one by one."""
    net, optimisers = parts.networks(config, spec), sac.optimisers_of(config)
    descend = jax.jit(lambda state, grads: step.descend(state, grads, optimisers))
    critic, rest = jax.jit(sac.critic_loss(config, net)), jax.jit(sac.actor_loss(config, net))

    def ghosts(state, *names):
        zeros = {name: jax.tree.map(jnp.zeros_like, getattr(state, name).params) for name in names}
        return descend(state, zeros) if config.ghost_adam else state

    critic_key, rest_key = jax.random.split(key)
    for u, own in enumerate(jax.random.split(critic_key, len(batches.reward))):
        state = descend(state, critic(state, jax.tree.map(lambda x: x[u], batches), own, clock)[0])
        moved = jax.tree.map(lambda t, c: 0.995 * t + 0.005 * c, state.critic.target, state.critic.params)
        state = dataclasses.replace(state, critic=Group(state.critic.params, state.critic.opt, moved))
        state = ghosts(state, "actor", "temperature")
    union = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), batches)
    return ghosts(descend(state, rest(state, union, rest_key, clock)[0]), "critic")


@pytest.mark.parametrize("ghost", [False, True])
def test_high_utd_is_its_steps_in_order_and_resting_networks_rest(ghost, started, ref, spec, make_batch):
    config = dataclasses.replace(SMALL, ghost_adam=ghost)
    state = started(SMALL)
    batches = make_batch(0, 3, 12)
    with rows.pieces_of(None):
        want = composed(config, spec, state, batches, jax.random.key(7), ref.clock)
    update = jax.jit(sac.sac(config, spec).update)
    with rows.pieces_of(9):  # which changes rounding only
        new, _ = update(state, batches, jax.random.key(7), ref.clock)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), new, want)
        update(new, batches, jax.random.key(8), Clock(jnp.int32(1), jnp.int32(1)))
    assert update._cache_size() == 1  # one program for all calls: the state's types are stable
    counts = [int(x.opt.count) for x in (new.critic, new.actor, new.temperature)]
    assert counts == ([4, 13, 4] if ghost else [3, 10, 1])


@pytest.mark.parametrize("ghost", [False, True])
def test_a_resting_actor_is_moved_by_its_stale_momentum_or_by_nothing(ghost, started, ref, spec, make_batch):
    config = dataclasses.replace(SMALL, ghost_adam=ghost)
    optimisers, state = sac.optimisers_of(config), started(SMALL)
    loss = sac.critic_loss(config, parts.networks(config, spec))
    one = step.together(optimisers, loss, tau=config.tau, targets=("critic",))
    one = sac.ghosted(optimisers, one, ("actor", "temperature")) if ghost else one
    new, _ = ref.run(one, state, jax.tree.map(lambda x: x[0], make_batch(0, 1, 12)), jax.random.key(7), ref.clock)
    if ghost:
        zeros = jax.tree.map(jnp.zeros_like, state.actor.params)
        check_adam(ref, 1e-4, state.actor, zeros, new.actor)
        moved = abs(new.actor.params["mean"]["kernel"] - state.actor.params["mean"]["kernel"]).max()
        assert moved > 1e-6
    else:
        jax.tree.map(np.testing.assert_array_equal, new.actor, state.actor)
        jax.tree.map(np.testing.assert_array_equal, new.temperature, state.temperature)


def test_values_of_constant_rewards(ref, spec, make_batch):
    config = dataclasses.replace(SMALL, num_critics=2, critic_lr=3e-3, tau=0.05, discount=0.5)
    algorithm = sac.sac(config, spec)
    noise = make_batch(0, 2, 32)
    side = jnp.where(noise.reward > 0, 1.0, -1.0)  # rows at +1 end, rows at -1 are only truncated
    batch = dataclasses.replace(
        noise,
        obs=side[..., None] + 0.1 * noise.obs,
        reward=jnp.ones((2, 32)),
        mask=(side < 0).astype(jnp.float32),
        next_obs=-1.0 + 0.1 * noise.next_obs,
    )

    @jax.jit
    def train(state, key):
        return jax.lax.scan(lambda s, k: algorithm.update(s, batch, k, ref.clock), state, jax.random.split(key, 400))[0]

    state = train(jax.jit(algorithm.init)(jax.random.key(0)), jax.random.key(1))
    q = ref.critic(*ref.to64((state.critic.params, batch.obs[0], batch.action[0])))
    np.testing.assert_allclose(q, np.where(batch.mask[0] == 0, 1.0, 1 / (1 - 0.5))[None].repeat(2, 0), atol=0.12)


def test_a_subset_beyond_the_ensemble_is_refused(spec):
    with pytest.raises(UserError, match="subset_size is 3 but num_critics is 2"):
        sac.sac(SAC(num_critics=2, subset_size=3), spec)


def test_a_fresh_state_has_a_target_like_its_critics_and_the_temperature_asked_for(spec):
    state = sac.sac(dataclasses.replace(SMALL, initial_temperature=0.3), spec).init(jax.random.key(0))
    jax.tree.map(np.testing.assert_array_equal, state.critic.target, state.critic.params)
    np.testing.assert_allclose(np.log1p(np.exp(state.temperature.params)), 0.3, rtol=1e-5)
    kernels = np.asarray(state.critic.params["trunk"]["dense_0"]["kernel"])
    assert kernels.shape == (4, 5, 16) and not np.allclose(kernels[0], kernels[1])
    assert not any(int(x.opt.count) for x in (state.actor, state.critic, state.temperature))
