import dataclasses

import jax
import numpy as np
import pytest

from fastrl.algorithms import distil
from fastrl.methods import O2PPO, O2SAC, O2TD3, TD3

SIZES = {"actor_hidden": (8,), "critic_hidden": (8,), "layer_norm": False}
TEACHER = TD3(**SIZES, exploration_noise=0.3)
STUDENTS = {"o2sac": O2SAC(**SIZES), "o2td3": O2TD3(**SIZES), "o2ppo": O2PPO(**SIZES)}


def loss(ref, name, params, obs, action):
    """Minus the log-likelihood; a deterministic student's squared distance."""
    if name == "o2td3":
        return ((ref.pi(params, obs) - action) ** 2).sum(1).mean()
    if name == "o2ppo":
        return -ref.normal(*ref.gauss(params, obs), action).mean()
    return -ref.density(params, obs, action).mean()


@pytest.mark.parametrize("name", STUDENTS)
def test_one_update(name, ref, spec):
    algorithm = distil.distil(distil.Distil(student=STUDENTS[name], teacher=TEACHER, lr=2e-3), spec)
    state, b, key = ref.filled(algorithm), ref.batch(2, 1, ref.ROWS), jax.random.key(3)
    s, obs = ref.host(state), b.obs[0]
    found, metrics = jax.jit(algorithm.update)(state, b, key, ref.clock())
    action = np.clip(ref.pi(s.teacher.actor.params, obs) + 0.3 * ref.noise(key), -1, 1)  # the teacher as it explores
    own = lambda p: loss(ref, name, p, obs, action)
    ref.close(metrics["actor/loss"], own(s.actor.params))
    expected = ref.adam(s.actor, ref.gradient(own, s.actor.params), 2e-3)
    ref.agree(found, dataclasses.replace(s, actor=expected), {"actor": 2e-3})  # the teacher stays
    mode = algorithm.act(found, obs, jax.random.key(4), False)
    params = ref.host(found).actor.params
    exact = {"o2td3": lambda: ref.pi(params, obs), "o2ppo": lambda: ref.gauss(params, obs)[0]}
    ref.close(mode, exact.get(name, lambda: np.tanh(ref.head(params, obs)[0]))())
