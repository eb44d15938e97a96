import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fastrl.algorithms import sac
from fastrl.algorithms.optimizer import AdamState
from fastrl.config import SAC
from fastrl.networks import critics
from fastrl.types import UserError

td_target = jax.jit(sac.td_target, static_argnums=(0, 4))
critic_gradient = jax.jit(sac.critic_gradient, static_argnums=(0, 4))
actor_gradient = jax.jit(sac.actor_gradient, static_argnums=(0, 4))
SMALL = SAC(actor_hidden=(16,), critic_hidden=(16, 16), num_critics=4)


@pytest.fixture
def started(filled, spec):
    """A state, the actor's Adam of which is moving."""

    def start(config):
        state = filled(sac.sac(config, spec))
        fill = lambda tree, x: jax.tree.map(lambda leaf: jnp.full_like(leaf, x), tree)
        moving = AdamState(fill(state.actor, 1e-3), fill(state.actor, 1e-6), jnp.int32(9))
        return dataclasses.replace(state, temperature=jnp.float32(-0.3), actor_opt=moving)

    return start


def numpy_target(ref, config, state, batch, key):
    """y [B] from the keys' own noise and subset."""
    noise_key, subset_key = jax.random.split(key)
    count = 10 if config.backup == "max_actions" else 1
    noise = np.asarray(jax.random.normal(noise_key, (len(batch.reward), count, 2)), np.float64)
    target, actor, rows = ref.to64((state.target_critic, state.actor, batch))
    mean, std = ref.actor(actor, rows.next_obs)
    temperature = np.log1p(np.exp(float(state.temperature)))
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
    for chunk in (None, 40):
        got = td_target(config, state, batch, jax.random.key(5), chunk)
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)
    ended = np.asarray(batch.mask) == 0
    np.testing.assert_array_equal(np.asarray(got)[ended], np.asarray(batch.reward)[ended])
    assert not np.isclose(got, batch.reward)[~ended].any()  # a truncated row (mask 1) bootstraps


@pytest.mark.parametrize("shared", [False, True])
def test_critic_gradient(shared, started, ref, spec, make_batch):
    config = dataclasses.replace(SMALL, shared_head=shared)
    state = started(config)
    batch = make_batch(0, 12)
    grads, metrics = critic_gradient(config, state, batch, jax.random.key(5), None)
    target = numpy_target(ref, config, state, batch, jax.random.key(5))
    rows = ref.to64(batch)

    def loss(critic):
        return ((ref.critic(critic, rows.obs, rows.action) - target) ** 2).mean()

    np.testing.assert_allclose(metrics["critic/loss"], loss(ref.to64(state.critic)), rtol=1e-4)
    np.testing.assert_allclose(*ref.slope(loss, state.critic, grads), rtol=2e-3)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"actor_q": "mean", "temperature_obs": "current", "temperature_form": "exp", "target_entropy": -1.0},
        {"bc_weight": 0.3, "std": "uniform"},
    ],
    ids=str,
)
def test_actor_and_temperature_gradients(changes, started, ref, spec, make_batch):
    config = dataclasses.replace(SMALL, **changes)
    state = started(config)
    batch = make_batch(0, 12)
    (grads, temperature_grad), metrics = actor_gradient(config, state, batch, jax.random.key(5), 6)
    keys = jax.random.split(jax.random.key(5), 3)
    noise, next_noise = (np.asarray(jax.random.normal(k, (12, 2)), np.float64) for k in keys[:2])
    critic, rows = ref.to64((state.critic, batch))
    raw = float(state.temperature)
    temperature = np.exp(raw) if config.temperature_form == "exp" else np.log1p(np.exp(raw))

    def loss(actor):
        mean, std = ref.actor(actor, rows.obs)
        action, log_prob = ref.squashed(mean, std, mean + std * noise)
        q = ref.critic(critic, rows.obs, action)
        q = q.min(0) if config.actor_q == "min" else q.mean(0)
        data = ref.squashed(mean, std, np.arctanh(np.clip(rows.action, -0.99999, 0.99999)))[1]
        w = config.bc_weight
        return (1 - w) * (temperature * log_prob - q).mean() - w * data.mean()

    np.testing.assert_allclose(metrics["actor/loss"], loss(ref.to64(state.actor)), rtol=1e-4)
    np.testing.assert_allclose(*ref.slope(loss, state.actor, grads), rtol=2e-3)
    here = config.temperature_obs == "current"
    mean, std = ref.actor(ref.to64(state.actor), rows.obs if here else rows.next_obs)
    entropy = -ref.squashed(mean, std, mean + std * (noise if here else next_noise))[1].mean()
    derivative = temperature if config.temperature_form == "exp" else 1 / (1 + np.exp(-raw))
    goal = -2.0 if config.target_entropy is None else config.target_entropy
    np.testing.assert_allclose(temperature_grad, derivative * (entropy - goal), rtol=1e-4)


def check_adam(ref, rate, before, grads, opt, after):
    for p, g, m, v, new in zip(*map(jax.tree.leaves, (*ref.to64((before, grads, opt.first, opt.second)), after))):
        np.testing.assert_allclose(new, ref.adam(p, g, m, v, int(opt.count) + 1, rate), atol=2e-6)


def test_one_update_takes_all_losses_at_the_old_parameters(started, ref, spec, make_batch):
    algorithm, state = sac.sac(SMALL, spec), started(SMALL)
    batches = make_batch(0, 1, 12)
    new, metrics = jax.jit(algorithm.update)(state, batches, jax.random.key(7))
    critic_key, actor_key = jax.random.split(jax.random.key(7))
    batch = jax.tree.map(lambda x: x[0], batches)
    critic_grads, _ = critic_gradient(SMALL, state, batch, critic_key, None)
    (actor_grads, temperature_grad), _ = actor_gradient(SMALL, state, batch, actor_key, None)
    check_adam(ref, 3e-4, state.critic, critic_grads, state.critic_opt, new.critic)
    check_adam(ref, 1e-4, state.actor, actor_grads, state.actor_opt, new.actor)
    check_adam(ref, 1e-4, state.temperature, temperature_grad, state.temperature_opt, new.temperature)
    averaged = jax.tree.map(lambda t, c: 0.995 * t + 0.005 * c, state.target_critic, new.critic)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), new.target_critic, averaged)
    assert all(x.dtype == jnp.float32 and x.shape == () for x in metrics.values())


def composed(config, state, batches, key):
    """U critic steps and one actor step, one by one."""
    steps = jax.tree.map(jax.jit, sac.steps(config, None, None), is_leaf=callable)
    critic_key, actor_key = jax.random.split(key)
    for u, step_key in enumerate(jax.random.split(critic_key, len(batches.reward))):
        batch = jax.tree.map(lambda x: x[u], batches)
        grads, _ = critic_gradient(SMALL, state, batch, step_key, None)
        state = steps.rest_actor(steps.apply_critic(state, grads))
    union = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), batches)
    grads, _ = actor_gradient(SMALL, state, union, actor_key, None)
    return steps.rest_critic(steps.apply_actor(state, grads))


@pytest.mark.parametrize("ghost", [False, True])
def test_high_utd_is_its_steps_in_order_and_resting_networks_rest(ghost, started, spec, make_batch):
    config = dataclasses.replace(SMALL, ghost_adam=ghost)
    state = started(SMALL)
    batches = make_batch(0, 3, 12)
    # split into chunks of rows, which changes rounding only
    update = jax.jit(sac.sac(config, spec, 9).update)
    new, _ = update(state, batches, jax.random.key(7))
    want = composed(config, state, batches, jax.random.key(7))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), new, want)
    counts = [int(opt.count) for opt in (new.critic_opt, new.actor_opt, new.temperature_opt)]
    assert counts == ([4, 13, 4] if ghost else [3, 10, 1])
    rested = sac.steps(config, None, None).rest_actor(state)
    moved = abs(rested.actor.mean.kernel - state.actor.mean.kernel).max()
    assert moved > 1e-6 if ghost else moved == 0  # stale momentum moves it, or nothing does
    update(new, batches, jax.random.key(8))
    assert update._cache_size() == 1  # one program for all calls: the state's types are stable


def test_values_of_constant_rewards(spec, make_batch):
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
        return jax.lax.scan(lambda s, k: algorithm.update(s, batch, k), state, jax.random.split(key, 400))[0]

    state = train(jax.jit(algorithm.init)(jax.random.key(0)), jax.random.key(1))
    q = critics.q_values(state.critic, batch.obs[0], batch.action[0])
    np.testing.assert_allclose(q, np.where(batch.mask[0] == 0, 1.0, 1 / (1 - 0.5))[None].repeat(2, 0), atol=0.12)


def test_a_subset_beyond_the_ensemble_is_refused(spec):
    with pytest.raises(UserError, match="subset_size is 3 but num_critics is 2"):
        sac.sac(SAC(num_critics=2, subset_size=3), spec)
