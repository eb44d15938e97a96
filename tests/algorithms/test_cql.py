import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fastrl.algorithms import cql, sac
from fastrl.config import CQL, CalQL

SIZES = {"actor_hidden": (16,), "critic_hidden": (16, 16), "num_critics": 3, "cql_actions": 4}
penalty_gradient = jax.jit(cql.penalty_gradient, static_argnums=(0, 4))
draw_candidates = jax.jit(cql.draw_candidates, static_argnums=0)


@pytest.fixture
def state(filled, spec):
    """A state of these sizes whose weight has moved."""
    return dataclasses.replace(filled(cql.cql(CQL(**SIZES), spec)), alpha=jnp.float32(0.2))


def numpy_gap(ref, config, critic, rows, action, log_density):
    """diff [n, B] and the share of lifted policy candidates, from the formulas."""
    q = np.stack([ref.critic(critic, rows.obs, action[:, k]) for k in range(action.shape[1])], -1)
    q_data = ref.critic(critic, rows.obs, rows.action)
    rate = 0.0
    if isinstance(config, CalQL):
        floor = rows.mc_return[None, :, None]
        rate = (q[:, :, 4:] < floor).mean()
        first = 0 if config.bound_random_actions else 4
        q = np.concatenate([q[:, :, :first], np.maximum(q[:, :, first:], floor)], -1)
    t = config.cql_temperature
    with_data = np.concatenate([q, q_data[..., None]], -1) - t * np.log(13)
    q = q - log_density if config.importance_sampling else with_data
    gap = t * np.log(np.exp(q / t).sum(-1)) - q_data
    return gap if config.clip_gap is None else np.clip(gap, -config.clip_gap, config.clip_gap), rate


@pytest.mark.parametrize(
    "config",
    [
        CQL(**SIZES),
        CQL(**SIZES, importance_sampling=False, cql_temperature=0.7, penalized="all", clip_gap=1.0),
        CalQL(**SIZES, gap=0.8),
        CalQL(**SIZES, bound_random_actions=True, penalized="all"),
    ],
    ids=["fixed weight", "no importance sampling", "Cal-QL, Lagrange", "all bounded"],
)
def test_penalty(config, state, ref, make_batch):
    batch = make_batch(0, 8)
    grads, metrics = penalty_gradient(config, state, batch, jax.random.key(5), 24)
    subset_key, candidates_key = jax.random.split(jax.random.key(5))
    drawn = draw_candidates(config, state.actor, batch, candidates_key)
    subset = np.arange(3) if config.penalized == "all" else np.asarray(jax.random.permutation(subset_key, 3)[:2])
    weight = 5.0 if config.gap is None else np.log1p(np.exp(0.2))
    rows, action, log_density = ref.to64((batch, drawn.action, drawn.log_density))

    def loss(critic):
        gap, _ = numpy_gap(ref, config, critic, rows, action, log_density)
        return weight * gap[subset].mean()

    critic = ref.to64(state.critic)
    gap, rate = numpy_gap(ref, config, jax.tree.map(lambda x: x[subset], critic), rows, action, log_density)
    np.testing.assert_allclose(metrics["cql/gap"], gap.mean(), rtol=1e-4)
    np.testing.assert_allclose(metrics["cql/penalty"], weight * gap.mean(), rtol=1e-4)
    np.testing.assert_allclose(metrics["calql/bound_rate"], rate, atol=1e-6)
    np.testing.assert_allclose(*ref.slope(loss, state.critic, grads), rtol=3e-3)
    pushed = np.asarray([bool(grads.head.bias[n]) or bool(grads.head.kernel[n].any()) for n in range(3)])
    np.testing.assert_array_equal(pushed, np.isin(np.arange(3), subset))  # the others get no penalty


def test_candidates_and_their_densities(state, ref, make_batch):
    batch = make_batch(0, 8)
    drawn = draw_candidates(CQL(**SIZES), state.actor, batch, jax.random.key(3))
    keys = jax.random.split(jax.random.key(3), 3)
    actor, rows = ref.to64((state.actor, batch))
    np.testing.assert_allclose(drawn.log_density[:, :4], 2 * np.log(0.5), rtol=1e-6)
    assert abs(drawn.action[:, :4]).max() <= 1
    for start, key, obs in ((4, keys[1], rows.obs), (8, keys[2], rows.next_obs)):
        noise = np.asarray(jax.random.normal(key, (8, 4, 2)), np.float64)
        mean, std = (x[:, None] for x in ref.actor(actor, obs))
        action, log_prob = ref.squashed(mean, std, mean + std * noise)
        np.testing.assert_allclose(drawn.action[:, start : start + 4], action, atol=1e-5)
        np.testing.assert_allclose(drawn.log_density[:, start : start + 4], log_prob, rtol=1e-4, atol=1e-3)


def test_update_adds_td_and_penalty_and_learns_the_weight(state, ref, spec, make_batch):
    config = CalQL(**SIZES, gap=0.8)
    algorithm = cql.cql(config, spec)
    batches = make_batch(0, 1, 8)
    batch = jax.tree.map(lambda x: x[0], batches)
    new, metrics = jax.jit(algorithm.update)(state, batches, jax.random.key(7))
    td_key, penalty_key = jax.random.split(jax.random.split(jax.random.key(7))[0])
    td, _ = jax.jit(sac.critic_gradient, static_argnums=(0, 4))(config, state, batch, td_key, None)
    penalty, at_step = penalty_gradient(config, state, batch, penalty_key, None)
    grads = jax.tree.map(jnp.add, td, penalty)
    for p, g, new_p in zip(*map(jax.tree.leaves, (*ref.to64((state.critic, grads)), new.critic))):
        np.testing.assert_allclose(new_p, ref.adam(p, g, 0 * p, 0 * p, 1, 3e-4), atol=3e-6)
    # loss of the weight: -softplus(l) * (gap - 0.8); its first Adam step has the size of the rate
    slope = -(float(at_step["cql/gap"]) - 0.8) / (1 + np.exp(-0.2))
    np.testing.assert_allclose(new.alpha, ref.adam(0.2, slope, 0, 0, 1, 3e-4), atol=1e-6)
    np.testing.assert_allclose(new.alpha_opt.first, 0.1 * slope, rtol=1e-4)
    assert all(x.dtype == jnp.float32 and x.shape == () for x in metrics.values())


def test_fixed_weight_leaves_the_learned_one_at_rest(state, spec, make_batch):
    algorithm = cql.cql(CQL(**SIZES), spec)
    new, metrics = jax.jit(algorithm.update)(state, make_batch(0, 1, 8), jax.random.key(7))
    assert new.alpha == state.alpha and int(new.alpha_opt.count) == 0
    assert metrics["cql/alpha"] == 5.0
