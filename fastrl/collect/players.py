"""What acts while data is collected: uniform actions or a policy. Scripted players: `fastrl.collect.walkers`."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fastrl.collect.columns import columns
from fastrl.envs import Rescale, Vector
from fastrl.types import Environment, Key, UserError

Act = Callable[[jax.Array, Key], jax.Array]
"""`(observations [E, O], key) -> actions [E, A]` in [-1, 1]."""


class Play(NamedTuple):
    """E copies of an environment at their first observation, and the pure function that steps them all once."""

    start: Any
    step: Callable[[Any, jax.Array], tuple[Any, dict[str, jax.Array]]]
    """`(carry, index of the step) -> (carry, rows [E, ...] by their key in the file)`."""


Player = Callable[[Environment, int, int, Key], Play]
"""`(environment, copies, steps of each copy, key) -> Play`. It decides how episodes start and end, too."""


def uniform() -> Player:
    """Uniform actions in [-1, 1]."""

    def play(env: Environment, copies: int, length: int, key: Key) -> Play:
        def act(obs: jax.Array, key: Key) -> jax.Array:
            return jax.random.uniform(key, (len(obs), env.spec.action_size), minval=-1, maxval=1)

        return policy(act)(env, copies, length, key)

    return play


def policy(act: Act, noise: float = 0.0) -> Player:
    """A policy's actions plus Gaussian noise of standard deviation `noise`.

    Each of several copies ends with a timeout, as another copy's rows follow.
    """
    check_noise(noise)

    def play(env: Environment, copies: int, length: int, key: Key) -> Play:
        vector = Vector(Rescale(env), copies)
        key_start, key_run = jax.random.split(key)

        def step(state: Any, index: jax.Array) -> Any:
            key_action, key_step, key_noise = jax.random.split(jax.random.fold_in(key_run, index), 3)
            action = act(state.obs, key_action)
            action = jnp.clip(action + noise * jax.random.normal(key_noise, action.shape), -1, 1)
            after, outcome = vector.step(key_step, state, action)
            cut = (copies > 1) & (index == length - 1) & ~outcome.step.terminated
            row = jax.vmap(functools.partial(columns, env))
            return after, row(state.env, state.obs, action, outcome.step, outcome.step.truncated | cut)

        return Play(jax.jit(vector.reset)(key_start), step)

    return play


def check_noise(noise: float) -> None:
    """Refuses a standard deviation of actions that is negative or not finite."""
    if not 0 <= noise < np.inf:
        raise UserError(f"collect: noise is {noise:g}, it must be 0 or more")
