"""One step of one seed's environments: act, step, and the rows that go into the ring."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from fastrl.engine import behaviours
from fastrl.engine.behaviours import Memory
from fastrl.engine.phase import Phase, SeedState
from fastrl.envs.wrappers import Outcome, Vector
from fastrl.replay import ring as rings
from fastrl.types import Key, Spec, Transition


@dataclasses.dataclass(frozen=True)
class Task:
    """The environment as learning sees it: copies, sizes, and the one place of the reward's scale and bias."""

    env: Vector | None
    spec: Spec
    reward_scale: float = 1.0
    reward_bias: float = 0.0
    failure: float | None = None  # scaled reward of a step without success (sparse tasks)
    discount: float = 0.99  # of the Monte-Carlo returns
    num_envs: int = 1


def to_rows(task: Task, obs: jax.Array, action: jax.Array, outcome: Outcome) -> jax.Array:
    """`[E, W]` rows; the reward is scaled and biased here and nowhere else online."""
    step = outcome.step
    reward = step.reward * task.reward_scale + task.reward_bias
    mask = 1.0 - step.terminated.astype(jnp.float32)
    last = outcome.done.astype(jnp.float32)
    return rings.pack(Transition(obs, action, reward, mask, step.obs, jnp.zeros_like(reward), last))


def step_seed(
    phase: Phase, task: Task, key: Key, seed: SeedState, time: jax.Array
) -> tuple[SeedState, jax.Array, dict[str, jax.Array], Any]:
    """One environment step of one seed: (seed, rows `[E, W]`, sums for the log, what the draw found in them).

    `time` [] counts the steps of each copy before this one.
    """
    assert task.env is not None and seed.env is not None and phase.behaviour is not None
    act_key, env_key = jax.random.split(key)
    act_key, memory_key = jax.random.split(act_key) if phase.behaviour.start else (act_key, act_key)
    obs, algorithm = seed.env.obs, phase.algorithm(seed.numbers)
    memory = Memory(None, None) if seed.behaviour is None else seed.behaviour
    action, each = phase.behaviour.act(algorithm, seed.agent, memory, obs, act_key, task.spec)
    env, outcome = task.env.step(env_key, seed.env, action)
    steps = (time + 1) * task.num_envs
    memory = behaviours.acted(phase.behaviour, seed.behaviour, each, outcome.done, memory_key, steps)
    done = outcome.done.astype(jnp.float32)
    sums = {
        "rollout/episodes": done.sum(),
        "rollout/return": (done * outcome.episode_return).sum(),
        "rollout/length": (done * outcome.episode_length).sum(),
    }
    rows = to_rows(task, obs, action, outcome)
    draw, found = seed.draw, None
    if phase.draw is not None and phase.draw.observe is not None:
        draw, found = phase.draw.observe(draw, rings.unpack(rows, task.spec.obs_size, task.spec.action_size))
    return dataclasses.replace(seed, env=env, behaviour=memory, draw=draw), rows, sums, found
