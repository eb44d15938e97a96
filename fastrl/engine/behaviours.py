"""How actions are chosen while experience is collected: pure functions, with a memory for each environment copy."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from fastrl.types import ACTION_LIMIT, Algorithm, Key, Spec, State


class Behaviour(NamedTuple):
    """What acts. Its memory starts anew with each episode."""

    act: Callable[[Algorithm, State, Any, jax.Array, Key, Spec], tuple[jax.Array, Any]]
    """`(algorithm, agent, memory [E, ...], obs [E, O], key, spec) -> (actions [E, A], memory)`."""
    start: Callable[[Key], Any] | None = None
    """`key -> memory` of one environment copy at the start of an episode; None: there is none."""
    name: str = "behaviour"


def _policy(algorithm: Algorithm, agent: State, memory: Any, obs: jax.Array, key: Key, spec: Spec) -> Any:
    return jnp.clip(algorithm.act(agent, obs, key, True), -ACTION_LIMIT, ACTION_LIMIT), memory


def _raw_policy(algorithm: Algorithm, agent: State, memory: Any, obs: jax.Array, key: Key, spec: Spec) -> Any:
    return algorithm.act(agent, obs, key, True), memory


def _uniform(algorithm: Algorithm, agent: State, memory: Any, obs: jax.Array, key: Key, spec: Spec) -> Any:
    action = jax.random.uniform(key, (*obs.shape[:-1], spec.action_size), minval=-1.0)
    return jnp.clip(action, -ACTION_LIMIT, ACTION_LIMIT), memory


POLICY = Behaviour(_policy, name="policy")
"""The agent's own exploring actions (WSRL, Algorithm 1, line 4)."""

RAW_POLICY = Behaviour(_raw_policy, name="raw policy")
"""As POLICY, and rows keep what was drawn, before it is clipped for the environment (PPO's densities)."""

UNIFORM = Behaviour(_uniform, name="uniform")
"""Uniform actions."""


def restarted(behaviour: Behaviour, memory: Any, done: jax.Array, key: Key) -> Any:
    """The memory [E, ...] with a fresh start where `done` [E]."""
    if behaviour.start is None:
        return memory
    fresh = jax.vmap(behaviour.start)(jax.random.split(key, done.shape[0]))
    return jax.tree.map(lambda a, b: jnp.where(done.reshape(-1, *(1,) * (a.ndim - 1)), a, b), fresh, memory)
