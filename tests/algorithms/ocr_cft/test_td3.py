import dataclasses

import jax
import numpy as np
import pytest

from fastrl.algorithms import parts, td3
from fastrl.methods import TD3, TD3BC

SIZES = {"actor_hidden": (8,), "critic_hidden": (8,), "batch_size": 12, "tau": 0.03, "discount": 0.9}
RATES = {"actor": 3e-3, "critic": 1e-3}
OPTIONS = {**SIZES, "actor_lr": RATES["actor"], "critic_lr": RATES["critic"], "target_noise": 0.4}
CONFIGS = {"td3": TD3(**OPTIONS), "td3bc": TD3BC(**OPTIONS, q_weight=1.7), "normed": TD3(**OPTIONS, layer_norm=True)}


def smoothed(ref, actor, obs, key, sd=0.4):
    noise = np.clip(sd * ref.noise(key), -0.5, 0.5)
    return np.clip(ref.pi(actor, obs) + noise, -1, 1)


def target(ref, s, b, key):
    action = smoothed(ref, s.actor.target, b.next_obs, key)
    return b.reward + 0.9 * b.mask * ref.least(ref.q(s.critic.target, b.next_obs, action))


def critic_loss(ref, params, b, y):
    return ((ref.q(params, b.obs, b.action) - y) ** 2).mean(1).sum()


def actor_loss(ref, name, params, critic, b):
    action = ref.pi(params, b.obs)
    first = ref.q(critic, b.obs, action)[0]
    if name != "td3bc":
        return -first.mean()
    return -(1.7 / np.abs(first.real).mean()) * first.mean() + ((action - b.action) ** 2).mean()


@pytest.mark.parametrize("name", CONFIGS)
def test_each_term(name, ref, spec):
    config = CONFIGS[name]
    net, state, b = parts.deterministic(config, spec), ref.filled(td3.td3(config, spec)), ref.batch(2, ref.ROWS)
    keys, s = ref.split(jax.random.key(3), 3), ref.host(state)

    @jax.jit
    def terms(state, b, keys):
        y = td3.td_target(config, net, state.actor.target, state.critic.target, b, keys[0])
        now = ref.clock()
        return y, [f(config, net)(state, b, k, now) for f, k in zip((td3.critic_loss, td3.actor_loss), keys[1:])]

    y, ((critic, critic_found), (actor, actor_found)) = terms(state, b, keys)
    ref.close(y, target(ref, s, b, keys[0]))
    y = target(ref, s, b, keys[1])
    ref.close(critic_found["critic/loss"], critic_loss(ref, s.critic.params, b, y))
    ref.close(critic, {"critic": ref.gradient(lambda p: critic_loss(ref, p, b, y), s.critic.params)})
    ref.close(actor_found["actor/loss"], actor_loss(ref, name, s.actor.params, s.critic.params, b))
    loss = lambda p: actor_loss(ref, name, p, s.critic.params, b)
    ref.close(actor, {"actor": ref.gradient(loss, s.actor.params)})


def step(ref, name, s, b, key, call):
    """Critics; at every second call the actor, with the critics just stepped, then all targets."""
    y = target(ref, s, b, ref.split(key)[0])
    critic = ref.gradient(lambda p: critic_loss(ref, p, b, y), s.critic.params)
    s = dataclasses.replace(s, critic=ref.adam(s.critic, critic, RATES["critic"]))
    if call % 2 == 0:
        return s
    actor = ref.gradient(lambda p: actor_loss(ref, name, p, s.critic.params, b), s.actor.params)
    s = dataclasses.replace(s, actor=ref.adam(s.actor, actor, RATES["actor"]))
    return dataclasses.replace(s, actor=ref.averaged(s.actor, 0.03), critic=ref.averaged(s.critic, 0.03))


@pytest.mark.parametrize("name", ["td3", "td3bc"])
def test_two_updates(name, ref, spec):
    algorithm = td3.td3(CONFIGS[name], spec)
    update, state = jax.jit(algorithm.update), ref.filled(algorithm)
    for call in range(2):
        b, key, s = ref.batch(4 + call, 1, ref.ROWS), jax.random.key(call), ref.host(state)
        state, _ = update(state, b, key, ref.clock(call, call))
        expected = step(ref, name, s, jax.tree.map(lambda x: x[0], b), key, call)
        ref.agree(state, expected, RATES, 1e-7 if call else 1e-10)  # the actor sees critics after a float32 rate


def test_the_behaviour_is_the_policy_with_noise_inside_the_bounds(ref, spec):
    algorithm = td3.td3(dataclasses.replace(CONFIGS["td3"], exploration_noise=0.6), spec)
    state, obs = ref.filled(algorithm), ref.batch(2, ref.ROWS).obs
    mode = ref.pi(ref.host(state).actor.params, obs)
    key = jax.random.key(5)
    ref.close(algorithm.act(state, obs, jax.random.key(4), False), mode)
    found = algorithm.act(state, obs, key, True)
    ref.close(found, np.clip(mode + 0.6 * ref.noise(key), -1, 1))
    assert (np.abs(found) == 1).any() and not (np.abs(found) == 1).all()
