import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fastrl.algorithms import iql, parts, pex
from fastrl.methods import PEX
from fastrl.networks.critics import Value

SMALL = PEX(actor_hidden=(16,), critic_hidden=(16, 16), inverse_temperature=0.5, max_weight=1.2, choice_temperature=0.7)


@pytest.fixture
def started(filled, spec):
    """A state whose two policies differ."""
    state = filled(pex.pex(SMALL, spec))
    other = filled(pex.pex(SMALL, spec), seed=3)
    return dataclasses.replace(state, offline=other.actor.params)


def pair(ref, state, obs, key, explore):
    """Both candidates [B, 2, A], their Q [B, 2], and the keys of the choice, in NumPy."""
    noise_key, *choice = jax.random.split(key, 3)
    old, new = ref.to64((state.offline, state.actor.params))
    mode = np.tanh(ref.actor(old, obs)[0])
    mean, std = ref.actor(new, obs)
    own = np.tanh(mean)
    if explore:
        own = own + std * np.asarray(jax.random.normal(noise_key, own.shape), np.float64)
    candidates = np.clip(np.stack([mode, own], 1), -1, 1)
    critic = ref.to64(state.critic.params)
    q = np.stack([ref.critic(critic, obs, candidates[:, i]).min(0) for i in range(2)], 1)
    return candidates, q, choice


def test_one_of_two_candidates_is_chosen_by_a_softmax_of_q(started, ref, spec, make_batch):
    net = parts.networks(SMALL, spec, tanh_mean=True, squash=False)
    obs, key = make_batch(0, 12).obs, jax.random.key(3)
    got = pex.composed(SMALL, net, started, obs, jax.random.clone(key), True)
    candidates, q, (choice, _) = pair(ref, started, np.asarray(obs, np.float64), key, True)
    chosen = np.asarray(jax.random.categorical(choice, jnp.asarray(0.7 * q, jnp.float32)))
    assert 0 < chosen.sum() < 12
    np.testing.assert_allclose(got, candidates[np.arange(12), chosen], atol=1e-5)


def test_the_choice_has_the_probabilities_of_the_softmax(started, ref, spec, make_batch):
    net = parts.networks(SMALL, spec, tanh_mean=True, squash=False)
    obs = jnp.broadcast_to(make_batch(0, 1).obs, (4_000, spec.obs_size))
    sure = dataclasses.replace(SMALL, greedy_epsilon=1.0)  # every evaluated action is a sampled choice of two modes
    got = pex.composed(sure, net, started, obs, jax.random.key(3), False)
    candidates, q, _ = pair(ref, started, np.asarray(obs[:1], np.float64), jax.random.key(0), False)
    first = np.isclose(got, candidates[0, 0], atol=1e-5).all(1).mean()
    odds = np.exp(0.7 * q[0])
    assert 0.03 < odds[0] / odds.sum() < 0.97
    assert abs(first - odds[0] / odds.sum()) < 0.03


def test_an_evaluated_policy_takes_the_better_mode_nine_times_in_ten(started, ref, spec, make_batch):
    net = parts.networks(SMALL, spec, tanh_mean=True, squash=False)
    obs = make_batch(0, 12).obs
    greedy = dataclasses.replace(SMALL, greedy_epsilon=0.0)
    got = pex.composed(greedy, net, started, obs, jax.random.key(3), False)
    candidates, q, _ = pair(ref, started, np.asarray(obs, np.float64), jax.random.key(0), False)
    best = q.argmax(1)
    assert 0 < best.sum() < 12
    np.testing.assert_allclose(got, candidates[np.arange(12), best], atol=1e-5)
    many = jnp.broadcast_to(obs[:1], (4_000, spec.obs_size))
    chosen = pex.composed(SMALL, net, started, many, jax.random.key(4), False)
    odds = np.exp(0.7 * q[0]) / np.exp(0.7 * q[0]).sum()
    share = np.isclose(chosen, candidates[0, best[0]], atol=1e-5).all(1).mean()
    assert abs(share - (0.9 + 0.1 * odds[best[0]])) < 0.02


@pytest.mark.parametrize("piece", [None, 4])
def test_the_new_policy_imitates_the_composed_actions(piece, started, ref, spec, make_batch):
    batch, key = make_batch(0, 12), jax.random.key(5)
    net = parts.networks(SMALL, spec, tanh_mean=True, squash=False)
    value = Value(spec.obs_size, SMALL.critic_hidden, SMALL.layer_norm)
    loss = pex.actor_loss(SMALL, net, value)
    grads, metrics = ref.run(loss, started, batch, jax.random.clone(key), ref.clock, piece=piece)
    assert set(grads) == {"actor"}
    rows, target, v, old = ref.to64((batch, started.critic.target, started.value.params, started.actor.params))
    action = pex.composed(SMALL, net, started, batch.obs, jax.random.split(key)[1], True)
    action = np.asarray(action, np.float64)
    advantage = ref.critic(target, rows.obs, action).min(0) - ref.value(v, rows.obs)
    weight = np.minimum(np.exp(0.5 * advantage), 1.2)
    assert (weight == 1.2).any() and (weight < 1.2).any()

    def likelihood(actor):
        mean, std = ref.actor(actor, rows.obs)
        return -(weight * ref.gaussian(np.tanh(mean), std, action)).mean()

    np.testing.assert_allclose(metrics["actor/loss"], likelihood(old), rtol=1e-4)
    np.testing.assert_allclose(*ref.slope(likelihood, started.actor.params, grads["actor"]), rtol=2e-3)


def test_at_one_minibatch_all_losses_are_taken_at_the_same_old_parameters(started, ref, spec, make_batch):
    config = dataclasses.replace(SMALL, critic_lr=0.3, actor_lr=1e-3)
    batches, key = make_batch(0, 1, 12), jax.random.key(7)
    new, _ = ref.run(pex.pex(config, spec).update, started, batches, jax.random.clone(key), ref.clock)
    net = parts.networks(config, spec, tanh_mean=True, squash=False)
    value = Value(spec.obs_size, config.critic_hidden, config.layer_norm)
    critic_key, actor_key = jax.random.split(key)
    batch = jax.tree.map(lambda x: x[0], batches)
    losses = (iql.critic_loss(config, net, value), critic_key), (pex.actor_loss(config, net, value), actor_key)
    grads = {}
    for loss, own in losses:
        grads |= ref.run(loss, started, batch, own, ref.clock)[0]
    for name, rate in (("critic", 0.3), ("value", 0.3), ("actor", 1e-3)):
        old, got = getattr(started, name), getattr(new, name)
        for p, g, x in zip(*map(jax.tree.leaves, (*ref.to64((old.params, grads[name])), got.params)), strict=True):
            np.testing.assert_allclose(x, ref.adam(p, g, 0 * p, 0 * p, 1, rate), atol=1e-2 * rate)
    averaged = jax.tree.map(lambda t, c: 0.995 * t + 0.005 * c, started.critic.target, new.critic.params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), new.critic.target, averaged)


def test_the_frozen_policy_stays_and_actions_are_bounded(started, ref, spec, make_batch):
    algorithm = pex.pex(SMALL, spec)
    new, _ = ref.run(algorithm.update, started, make_batch(0, 2, 12), jax.random.key(7), ref.clock)
    for before, after in zip(jax.tree.leaves(started.offline), jax.tree.leaves(new.offline), strict=True):
        np.testing.assert_array_equal(before, after)
    assert [int(x.opt.count) for x in (new.critic, new.value, new.actor)] == [2, 2, 1]
    for explore in (True, False):
        action = algorithm.act(started, 20 * make_batch(1, 3, 4).obs, jax.random.key(0), explore)
        assert action.shape == (3, 4, spec.action_size) and (abs(action) <= 1).all()
