import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fastrl.algorithms import o2td3, parts
from fastrl.methods import O2TD3

RATES = {"actor": 3e-3, "critic": 1e-3, "multiplier": 5e-3}
CONFIG = O2TD3(
    actor_hidden=(8,),
    critic_hidden=(8,),
    batch_size=12,
    tau=0.03,
    discount=0.9,
    target_noise=0.4,
    distance_weight=0.8,
    distance_limit=0.5,
    constraint_start=0.02,
    constraint_end=0.5,
    constraint_steps=100.0,
    **{f"{name}_lr": rate for name, rate in RATES.items()},
)
STAGES = ("reevaluate", "align", "finetune")
STEP = 40
LIMIT = 0.02 + 0.48 * 0.4  # eps_t at STEP


def of(stage, **options):
    return dataclasses.replace(CONFIG, stage=stage, **options)


def start(ref, config, spec):
    """The target critics' values are of both signs."""
    state = ref.filled(o2td3.o2td3(config, spec))
    target = dict(state.critic.target)
    target["head"] = {"kernel": 2 * target["head"]["kernel"], "bias": target["head"]["bias"] + jnp.asarray([-0.6, 1.5])}
    return dataclasses.replace(state, critic=dataclasses.replace(state.critic, target=target))


def smoothed(ref, actor, obs, key):
    return np.clip(ref.pi(actor, obs) + np.clip(0.4 * ref.noise(key), -0.5, 0.5), -1, 1)


def away(ref, s, actor, obs):
    return (ref.pi(actor, obs) - ref.pi(s.reference.params, obs)) ** 2


def target(ref, config, s, b, key):
    actor = s.offline if config.stage == "reevaluate" else s.actor.target
    value = ref.least(ref.q(s.critic.target, b.next_obs, smoothed(ref, actor, b.next_obs, key)))
    if config.stage == "finetune" and config.constrain:
        penalty = away(ref, s, s.actor.params, b.next_obs)
        penalty = penalty.mean() if config.penalty == "mean" else penalty.mean(1)
        value = value - np.exp(s.multiplier.params) * penalty
    return b.reward + 0.9 * b.mask * value


def critic_loss(ref, params, b, y):
    return ((ref.q(params, b.obs, b.action) - y) ** 2).mean(1).sum()


def alignment(ref, s, b, key):
    """Actions and targets: (offline action, anchor), (noisy action, target of each critic)."""
    mode, noisy = ref.pi(s.offline, b.obs), smoothed(ref, s.actor.params, b.obs, key)
    distance = np.minimum(np.sqrt(((noisy - mode) ** 2).sum(1)) / np.sqrt(ref.ACT), 0.5)
    anchor = ref.least(ref.q(s.critic.target, b.obs, mode))
    factor = 1 + 0.8 * distance**2
    lower = np.array([q / f if q >= 0 else q * f for q, f in zip(anchor, factor)])
    own = ref.q(s.critic.target, b.obs, noisy)
    assert (anchor > 0).any() and (anchor < 0).any() and (distance < 0.5).any() and (distance == 0.5).any()
    assert (lower < own).any() and (lower > own).any()
    return (mode, anchor), (noisy, np.minimum(lower, own))


def alignment_loss(ref, params, b, pairs):
    return sum(((ref.q(params, b.obs, action) - y) ** 2).mean(1).sum() for action, y in pairs)


def actor_loss(ref, config, params, s, b):
    action = ref.pi(params, b.obs)
    first = ref.q(s.critic.params, b.obs, action)[0]
    if config.stage != "finetune":
        return -first.mean()
    value = -first.mean() / np.abs(first.real).mean()
    return value + np.exp(s.multiplier.params) * away(ref, s, params, b.obs).mean() * config.constrain


def multiplier_gradient(ref, s, b):
    slack = LIMIT - away(ref, s, s.actor.params, b.obs)
    assert (slack > 0).any() and (slack < 0).any()
    return np.exp(s.multiplier.params) * (ref.weights(slack) * slack).mean()


def critic_gradient(ref, config, s, b, key):
    if config.stage == "align":
        pairs = alignment(ref, s, b, key)
        loss = lambda p: alignment_loss(ref, p, b, pairs)
    else:
        y = target(ref, config, s, b, key)
        loss = lambda p: critic_loss(ref, p, b, y)
    return loss(s.critic.params), ref.gradient(loss, s.critic.params)


@pytest.mark.parametrize("case", [*STAGES, "each row's own", "unconstrained"])
def test_each_term(case, ref, spec):
    options = {"each row's own": {"penalty": "each"}, "unconstrained": {"constrain": False}}
    config = of(case) if case in STAGES else of("finetune", **options[case])
    net, state, b = parts.deterministic(config, spec), start(ref, config, spec), ref.batch(2, ref.ROWS)
    keys, s = ref.split(jax.random.key(3), 3), ref.host(state)
    critics = o2td3.alignment_loss if case == "align" else o2td3.critic_loss

    @jax.jit
    def terms(state, b, keys, now):
        losses = (critics, o2td3.actor_loss, o2td3.multiplier_loss)
        return [loss(config, net)(state, b, key, now) for loss, key in zip(losses, keys)]

    (critic, critic_found), (actor, actor_found), (multiplier, _) = terms(state, b, keys, ref.clock(STEP))
    value, grads = critic_gradient(ref, config, s, b, keys[0])
    ref.close(critic_found["critic/loss"], value)
    ref.close(critic, {"critic": grads})
    loss = lambda p: actor_loss(ref, config, p, s, b)
    ref.close(actor_found["actor/loss"], loss(s.actor.params))
    ref.close(actor, {"actor": ref.gradient(loss, s.actor.params)})  # nothing of it reaches the multiplier
    ref.close(multiplier, {"multiplier": multiplier_gradient(ref, s, b)})
    if case == "finetune":
        ref.close(critic_found["critic/target"], target(ref, config, s, b, keys[0]).mean())


def step(ref, config, s, b, key, call):
    """Critics; when they are due, multiplier and actor at the new critics and the old multiplier, then targets."""
    stage = config.stage
    if stage == "reevaluate":
        _, critic = critic_gradient(ref, config, s, b, key)
        return dataclasses.replace(s, critic=ref.adam(s.critic, critic, RATES["critic"], config.tau))
    _, critic = critic_gradient(ref, config, s, b, ref.split(key)[0])
    stepped = dataclasses.replace(s, critic=ref.adam(s.critic, critic, RATES["critic"]))
    seen = s if stage == "align" else stepped
    if stage == "finetune" and call % 2 == 0:
        return stepped
    actor = ref.gradient(lambda p: actor_loss(ref, config, p, seen, b), s.actor.params)
    new = dataclasses.replace(stepped, actor=ref.adam(s.actor, actor, RATES["actor"]))
    if stage == "align":
        return new
    known = s.reference
    if config.reference == "polyak":
        moved = ref.toward(known.params, new.actor.params, config.reference_tau)
        known = dataclasses.replace(known, params=moved)
    multiplier = s.multiplier
    if config.constrain:
        multiplier = ref.adam(s.multiplier, multiplier_gradient(ref, s, b), RATES["multiplier"])
    return dataclasses.replace(
        new,
        actor=ref.averaged(new.actor, config.tau),
        critic=ref.averaged(new.critic, config.tau),
        multiplier=multiplier,
        reference=known,
    )


CASES = {
    "reevaluate": (of("reevaluate"), (0,)),
    "align": (of("align"), (0,)),
    "finetune": (of("finetune"), (0, 1)),
    "polyak": (of("finetune", reference="polyak", reference_tau=0.2, constrain=False), (2, 3)),
}


@pytest.mark.parametrize("case", CASES)
def test_updates(case, ref, spec):
    config, calls = CASES[case]
    algorithm = o2td3.o2td3(config, spec)
    state, update = start(ref, config, spec), jax.jit(algorithm.update)
    for call in calls:
        b, key, s = ref.batch(6 + call, 1, ref.ROWS), jax.random.key(5 + call), ref.host(state)
        state, _ = update(state, b, key, ref.clock(STEP, call))
        expected = step(ref, config, s, jax.tree.map(lambda x: x[0], b), key, call)
        ref.agree(state, expected, RATES, 1e-7 if call % 2 else 1e-10)  # the actor sees critics after a float32 rate
    assert int(state.multiplier.opt.count) == 3 + (case == "finetune")


def test_where_the_multiplier_and_the_policies_start(ref, spec):
    state = o2td3.o2td3(of("finetune", initial_multiplier=2.0), spec).init(jax.random.key(0))
    np.testing.assert_allclose(state.multiplier.params, np.log(2.0), rtol=1e-6)
    for other in (state.offline, state.reference.params, state.actor.target):
        ref.close(ref.host(other), ref.host(state.actor.params), 0)
    ref.close(ref.host(state.critic.target), ref.host(state.critic.params), 0)
