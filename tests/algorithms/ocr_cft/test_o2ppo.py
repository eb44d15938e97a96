import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fastrl.algorithms import o2ppo, ppo
from fastrl.methods import O2PPO
from fastrl.types import UserError

LENGTH, COPIES, STEP = 6, 4, 30
RATES = {"actor": 3e-2, "value": 1e-2}
CONFIG = O2PPO(
    actor_hidden=(8,),
    critic_hidden=(8,),
    batch_size=12,
    rollout=24,
    epochs=1,
    discount=0.9,
    trace=0.8,
    entropy_weight=0.03,
    grad_clip=1e6,
    actor_lr=RATES["actor"],
    critic_lr=RATES["value"],
    value_lr=7e-3,
    linear_steps=None,
    max_log_std=-0.2,
    return_scale=2.5,
    auxiliary_weight=1.5,
    auxiliary_steps=40.0,
)
CAP = -0.2


def start(ref, config, spec):
    """One of the two stds is at its cap."""
    state = ref.filled(o2ppo.o2ppo(config, spec), scale=0.4)
    params = {**state.actor.params, "log_std": jnp.asarray([-0.5, 0.3])}
    known = {**state.reference.params, "log_std": jnp.asarray([-0.9, 0.1])}
    state = dataclasses.replace(state, reference=dataclasses.replace(state.reference, params=known))
    return dataclasses.replace(state, actor=dataclasses.replace(state.actor, params=params))


def std_of(x):
    return np.sqrt(((x - x.mean()) ** 2).sum() / (x.size - 1))


def normalise(x):
    return (x - x.mean()) / (std_of(x) + 1e-8)


def pull(ref, s, obs, action):
    mean, std = ref.gauss(s.reference.params, obs, CAP)
    x = ref.normal(mean, std, action) + ref.entropy(std)
    return 1.5 * (np.log(1 + np.exp(x + 4 * ref.ACT)) - 4 * ref.ACT) / ref.ACT


def advantage(ref, config, s, rows, gae, at):
    if config.auxiliary == "none" or not config.constrain:
        return normalise(gae)
    w, own = max(1 - at / 40, 0), pull(ref, s, rows.obs, rows.action) * std_of(gae)
    if config.auxiliary == "per-sample":
        return normalise(np.array([(a + w * r) / (1 + w) for a, r in zip(gae, own)]))
    return normalise(np.array([[(a + w * r) / (1 + w) for r in own] for a in gae]))


CASES = {
    "per-sample": CONFIG,
    "outer": dataclasses.replace(CONFIG, auxiliary="outer"),
    "none": dataclasses.replace(CONFIG, auxiliary="none"),
    "unconstrained": dataclasses.replace(CONFIG, constrain=False),
}


@pytest.mark.parametrize("case", CASES)
def test_the_advantage(case, ref, spec):
    config, gae = CASES[case], np.random.default_rng(3).normal(size=ref.ROWS)
    state, b = start(ref, config, spec), ref.batch(2, ref.ROWS)
    b = dataclasses.replace(b, action=3 * b.action)  # some far from what the reference would do
    found = jax.jit(o2ppo.pulled(config, ppo.networks(config, spec)))
    for at in (0, STEP, 50):
        s = ref.host(state)
        ref.close(found(state, b, gae, ref.clock(at)), advantage(ref, config, s, b, gae, at))
    if case == "per-sample":
        assert pull(ref, s, b.obs, b.action).min() < -5  # near the floor -4 * 1.5


def advantages(ref, s, b):
    value, following = (
        ref.v(s.value.params, x.reshape(-1, ref.OBS)).reshape(b.reward.shape) for x in (b.obs, b.next_obs)
    )
    found, after = np.zeros(b.reward.shape), np.zeros(COPIES)
    for t in reversed(range(LENGTH)):
        after = b.reward[t] / 2.5 + 0.9 * b.mask[t] * following[t] - value[t] + 0.72 * np.where(b.last[t], 0, after)
        found[t] = after
    return found.reshape(-1), (found + value).reshape(-1)


def actor_loss(ref, params, x):
    mean, std = ref.gauss(params, x.obs, CAP)
    ratio = np.exp(ref.normal(mean, std, x.action) - x.log_prob)
    ratio = ratio[:, None] if x.advantage.ndim == 2 else ratio
    least = ref.lower(ratio * x.advantage, ref.clip(ratio, 0.8, 1.2) * x.advantage)
    return -least.mean() - 0.03 * ref.entropy(std).mean()


def finetune(ref, config, s, b, key):
    flat = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), b)
    gae, goal = advantages(ref, s, b)
    log_prob = ref.normal(*ref.gauss(s.actor.params, flat.obs, CAP), flat.action)
    x = ppo.Played(flat.obs, flat.action, log_prob, advantage(ref, config, s, flat, gae, STEP), goal)
    order = np.asarray(jax.random.permutation(ref.split(key, 1)[0], LENGTH * COPIES))
    for part in order.reshape(-1, 12):
        own = jax.tree.map(lambda a: a[part], x)
        actor = ref.gradient(lambda p: actor_loss(ref, p, own), s.actor.params)
        value = ref.gradient(lambda p: ((ref.v(p, own.obs) - own.goal) ** 2).mean(), s.value.params)
        actor = ref.adam(s.actor, actor, RATES["actor"], eps=1e-5)
        s = dataclasses.replace(s, actor=actor, value=ref.adam(s.value, value, RATES["value"], eps=1e-5))
    if config.reference == "polyak":
        known = ref.toward(s.reference.params, s.actor.params, config.reference_tau)
        s = dataclasses.replace(s, reference=dataclasses.replace(s.reference, params=known))
    return s


@pytest.mark.parametrize("case", ["per-sample", "outer"])
def test_one_update(case, ref, spec):
    config = CASES[case]
    if case == "per-sample":
        config = dataclasses.replace(config, reference="polyak", reference_tau=0.2)
    algorithm, key = o2ppo.o2ppo(config, spec), jax.random.key(4)
    state, b = start(ref, config, spec), ref.batch(2, LENGTH, COPIES)
    found, _ = jax.jit(algorithm.update)(state, b, key, ref.clock(STEP))
    expected = finetune(ref, config, ref.host(state), b, key)
    ref.agree(found, expected, {name: 2 * rate for name, rate in RATES.items()}, 1e-6)


def test_the_value_is_regressed_on_returns(ref, spec):
    config = dataclasses.replace(CONFIG, stage="reevaluate")
    algorithm = o2ppo.o2ppo(config, spec)
    state, b, s = start(ref, config, spec), ref.batch(2, 1, ref.ROWS), None
    s = ref.host(state)
    found, metrics = jax.jit(algorithm.update)(state, b, jax.random.key(0), ref.clock())
    loss = lambda p: ((ref.v(p, b.obs[0]) - b.mc_return[0] / 2.5) ** 2).mean()
    ref.close(metrics["value/loss"], loss(s.value.params))
    expected = dataclasses.replace(s, value=ref.adam(s.value, ref.gradient(loss, s.value.params), 7e-3))
    ref.agree(found, expected, {"actor": 7e-3, "value": 7e-3})


def test_there_is_no_alignment(spec):
    with pytest.raises(UserError, match="no stage align"):
        o2ppo.o2ppo(dataclasses.replace(CONFIG, stage="align"), spec)
