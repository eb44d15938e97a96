"""Wrappers: the time limit, the agent's action range, and many copies with auto-reset.

Rewards pass through raw; the engine scales them, once.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from fastrl.envs import spaces
from fastrl.types import Environment, Key, Spec, State, Step

ACTION_LIMIT = 0.99999
"""Agents act within +- this (WSRL's released code): a tanh policy's log density stays finite."""


def restart(env: Environment, key: Key, state: State, obs: jax.Array, done: jax.Array) -> tuple[State, jax.Array]:
    """A new episode where `done` [], else (state, obs) as they are.

    An environment with an expensive reset may have a `restart` of its own, with the same arguments.
    """
    if (own := getattr(env, "restart", None)) is not None:
        return own(key, state, obs, done)
    return jax.tree.map(lambda new, old: jnp.where(done, new, old), env.reset(key), (state, obs))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Timed:
    """An environment's state and the steps since its reset."""

    env: State
    elapsed: jax.Array  # [] int32


@dataclasses.dataclass(frozen=True, eq=False)
class TimeLimit:
    """Truncates an episode after `horizon` steps, unless that very step terminated it."""

    env: Environment
    horizon: int

    @property
    def spec(self) -> Spec:
        """The wrapped spec with this horizon."""
        return dataclasses.replace(self.env.spec, horizon=self.horizon)

    def reset(self, key: Key) -> tuple[Timed, jax.Array]:
        """Starts an episode at step 0."""
        state, obs = self.env.reset(key)
        return Timed(state, jnp.int32(0)), obs

    def restart(self, key: Key, state: Timed, obs: jax.Array, done: jax.Array) -> tuple[Timed, jax.Array]:
        """An episode at step 0 where `done`."""
        inner, obs = restart(self.env, key, state.env, obs, done)
        return Timed(inner, jnp.where(done, 0, state.elapsed)), obs

    def step(self, key: Key, state: Timed, action: jax.Array) -> tuple[Timed, Step]:
        """One step; `truncated` at the horizon unless it terminated."""
        inner, step = self.env.step(key, state.env, action)
        elapsed = state.elapsed + 1
        truncated = (step.truncated | (elapsed >= self.horizon)) & ~step.terminated
        return Timed(inner, elapsed), step._replace(truncated=truncated)

    def from_physics(self, qpos: jax.Array, qvel: jax.Array) -> tuple[Timed, jax.Array]:
        """The state (at step 0) and observation of a simulator state qpos [Q], qvel [V]."""
        state, obs = self.env.from_physics(qpos, qvel)  # type: ignore[attr-defined]
        return Timed(state, jnp.int32(0)), obs

    def physics(self, state: Timed) -> tuple[jax.Array, jax.Array]:
        """The simulator state (qpos [Q], qvel [V])."""
        return self.env.physics(state.env)  # type: ignore[attr-defined]


def limited(env: Environment) -> Environment:
    """The environment with its spec's time limit, unless it has one: what `make` gives, for one made by hand."""
    return env if isinstance(env, TimeLimit) else TimeLimit(env, env.spec.horizon)


@dataclasses.dataclass(frozen=True, eq=False)
class Rescale:
    """Maps the agent's action in [-1, 1], clipped, to the environment's bounds."""

    env: Environment

    def __post_init__(self) -> None:
        """Refuses bounds that nothing can be scaled to."""
        spaces.of_spec(self.env.spec)

    @property
    def spec(self) -> Spec:
        """The wrapped spec with bounds of [-1, 1]."""
        return dataclasses.replace(self.env.spec, action_low=-1.0, action_high=1.0)

    def reset(self, key: Key) -> tuple[State, jax.Array]:
        """The wrapped reset."""
        return self.env.reset(key)

    def restart(self, key: Key, state: State, obs: jax.Array, done: jax.Array) -> tuple[State, jax.Array]:
        """The wrapped restart."""
        return restart(self.env, key, state, obs, done)

    def step(self, key: Key, state: State, action: jax.Array) -> tuple[State, Step]:
        """The wrapped step with the action clipped to +- 0.99999 and rescaled."""
        low, high = jnp.asarray(self.env.spec.action_low), jnp.asarray(self.env.spec.action_high)
        action = jnp.clip(action, -ACTION_LIMIT, ACTION_LIMIT)
        return self.env.step(key, state, low + (action + 1) / 2 * (high - low))


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class VectorState:
    """E running episodes. `obs` is what to act on next: after the reset, where one happened."""

    env: State  # [E, ...]
    obs: jax.Array  # [E, O]
    length: jax.Array  # [E] int32, steps so far
    episode_return: jax.Array  # [E], raw reward so far


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Outcome:
    """What E copies did in one step; `step.obs` is the true final observation where `done`."""

    step: Step  # [E, ...]
    done: jax.Array  # [E] bool, terminated or truncated
    episode_return: jax.Array  # [E], raw, this step included
    episode_length: jax.Array  # [E] int32, this step included


@dataclasses.dataclass(frozen=True, eq=False)
class Vector:
    """E copies that start a new episode when one ends.

    The reset is a branch, so that it costs only when some episode ends (under an outer vmap it is
    computed and selected). A single copy is not vmapped.
    """

    env: Environment
    copies: int

    @property
    def spec(self) -> Spec:
        """The spec of one copy."""
        return self.env.spec

    def reset(self, key: Key) -> VectorState:
        """Starts E episodes."""
        env, obs = self._map(self.env.reset, jax.random.split(key, self.copies))
        zero = jnp.zeros(self.copies, obs.dtype)
        return VectorState(env, obs, jnp.zeros(self.copies, jnp.int32), zero)

    def step(self, key: Key, state: VectorState, action: jax.Array) -> tuple[VectorState, Outcome]:
        """One step of every copy with action [E, A], then a reset where the episode is done."""
        key_step, key_reset = jax.random.split(key)
        keys = jax.random.split(key_step, self.copies)
        env, step = self._map(self.env.step, keys, state.env, action)
        done = step.terminated | step.truncated
        length, total = state.length + 1, state.episode_return + step.reward
        after = VectorState(env, step.obs, length, total)
        # Raw key data: under vmap the branch becomes a select over its operands, keys included.
        after = lax.cond(
            jnp.any(done), self._restart, lambda *args: args[2], jax.random.key_data(key_reset), done, after
        )
        return after, Outcome(step, done, total, length)

    def _restart(self, key: jax.Array, done: jax.Array, state: VectorState) -> VectorState:
        """`state` with a fresh episode where `done`."""
        keys = jax.random.split(jax.random.wrap_key_data(key), self.copies)
        env, obs = self._map(functools.partial(restart, self.env), keys, state.env, state.obs, done)
        zero = jnp.zeros((), state.episode_return.dtype)
        return VectorState(env, obs, jnp.where(done, 0, state.length), jnp.where(done, zero, state.episode_return))

    def _map(self, function: Any, *args: Any) -> Any:
        if self.copies > 1:
            return jax.vmap(function)(*args)
        result = function(*jax.tree.map(lambda x: x[0], args))
        return jax.tree.map(lambda x: x[None], result)
