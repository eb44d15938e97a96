"""Tiny environments with values known in closed form, to test learners with (after Andy Jones).

Every probe observes one number, the episode's progress, and takes one action.
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp

from fastrl.types import Key, Spec, Step

Reward = Callable[[jax.Array, jax.Array], jax.Array]
"""`(time [], action [1]) -> reward []`."""


@dataclasses.dataclass(frozen=True)
class Probe:
    """Terminates after `length` steps, never if 0; pays `reward(time, action)`."""

    spec: Spec
    length: int
    reward: Reward

    def reset(self, key: Key) -> tuple[jax.Array, jax.Array]:
        """Time 0."""
        del key
        return jnp.int32(0), self._observe(jnp.int32(0))

    def step(self, key: Key, state: jax.Array, action: jax.Array) -> tuple[jax.Array, Step]:
        """Time passes."""
        del key
        time = state + 1
        ended = time >= self.length if self.length else jnp.bool_(False)
        reward = jnp.asarray(self.reward(state, action), float)
        return time, Step(self._observe(time), reward, ended, jnp.bool_(False))

    def _observe(self, time: jax.Array) -> jax.Array:
        return jnp.atleast_1d(jnp.asarray(time / self.length if self.length else 0.0, float))


def _probe(name: str, length: int, horizon: int, reward: Reward) -> Probe:
    return Probe(Spec(name, obs_size=1, action_size=1, horizon=horizon), length, reward)


def constant() -> Probe:
    """One step, reward 1: Q = 1."""
    return _probe("probe-constant", 1, 10, lambda time, action: jnp.ones(()))


def delayed() -> Probe:
    """Reward 1 on the second and last step: Q = discount, then 1."""
    return _probe("probe-delayed", 2, 10, lambda time, action: time == 1)


def action() -> Probe:
    """One step, reward -(a - 0.5)^2: Q is that, the best action 0.5."""
    return _probe("probe-action", 1, 10, lambda time, action: -((action[0] - 0.5) ** 2))


def truncation() -> Probe:
    """Reward 1 for ever, cut after 5 steps: Q = 1 / (1 - discount), always."""
    return _probe("probe-truncation", 0, 5, lambda time, action: jnp.ones(()))


def termination() -> Probe:
    """Reward 1, ended after 5 steps: Q = (1 - discount^(5 - t)) / (1 - discount) at time t."""
    return _probe("probe-termination", 5, 10, lambda time, action: jnp.ones(()))
