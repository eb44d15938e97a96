"""One step of one seed's environments: act, step, and the rows that go into the ring. Knows no update."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from fastrl.engine.phase import Phase, SeedState
from fastrl.envs.wrappers import Outcome, Vector
from fastrl.replay import episodes
from fastrl.replay import ring as replay
from fastrl.types import Key, Spec, State, Transition

ACTION_LIMIT = 1.0 - 1e-5
"""Actions stay inside the open interval, else a tanh-Gaussian's log-probability of them is infinite."""


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


def behave(phase: Phase, task: Task, agent: State, obs: jax.Array, key: Key) -> jax.Array:
    """Exploring actions `[E, A]` in (-1, 1): of the policy (WSRL, Algorithm 1, line 4), or uniform."""
    if phase.behaviour == "random":
        action = jax.random.uniform(key, (*obs.shape[:-1], task.spec.action_size), minval=-1.0)
    else:
        action = phase.algorithm.act(agent, obs, key, True)
    return jnp.clip(action, -ACTION_LIMIT, ACTION_LIMIT)


def to_rows(task: Task, obs: jax.Array, action: jax.Array, outcome: Outcome) -> jax.Array:
    """`[E, W]` rows; the reward is scaled and biased here and nowhere else online."""
    step = outcome.step
    reward = step.reward * task.reward_scale + task.reward_bias
    mask = 1.0 - step.terminated.astype(jnp.float32)
    transition = Transition(obs, action, reward, mask, step.obs, jnp.zeros_like(reward))
    return replay.pack(transition)


def step_seed(
    phase: Phase, task: Task, key: Key, seed: SeedState
) -> tuple[SeedState, jax.Array, dict[str, jax.Array], Any]:
    """One environment step of one seed: (seed, rows `[E, W]`, sums for the log, returns of ended episodes)."""
    assert task.env is not None and seed.env is not None
    act_key, env_key = jax.random.split(key)
    obs = seed.env.obs
    action = behave(phase, task, seed.agent, obs, act_key)
    env, outcome = task.env.step(env_key, seed.env, action)
    done = outcome.done.astype(jnp.float32)
    sums = {
        "rollout/episodes": done.sum(),
        "rollout/return": (done * outcome.episode_return).sum(),
        "rollout/length": (done * outcome.episode_length).sum(),
    }
    rows = to_rows(task, obs, action, outcome)
    open_episodes, ended = seed.open, None
    if open_episodes is not None:
        transition = replay.unpack(rows, task.spec.obs_size, task.spec.action_size)
        open_episodes, returns, age = episodes.push(
            open_episodes, transition.reward, transition.mask, outcome.done, task.discount, task.failure
        )
        ended = (returns, age)
    return dataclasses.replace(seed, env=env, open=open_episodes), rows, sums, ended
