"""Evaluation: whole episodes of the deterministic policy, on the raw reward, with streams of their own.

Says what is measured in them. Knows no log and no page.
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from fastrl.engine import seeds
from fastrl.envs.wrappers import Rescale
from fastrl.types import Algorithm, Environment, Key, Spec, State


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Episodes:
    """Results of P episodes of each seed."""

    episode_return: jax.Array  # [S, P], raw and undiscounted
    length: jax.Array  # [S, P]
    last_reward: jax.Array  # [S, P], raw


def episodes(env: Environment, algorithm: Algorithm, agent: State, key: Key, count: int) -> Episodes:
    """`count` episodes of one seed side by side, until the last one has ended (WSRL, evaluation protocol)."""
    reset_key, act_key, step_key = jax.random.split(key, 3)
    state, obs = jax.vmap(env.reset)(jax.random.split(reset_key, count))

    def alive(loop: tuple) -> jax.Array:  # type: ignore[type-arg]
        return loop[2].any()

    def step(loop: tuple) -> tuple:  # type: ignore[type-arg]
        state, obs, living, total, length, last, t = loop
        action = algorithm.act(agent, obs, jax.random.fold_in(act_key, t), False)
        keys = jax.random.split(jax.random.fold_in(step_key, t), count)
        state, result = jax.vmap(env.step)(keys, state, action)
        total = jnp.where(living, total + result.reward, total)  # what comes after an end may be NaN
        length = length + living
        last = jnp.where(living, result.reward, last)
        living = living & ~(result.terminated | result.truncated)
        return state, result.obs, living, total, length, last, t + 1

    nothing = jnp.zeros(count)
    start = (state, obs, jnp.ones(count, bool), nothing, jnp.zeros(count, jnp.int32), nothing, jnp.int32(0))
    _, _, _, total, length, last, _ = jax.lax.while_loop(alive, step, start)
    return Episodes(total, length, last)


def program(
    env: Environment, algorithm: Algorithm, count: int, side_by_side: bool
) -> Callable[[State, Key, jax.Array], Episodes]:
    """`(agents [S], seed keys [S], index of the evaluation) -> Episodes [S, count]`."""
    rescaled = Rescale(env)

    def one(agent: State, key: Key, index: jax.Array) -> Episodes:
        stream = jax.random.fold_in(jax.random.fold_in(key, seeds.EVALUATION), index)
        return episodes(rescaled, algorithm, agent, stream, count)

    def run(agents: State, keys: Key, index: jax.Array) -> Episodes:
        if side_by_side:
            return jax.vmap(one, (0, 0, None))(agents, keys, index)
        return jax.lax.map(lambda both: one(both[0], both[1], index), (agents, keys))

    return run


def rates(played: Episodes, spec: Spec) -> dict[str, list[float]]:
    """What the papers report of a task besides its return, a number per seed; of many tasks nothing.

    `success` is the share of episodes with a step that paid more than failure; `completed` the share of the subtasks
    that were done at an episode's end (WSRL and Cal-QL on Kitchen: the reward of the last step, divided by 4). NaN
    where a return is.
    """
    found: dict[str, list[float]] = {}
    if spec.sparse:
        least = spec.failure_reward * np.asarray(played.length, np.float64)
        returns = np.asarray(played.episode_return)
        found["success"] = np.where(np.isnan(returns), np.nan, returns > least).mean(1).tolist()
    if spec.subtasks:
        found["completed"] = (np.asarray(played.last_reward, np.float64) / spec.subtasks).mean(1).tolist()
    return found
