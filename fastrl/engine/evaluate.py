"""Evaluation: whole episodes of the deterministic policy, on the raw reward, with streams of their own."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp

from fastrl.engine import seeds
from fastrl.envs.wrappers import Rescale
from fastrl.types import Algorithm, Environment, Key, State


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Episodes:
    """Results of P episodes of each seed."""

    episode_return: jax.Array  # [S, P], raw and undiscounted
    length: jax.Array  # [S, P]


def episodes(env: Environment, algorithm: Algorithm, agent: State, key: Key, count: int) -> Episodes:
    """`count` episodes of one seed side by side, until the last one has ended (WSRL, evaluation protocol)."""
    reset_key, act_key, step_key = jax.random.split(key, 3)
    state, obs = jax.vmap(env.reset)(jax.random.split(reset_key, count))

    def alive(loop: tuple) -> jax.Array:  # type: ignore[type-arg]
        return loop[2].any()

    def step(loop: tuple) -> tuple:  # type: ignore[type-arg]
        state, obs, living, total, length, t = loop
        action = algorithm.act(agent, obs, jax.random.fold_in(act_key, t), False)
        keys = jax.random.split(jax.random.fold_in(step_key, t), count)
        state, result = jax.vmap(env.step)(keys, state, action)
        total = total + living * result.reward
        length = length + living
        living = living & ~(result.terminated | result.truncated)
        return state, result.obs, living, total, length, t + 1

    start = (state, obs, jnp.ones(count, bool), jnp.zeros(count), jnp.zeros(count, jnp.int32), jnp.int32(0))
    _, _, _, total, length, _ = jax.lax.while_loop(alive, step, start)
    return Episodes(total, length)


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
