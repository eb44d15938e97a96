import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fastrl.algorithms import o2sac, parts
from fastrl.methods import O2SAC

RATES = {"actor": 3e-3, "critic": 1e-3, "temperature": 2e-3, "multiplier": 5e-3}
CONFIG = O2SAC(
    actor_hidden=(8,),
    critic_hidden=(8,),
    batch_size=12,
    tau=0.03,
    discount=0.9,
    constraint_start=0.5,
    constraint_end=3.0,
    constraint_steps=100.0,
    **{f"{name}_lr": rate for name, rate in RATES.items()},
)
STAGES = ("reevaluate", "align", "finetune")
STEP = 40
LIMIT = 0.5 + 2.5 * 0.4  # eps_t at STEP


def of(stage, **options):
    return dataclasses.replace(CONFIG, stage=stage, **options)


def start(ref, config, spec):
    """Some samples lie beyond +-0.9999, and some are hardly ever taken by a narrow reference."""
    state = ref.filled(o2sac.o2sac(config, spec))
    actor, known = dict(state.actor.params), dict(state.reference.params)
    actor["mean"] = {**actor["mean"], "bias": jnp.asarray([4.0, 0.3])}
    known["mean"] = {**known["mean"], "bias": jnp.asarray([2.8, 0.3])}
    known["shift"] = jnp.asarray(-1.0)
    state = dataclasses.replace(state, actor=dataclasses.replace(state.actor, params=actor))
    return dataclasses.replace(state, reference=dataclasses.replace(state.reference, params=known))


def divergence(ref, s, obs, action, log_prob):
    return log_prob - ref.upper(ref.density(s.reference.params, obs, action, 0.9999), np.asarray(-50.0))


def target(ref, s, b, key, constrained):
    action, log_prob = ref.sample(s.actor.params, b.next_obs, ref.noise(key))
    value = ref.least(ref.q(s.critic.target, b.next_obs, action)) - np.exp(s.temperature.params) * log_prob
    if constrained:
        value = value - np.exp(s.multiplier.params) * divergence(ref, s, b.next_obs, action, log_prob)
    return b.reward + 0.9 * b.mask * value


def critic_loss(ref, params, b, y):
    return ((ref.q(params, b.obs, b.action) - y) ** 2).mean(1).sum()


def alignment(ref, s, b, key):
    """Actions and targets: (mode, anchor), (sample, target)."""
    mean, _std = ref.head(s.offline, b.obs)
    mode = np.clip(np.tanh(mean), -0.9999, 0.9999)
    sample = ref.sample(s.actor.params, b.obs, ref.noise(key))[0]
    anchor = ref.least(ref.q(s.critic.target, b.obs, mode))
    gap = ref.density(s.offline, b.obs, mode) - ref.density(s.offline, b.obs, sample)
    lower = anchor - np.exp(s.temperature.params) * gap
    own = ref.least(ref.q(s.critic.target, b.obs, sample))
    assert (lower < own).any() and (lower > own).any()
    return (mode, anchor), (sample, np.minimum(lower, own))


def alignment_loss(ref, params, b, pairs):
    return sum(((ref.q(params, b.obs, action) - y) ** 2).mean(1).sum() for action, y in pairs)


def actor_loss(ref, params, s, b, key, constrained):
    action, log_prob = ref.sample(params, b.obs, ref.noise(key))
    each = np.exp(s.temperature.params) * log_prob - ref.least(ref.q(s.critic.params, b.obs, action))
    if constrained:
        each = each + np.exp(s.multiplier.params) * divergence(ref, s, b.obs, action, log_prob)
    return each.mean()


def temperature_gradient(ref, s, b, key):
    return -(ref.sample(s.actor.params, b.obs, ref.noise(key))[1].mean() - ref.ACT)


def multiplier_gradient(ref, s, b, key):
    action, log_prob = ref.sample(s.actor.params, b.obs, ref.noise(key))
    slack = LIMIT - divergence(ref, s, b.obs, action, log_prob)
    return np.exp(s.multiplier.params) * (ref.weights(slack) * slack).mean()


def critic_gradient(ref, s, b, key, stage, constrained):
    if stage == "align":
        pairs = alignment(ref, s, b, key)
        loss = lambda p: alignment_loss(ref, p, b, pairs)
    else:
        y = target(ref, s, b, key, constrained)
        loss = lambda p: critic_loss(ref, p, b, y)
    return loss(s.critic.params), ref.gradient(loss, s.critic.params)


def test_the_rows_tried_are_on_both_sides_of_every_clip(ref, spec):
    s, b = ref.host(start(ref, of("finetune"), spec)), ref.batch(2, ref.ROWS)
    action, log_prob = ref.sample(s.actor.params, b.obs, ref.noise(jax.random.key(3)))
    slack = LIMIT - divergence(ref, s, b.obs, action, log_prob)
    density = ref.density(s.reference.params, b.obs, action, 0.9999)
    assert (np.abs(action) > 0.9999).any() and (np.abs(action) < 0.9999).all(1).sum() > 3
    assert (density < -50).any() and (density > -50).sum() > 3
    assert (slack > 0).any() and (slack < 0).any()


@pytest.mark.parametrize("case", [*STAGES, "unconstrained"])
def test_each_term(case, ref, spec):
    config = of("finetune", constrain=False) if case == "unconstrained" else of(case)
    stage, constrained = config.stage, case == "finetune"
    net, state, b = parts.networks(config, spec), start(ref, config, spec), ref.batch(2, ref.ROWS)
    keys, s = [jax.random.key(n) for n in (7, 8, 3, 9)], ref.host(state)
    critics = o2sac.alignment_loss if stage == "align" else o2sac.critic_loss

    @jax.jit
    def terms(state, b, keys, now):
        y = o2sac.td_target(config, net, state, b, keys[0])
        losses = (critics, o2sac.actor_loss, o2sac.multiplier_loss)
        return y, [loss(config, net)(state, b, key, now) for loss, key in zip(losses, keys[1:])]

    y, ((critic, critic_found), (actor, actor_found), (multiplier, _)) = terms(state, b, keys, ref.clock(STEP))
    ref.close(y, target(ref, s, b, keys[0], constrained))
    value, grads = critic_gradient(ref, s, b, keys[1], stage, constrained)
    ref.close(critic_found["critic/loss"], value)
    ref.close(critic, {"critic": grads})
    loss = lambda p: actor_loss(ref, p, s, b, keys[2], constrained)
    ref.close(actor_found["actor/loss"], loss(s.actor.params))
    expected = {"actor": ref.gradient(loss, s.actor.params)}
    if stage == "finetune":  # nothing of the actor's loss reaches it, and its own reaches no actor
        expected["temperature"] = temperature_gradient(ref, s, b, keys[2])
    ref.close(actor, expected)
    noise_key = ref.split(keys[3])[1]
    ref.close(multiplier, {"multiplier": multiplier_gradient(ref, s, b, noise_key)})


def step(ref, config, s, b, key, number):
    """One SAC update, every loss at the old parameters and multipliers."""
    stage, (critic_key, actor_key) = config.stage, ref.split(key)
    constrained = stage == "finetune" and config.constrain
    critic_key = key if stage == "reevaluate" else critic_key
    _, critic = critic_gradient(ref, s, b, critic_key, stage, constrained)
    tau = None if stage == "align" else config.tau
    new = {"critic": ref.adam(s.critic, critic, RATES["critic"], tau)}
    if stage != "reevaluate":
        actor = ref.gradient(lambda p: actor_loss(ref, p, s, b, actor_key, constrained), s.actor.params)
        new["actor"] = ref.adam(s.actor, actor, RATES["actor"])
    if stage == "finetune":
        grad = temperature_gradient(ref, s, b, actor_key)
        new["temperature"] = ref.adam(s.temperature, grad, RATES["temperature"])
        if config.reference == "polyak":
            known = ref.toward(s.reference.params, new["actor"].params, config.reference_tau)
            new["reference"] = dataclasses.replace(s.reference, params=known)
    if constrained and number % config.utd == 0:
        grad = multiplier_gradient(ref, s, b, actor_key)
        new["multiplier"] = ref.adam(s.multiplier, grad, RATES["multiplier"])
    return dataclasses.replace(s, **new)


CASES = {
    "reevaluate": (of("reevaluate"), 1, 3),
    "align": (of("align"), 1, 3),
    "first of ten": (of("finetune", reference="polyak", reference_tau=0.2), 1, 20),
    "not the first": (of("finetune", reference="polyak", reference_tau=0.2), 1, 21),
    "all ten": (of("finetune"), 10, 7),
    "unconstrained": (of("finetune", constrain=False, utd=1), 1, 0),
}


@pytest.mark.parametrize("case", CASES)
def test_one_update(case, ref, spec):
    config, count, call = CASES[case]
    algorithm, key = o2sac.o2sac(config, spec), jax.random.key(5)
    state, b = start(ref, config, spec), ref.batch(6, count, ref.ROWS)
    s, rates = ref.host(state), RATES
    found, logged = jax.jit(algorithm.update)(state, b, key, ref.clock(STEP, call))
    keys = [key] if count == 1 else ref.split(key, count)
    expected = s
    for n, own in enumerate(keys):
        rows = jax.tree.map(lambda x: x[n], b)
        expected = step(ref, config, expected, rows, own, call * count + n)
    if count > 1:  # ten steps of float32 rates
        rates = {name: 10 * rate for name, rate in RATES.items()}
    ref.agree(found, expected, rates, 1e-10 if count == 1 else 1e-5)
    moved = int(found.multiplier.opt.count) - int(s.multiplier.opt.count)
    assert moved == (case in ("first of ten", "all ten"))
    if moved:  # logged as the mean over ten updates, of which one has it
        first = jax.tree.map(lambda x: x[0], b)
        action, log_prob = ref.sample(s.actor.params, first.obs, ref.noise(ref.split(keys[0])[1]))
        slack = (LIMIT - divergence(ref, s, first.obs, action, log_prob)).mean()
        np.testing.assert_allclose(logged["reference/slack"] * count / 10, slack, rtol=1e-6)


def test_where_the_multipliers_and_the_policies_start(ref, spec):
    state = o2sac.o2sac(of("finetune", initial_multiplier=2.0, initial_temperature=0.5), spec).init(jax.random.key(0))
    np.testing.assert_allclose(state.multiplier.params, np.log(2.0), rtol=1e-6)
    np.testing.assert_allclose(state.temperature.params, np.log(0.5), rtol=1e-6)
    for other in (state.offline, state.reference.params):
        ref.close(ref.host(other), ref.host(state.actor.params), 0)
    assert state.actor.target is None
    ref.close(ref.host(state.critic.target), ref.host(state.critic.params), 0)
