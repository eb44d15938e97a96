import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fastrl.algorithms import cql, parts, sac
from fastrl.methods import CQL, CalQL

SIZES = {"actor_hidden": (16,), "critic_hidden": (16, 16), "num_critics": 3, "cql_actions": 4}


@pytest.fixture
def state(filled, spec):
    """A state of these sizes whose weight has moved."""
    state = filled(cql.cql(CQL(**SIZES), spec))
    return dataclasses.replace(state, alpha=dataclasses.replace(state.alpha, params=jnp.float32(0.2)))


@pytest.fixture
def penalty_gradient(ref, spec):
    """`(config, state, batch, key, piece)`, compiled."""

    def take(config, *args, piece=None):
        net = parts.networks(config, spec)
        return ref.run(lambda *args: cql.penalty_gradient(config, net, *args), *args, piece=piece)

    return take


@pytest.fixture
def draw_candidates(ref, spec):
    """`(config, actor, batch, key)`, compiled."""

    def take(config, *args):
        return ref.run(lambda *args: cql.draw_candidates(config, parts.networks(config, spec), *args), *args)

    return take


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
def test_penalty(config, state, penalty_gradient, draw_candidates, ref, make_batch):
    batch = make_batch(0, 8)
    grads, metrics = penalty_gradient(config, state, batch, jax.random.key(5), piece=24)
    subset_key, candidates_key = jax.random.split(jax.random.key(5))
    drawn = draw_candidates(config, state.actor.params, batch, candidates_key)
    subset = np.arange(3) if config.penalized == "all" else np.asarray(jax.random.permutation(subset_key, 3)[:2])
    weight = 5.0 if config.gap is None else np.log1p(np.exp(0.2))
    rows, action, log_density = ref.to64((batch, drawn.action, drawn.log_density))

    def loss(critic):
        gap, _ = numpy_gap(ref, config, critic, rows, action, log_density)
        return weight * gap[subset].mean()

    critic = ref.to64(state.critic.params)
    gap, rate = numpy_gap(ref, config, jax.tree.map(lambda x: x[subset], critic), rows, action, log_density)
    np.testing.assert_allclose(metrics["cql/gap"], gap.mean(), rtol=1e-4)
    np.testing.assert_allclose(metrics["cql/penalty"], weight * gap.mean(), rtol=1e-4)
    np.testing.assert_allclose(metrics["calql/bound_rate"], rate, atol=1e-6)
    np.testing.assert_allclose(*ref.slope(loss, state.critic.params, grads), rtol=3e-3)
    head = grads["head"]
    pushed = np.asarray([bool(head["bias"][n]) or bool(head["kernel"][n].any()) for n in range(3)])
    np.testing.assert_array_equal(pushed, np.isin(np.arange(3), subset))  # the others get no penalty


def test_candidates_and_their_densities(state, draw_candidates, ref, make_batch):
    batch = make_batch(0, 8)
    drawn = draw_candidates(CQL(**SIZES), state.actor.params, batch, jax.random.key(3))
    keys = jax.random.split(jax.random.key(3), 3)
    actor, rows = ref.to64((state.actor.params, batch))
    np.testing.assert_allclose(drawn.log_density[:, :4], 2 * np.log(0.5), rtol=1e-6)
    assert abs(drawn.action[:, :4]).max() <= 1
    for start, key, obs in ((4, keys[1], rows.obs), (8, keys[2], rows.next_obs)):
        noise = np.asarray(jax.random.normal(key, (8, 4, 2)), np.float64)
        mean, std = (x[:, None] for x in ref.actor(actor, obs))
        action, log_prob = ref.squashed(mean, std, mean + std * noise)
        np.testing.assert_allclose(drawn.action[:, start : start + 4], action, atol=1e-5)
        np.testing.assert_allclose(drawn.log_density[:, start : start + 4], log_prob, rtol=1e-4, atol=1e-3)


def test_update_adds_td_and_penalty_and_learns_the_weight(state, penalty_gradient, ref, spec, make_batch):
    config = CalQL(**SIZES, gap=0.8)
    algorithm = cql.cql(config, spec)
    batches = make_batch(0, 1, 8)
    batch = jax.tree.map(lambda x: x[0], batches)
    new, metrics = ref.run(algorithm.update, state, batches, jax.random.key(7), ref.clock)
    td_key, penalty_key = jax.random.split(jax.random.split(jax.random.key(7))[0])
    td, _ = ref.run(sac.critic_loss(config, parts.networks(config, spec)), state, batch, td_key, ref.clock)
    penalty, at_step = penalty_gradient(config, state, batch, penalty_key)
    grads = jax.tree.map(jnp.add, td["critic"], penalty)
    old = ref.to64((state.critic.params, grads))
    for p, g, new_p in zip(*map(jax.tree.leaves, (*old, new.critic.params)), strict=True):
        np.testing.assert_allclose(new_p, ref.adam(p, g, 0 * p, 0 * p, 1, 3e-4), atol=3e-6)
    averaged = jax.tree.map(lambda t, c: 0.995 * t + 0.005 * c, state.critic.target, new.critic.params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), new.critic.target, averaged)
    # loss of the weight: -softplus(l) * (gap - 0.8); its first Adam step has the size of the rate
    slope = -(float(at_step["cql/gap"]) - 0.8) / (1 + np.exp(-0.2))
    np.testing.assert_allclose(new.alpha.params, ref.adam(0.2, slope, 0, 0, 1, 3e-4), atol=1e-6)
    np.testing.assert_allclose(new.alpha.opt.first, 0.1 * slope, rtol=1e-4)
    assert int(new.actor.opt.count) == int(new.temperature.opt.count) == 1
    assert all(x.dtype == jnp.float32 and x.shape == () for x in metrics.values())


def test_the_weight_rises_while_the_gap_is_above_its_target_and_falls_below_it(state, ref, spec, make_batch):
    for gap, direction in ((-100.0, 1), (100.0, -1)):
        algorithm = cql.cql(CQL(**SIZES, gap=gap), spec)
        new, _ = ref.run(algorithm.update, state, make_batch(0, 1, 8), jax.random.key(7), ref.clock)
        np.testing.assert_allclose(new.alpha.params, 0.2 + direction * 3e-4, atol=1e-6)


def test_fixed_weight_leaves_the_learned_one_at_rest(state, ref, spec, make_batch):
    algorithm = cql.cql(CQL(**SIZES), spec)
    new, metrics = ref.run(algorithm.update, state, make_batch(0, 1, 8), jax.random.key(7), ref.clock)
    assert new.alpha.params == state.alpha.params and int(new.alpha.opt.count) == 0
    assert metrics["cql/alpha"] == 5.0


def test_at_high_utd_the_weight_learns_with_every_critic_step(state, ref, spec, make_batch):
    algorithm = cql.cql(CQL(**SIZES, gap=0.8), spec)
    new, _ = ref.run(algorithm.update, state, make_batch(0, 3, 8), jax.random.key(7), ref.clock)
    counts = [int(x.opt.count) for x in (new.critic, new.alpha, new.actor, new.temperature)]
    assert counts == [3, 3, 1, 1]
