"""Evaluation: whole episodes of the deterministic policy, on the raw reward, with streams of their own.

What is measured in them is here too.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fastrl.engine import health, streams
from fastrl.engine.playing import begun, player_of
from fastrl.engine.seeds import mapped
from fastrl.envs.wrappers import Rescale
from fastrl.types import Algorithm, Environment, Key, Spec, State


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Episodes:
    """Results of P episodes of each seed."""

    episode_return: jax.Array  # [S, P], raw and undiscounted
    length: jax.Array  # [S, P]
    last_reward: jax.Array  # [S, P], raw


class Playing(NamedTuple):
    """P episodes side by side, some of which have ended."""

    state: State  # of the environments, [P, ...]
    obs: jax.Array  # [P, O]
    alive: jax.Array  # [P] bool
    total: jax.Array  # [P], raw reward so far
    length: jax.Array  # [P]
    last: jax.Array  # [P], the last raw reward
    time: jax.Array  # []
    memory: Any  # of what plays, [P, ...]


def episodes(
    env: Environment, algorithm: Algorithm, agent: State, key: Key, count: int, explore: bool = False
) -> Episodes:
    """`count` episodes of one seed side by side, until the last one has ended (WSRL, evaluation protocol).

    With `explore` the policy's samples are played, else its mode.
    """
    reset_key, act_key, step_key = jax.random.split(key, 3)
    player = player_of(algorithm)

    def step(now: Playing) -> Playing:
        own_key = jax.random.fold_in(act_key, now.time)
        action, memory = player.act(agent, now.memory, now.obs, own_key, explore)
        keys = jax.random.split(jax.random.fold_in(step_key, now.time), count)
        state, result = jax.vmap(env.step)(keys, now.state, action)
        return Playing(
            state,
            result.obs,
            alive=now.alive & ~(result.terminated | result.truncated),
            total=jnp.where(now.alive, now.total + result.reward, now.total),  # what comes after an end may be NaN
            length=now.length + now.alive,
            last=jnp.where(now.alive, result.reward, now.last),
            time=now.time + 1,
            memory=player.observe(memory, result.reward),
        )

    state, obs = jax.vmap(env.reset)(jax.random.split(reset_key, count))
    nothing, alive = jnp.zeros(count), jnp.ones(count, bool)
    memory = begun(player, agent, count)
    start = Playing(state, obs, alive, nothing, jnp.zeros(count, jnp.int32), nothing, jnp.int32(0), memory)
    end = jax.lax.while_loop(lambda now: now.alive.any(), step, start)
    return Episodes(end.total, end.length, end.last)


def program(
    env: Environment, algorithm: Algorithm, count: int, block: int | None, explore: bool = False
) -> Callable[[State, Key, jax.Array, jax.Array], Episodes]:
    """`(agents [S], seed keys [S], part, step) -> Episodes [S, count]`, on the stream of that step of a part."""
    rescaled = Rescale(env)

    def run(agents: State, keys: Key, part: jax.Array, step: jax.Array) -> Episodes:
        def one(both: tuple[State, Key]) -> Episodes:
            agent, key = both
            return episodes(rescaled, algorithm, agent, streams.evaluation(key, part, step), count, explore)

        return mapped(one, block)((agents, keys))

    return run


def judged(algorithm: Algorithm) -> Callable[[State, jax.Array, jax.Array], State]:
    """`(agents [S], scores [S], good [S] bool) -> agents`: what an algorithm makes of its scores; frozen seeds stay."""

    def run(agents: State, scores: jax.Array, good: jax.Array) -> State:
        assert algorithm.judge is not None
        return health.select(good, jax.vmap(algorithm.judge)(agents, scores), agents)

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
