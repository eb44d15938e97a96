import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fastrl.algorithms import ppo
from fastrl.methods import PPO
from fastrl.types import UserError

EPOCHS, LENGTH, COPIES = 2, 6, 4
RATES = {"actor": 0.2, "value": 1e-2}
CONFIG = PPO(
    actor_hidden=(8,),
    critic_hidden=(8,),
    batch_size=12,
    rollout=24,
    epochs=EPOCHS,
    discount=0.9,
    trace=0.8,
    entropy_weight=0.03,
    clip=0.05,
    grad_clip=0.15,
    actor_lr=RATES["actor"],
    critic_lr=RATES["value"],
)


def advantages(ref, s, b):
    """Row by row from the end: rewards, the value of what follows unless it ended, and nothing of another episode."""
    value, following = (
        ref.v(s.value.params, x.reshape(-1, ref.OBS)).reshape(b.reward.shape) for x in (b.obs, b.next_obs)
    )
    found = np.zeros(b.reward.shape)
    for copy in range(b.reward.shape[1]):
        after = 0.0
        for t in reversed(range(b.reward.shape[0])):
            delta = b.reward[t, copy] + 0.9 * b.mask[t, copy] * following[t, copy] - value[t, copy]
            after = delta + (0 if b.last[t, copy] else 0.9 * 0.8 * after)
            found[t, copy] = after
    return found.reshape(-1), (found + value).reshape(-1)


def normalise(x):
    return (x - x.mean()) / (np.sqrt(((x - x.mean()) ** 2).sum() / (x.size - 1)) + 1e-8)


def rows(b):
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), b)


def played(ref, s, b, advantage=None):
    flat = rows(b)
    gae, goal = advantages(ref, s, b)
    log_prob = ref.normal(*ref.gauss(s.actor.params, flat.obs), flat.action)
    return ppo.Played(flat.obs, flat.action, log_prob, normalise(gae) if advantage is None else advantage, goal)


def actor_loss(ref, params, x, weight=0.03):
    mean, std = ref.gauss(params, x.obs)
    ratio = np.exp(ref.normal(mean, std, x.action) - x.log_prob)
    ratio = ratio[:, None] if x.advantage.ndim == 2 else ratio
    least = ref.lower(ratio * x.advantage, ref.clip(ratio, 0.95, 1.05) * x.advantage)
    return -least.mean() - weight * ref.entropy(std).mean()


def value_loss(ref, params, x):
    return ((ref.v(params, x.obs) - x.goal) ** 2).mean()


def one(ref, s, x, rates):
    """A minibatch: both clipped by their own norm, both at the old parameters, Adam's epsilon 1e-5."""
    new = {}
    for name, loss in (("actor", actor_loss), ("value", value_loss)):
        own = getattr(s, name)
        grads = ref.clipped(ref.gradient(lambda p: loss(ref, p, x), own.params), 0.15)
        new[name] = ref.adam(own, grads, rates[name], eps=1e-5)
    return dataclasses.replace(s, **new)


def iteration(ref, s, x, key, rates=RATES):
    for own in ref.split(key, EPOCHS):
        order = np.asarray(jax.random.permutation(jax.random.clone(own), LENGTH * COPIES))
        for part in order.reshape(-1, 12):
            s = one(ref, s, jax.tree.map(lambda a: a[part], x), rates)
    return s


def start(ref, algorithm):
    return ref.filled(algorithm, scale=0.4)


def test_what_is_played(ref, spec):
    net = ppo.networks(CONFIG, spec)
    state, b = start(ref, ppo.ppo(CONFIG, spec)), ref.batch(2, LENGTH, COPIES)
    assert ((b.last == 1) & (b.mask == 1)).any() and (b.mask == 0).any()
    plain = lambda state, rows, gae, clock: ppo.advantages.normalise(gae)
    found = jax.jit(lambda s, b: ppo.prepare(CONFIG, net, s, b, ref.clock(), plain))(state, b)
    ref.close(found, played(ref, ref.host(state), b))


@pytest.mark.parametrize("shape", [(12,), (12, 5)], ids=["an advantage a row", "many a row"])
def test_a_minibatch_whose_ratios_are_clipped(shape, ref, spec):
    net, optimisers = ppo.networks(CONFIG, spec), ppo.optimisers_of(CONFIG)
    state, b, random = start(ref, ppo.ppo(CONFIG, spec)), ref.batch(2, 12), np.random.default_rng(3)
    nothing = lambda tree: jax.tree.map(jnp.zeros_like, tree)
    opt = lambda old: dataclasses.replace(old, first=nothing(old.first), second=nothing(old.second))
    zero = lambda group: dataclasses.replace(group, opt=opt(group.opt))  # so that Adam's epsilon counts
    state = dataclasses.replace(state, actor=zero(state.actor), value=zero(state.value))
    s = ref.host(state)
    log_prob = ref.normal(*ref.gauss(s.actor.params, b.obs), b.action) + 0.07 * random.normal(size=12)
    x = ppo.Played(b.obs, b.action, log_prob, random.normal(size=shape), random.normal(size=12))
    found, metrics = jax.jit(ppo.minibatch_step(CONFIG, net, optimisers))(state, x)
    assert 0.2 < metrics["actor/clipped"] < 0.8
    _mean, std = ref.gauss(s.actor.params, b.obs)
    ref.close(metrics["actor/entropy"], ref.entropy(std).mean())
    ref.close(metrics["actor/loss"], actor_loss(ref, s.actor.params, x, weight=0.0))
    ref.close(metrics["value/loss"], value_loss(ref, s.value.params, x))
    for name, loss in (("actor", actor_loss), ("value", value_loss)):  # the clipping of gradients is at work
        own = ref.gradient(lambda p: loss(ref, p, x), getattr(s, name).params)
        assert np.sqrt(sum((g**2).sum() for g in jax.tree.leaves(own))) > 0.15
    ref.agree(found, one(ref, s, x, RATES), RATES)


def test_one_update(ref, spec):
    algorithm = ppo.ppo(CONFIG, spec)
    state, b, key = start(ref, algorithm), ref.batch(2, LENGTH, COPIES), jax.random.key(4)
    found, metrics = jax.jit(algorithm.update)(state, b, key, ref.clock())
    s = ref.host(state)
    assert metrics["actor/clipped"] > 0
    expected = iteration(ref, s, played(ref, s, b), key)
    ref.agree(found, expected, {name: 4 * rate for name, rate in RATES.items()}, 1e-6)  # four steps of float32 rates
    assert int(found.actor.opt.count) == 3 + 4


def test_learning_rates_fall_to_nothing_with_the_last_iteration(spec):
    rates = ppo.optimisers_of(dataclasses.replace(CONFIG, linear_steps=240))  # 10 iterations of 4 minibatches
    for name, rate in RATES.items():
        found = [float(rates[name].rate(np.int32(n))) for n in (0, 10, 39, 40, 50)]
        np.testing.assert_allclose(found, [rate, 0.75 * rate, rate / 40, 0, 0], rtol=1e-5, atol=1e-12)
    np.testing.assert_allclose(ppo.optimisers_of(CONFIG)["actor"].rate(np.int32(10_000)), RATES["actor"], rtol=1e-6)


def test_a_sample_is_played_as_it_is_drawn_and_the_mode_is_bounded(ref, spec):
    algorithm = ppo.ppo(CONFIG, spec)
    state, obs, key = start(ref, algorithm), ref.batch(2, ref.ROWS).obs, jax.random.key(5)
    mean, std = ref.gauss(ref.host(state).actor.params, obs)
    ref.close(algorithm.act(state, obs, jax.random.key(4), False), mean)
    found = algorithm.act(state, obs, key, True)
    ref.close(found, mean + std * ref.noise(key))
    assert np.abs(found).max() > 1


def test_refuses_a_rollout_that_is_no_whole_number_of_minibatches(ref, spec):
    algorithm = ppo.ppo(dataclasses.replace(CONFIG, batch_size=10), spec)
    with pytest.raises(UserError, match="multiple of --batch-size 10"):
        algorithm.update(start(ref, algorithm), ref.batch(2, LENGTH, COPIES), jax.random.key(0), ref.clock())
