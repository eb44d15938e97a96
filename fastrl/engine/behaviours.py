"""How actions are chosen while experience is collected: pure functions, with a memory where they need one."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from fastrl.types import ACTION_LIMIT, Algorithm, Key, Spec, State


class Memory(NamedTuple):
    """What a behaviour remembers of one seed."""

    known: Any  # from the moment when it began to act; it stays
    each: Any  # [E, ...] of each environment copy; it starts anew with each episode


class Behaviour(NamedTuple):
    """What acts."""

    act: Callable[[Algorithm, State, Memory, jax.Array, Key, Spec], tuple[jax.Array, Any]]
    """`(algorithm, agent, memory, obs [E, O], key, spec) -> (actions [E, A], each [E, ...])`."""
    start: Callable[[Key, jax.Array], Any] | None = None
    """`(key, step []) -> each` of one environment copy at the start of an episode, after so many steps of its seed."""
    know: Callable[[Algorithm, State, Key], Any] | None = None
    """`(algorithm, agent, key) -> known` of one seed, when it begins to act."""
    name: str = "behaviour"

    @property
    def remembers(self) -> bool:
        """Whether there is a memory."""
        return self.start is not None or self.know is not None


def _sample(algorithm: Algorithm, agent: State, obs: jax.Array, key: Key) -> jax.Array:
    return jnp.clip(algorithm.act(agent, obs, key, True), -ACTION_LIMIT, ACTION_LIMIT)


def _policy(algorithm: Algorithm, agent: State, memory: Memory, obs: jax.Array, key: Key, spec: Spec) -> Any:
    return _sample(algorithm, agent, obs, key), memory.each


def _raw_policy(algorithm: Algorithm, agent: State, memory: Memory, obs: jax.Array, key: Key, spec: Spec) -> Any:
    return algorithm.act(agent, obs, key, True), memory.each


def _uniform(algorithm: Algorithm, agent: State, memory: Memory, obs: jax.Array, key: Key, spec: Spec) -> Any:
    action = jax.random.uniform(key, (*obs.shape[:-1], spec.action_size), minval=-1.0)
    return jnp.clip(action, -ACTION_LIMIT, ACTION_LIMIT), memory.each


def _known(algorithm: Algorithm, agent: State, memory: Memory, obs: jax.Array, key: Key, spec: Spec) -> Any:
    return _sample(algorithm, memory.known, obs, key), memory.each


POLICY = Behaviour(_policy, name="policy")
"""The agent's own exploring actions (WSRL, Algorithm 1, line 4)."""

RAW_POLICY = Behaviour(_raw_policy, name="raw policy")
"""As POLICY, and rows keep what was drawn, before it is clipped for the environment (PPO's densities)."""

UNIFORM = Behaviour(_uniform, name="uniform")
"""Uniform actions."""

UNTRAINED = Behaviour(_known, know=lambda algorithm, agent, key: algorithm.init(key), name="untrained")
"""Exploring actions of a fresh agent, whatever the agent knows (WSRL, figure 18)."""


def roll_in(probability: float, steps: int, stay: float) -> Behaviour:
    """The agent that came in rolls in, then the learner goes on to the episode's end (JSRL, Algorithm 1).

    An episode begins with the frozen agent with `probability`, which falls to 0 on a line over the first `steps`
    environment steps; after each of its steps the frozen agent goes on with probability `stay`, so that the length of a
    roll-in is geometric.
    """

    def start(key: Key, step: jax.Array) -> jax.Array:
        left = jnp.maximum(1.0 - step / steps, 0.0)
        return jax.random.bernoulli(key, probability * left)

    def act(algorithm: Algorithm, agent: State, memory: Memory, obs: jax.Array, key: Key, spec: Spec) -> Any:
        own_key, guide_key, stay_key = jax.random.split(key, 3)
        own, guide = _sample(algorithm, agent, obs, own_key), _sample(algorithm, memory.known, obs, guide_key)
        rolling: jax.Array = memory.each
        action = jnp.where(rolling[:, None], guide, own)
        return action, rolling & jax.random.bernoulli(stay_key, stay, rolling.shape)

    return Behaviour(act, start, lambda algorithm, agent, key: agent, name="roll-in")


def began(behaviour: Behaviour, algorithm: Algorithm, agent: State, key: Key, copies: int, step: jax.Array) -> Any:
    """The memory of one seed when the behaviour begins to act; None if it remembers nothing."""
    if not behaviour.remembers:
        return None
    know_key, start_key = jax.random.split(key)
    known = None if behaviour.know is None else behaviour.know(algorithm, agent, know_key)
    return Memory(known, _fresh(behaviour, copies, start_key, step))


def acted(behaviour: Behaviour, memory: Any, each: Any, done: jax.Array, key: Key, step: jax.Array) -> Any:
    """The memory after a step that gave `each` [E, ...], with a fresh start where `done` [E]."""
    if behaviour.start is None:
        return memory
    fresh = _fresh(behaviour, done.shape[0], key, step)
    chosen = jax.tree.map(lambda a, b: jnp.where(done.reshape(-1, *(1,) * (a.ndim - 1)), a, b), fresh, each)
    return memory._replace(each=chosen)


def _fresh(behaviour: Behaviour, copies: int, key: Key, step: jax.Array) -> Any:
    if behaviour.start is None:
        return None
    return jax.vmap(behaviour.start, (0, None))(jax.random.split(key, copies), step)
