"""Steps of an environment as rows of D4RL's layout. Knows no behaviour and no file."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fastrl.types import Step


def columns(
    env: Any, state: Any, obs: jax.Array, action: jax.Array, step: Step, timeout: jax.Array
) -> dict[str, jax.Array]:
    """The row by key of the file: what `step` made of a state, its obs [O] and an action [A] in [-1, 1].

    `infos/qpos` and `infos/qvel`, before the step, where the environment under the time limit has physics.
    """
    row = {
        "observations": obs,
        "actions": action,
        "rewards": step.reward,
        "terminals": step.terminated,
        "timeouts": timeout,
        "next_observations": step.obs,
    }
    if hasattr(env.env, "physics"):
        row["infos/qpos"], row["infos/qvel"] = env.physics(state)
    return row


PARTS = 100
"""Pieces of a rollout: between two of them somebody is told how far it is, and Ctrl-C is heard."""


def rollout(
    step: Callable[[Any, jax.Array], Any], carry: Any, length: int, told: Callable[[int], None]
) -> dict[str, np.ndarray]:
    """The rows [length, ...] of `step(carry, index) -> (carry, row)` for index 0 to length - 1, on the host.

    `told` hears how many are done, 0 first. The last piece may step on behind `length`: nobody sees those rows.
    """
    size = -(-length // PARTS)
    piece = jax.jit(lambda carry, first: jax.lax.scan(step, carry, first + jnp.arange(size)))
    pieces = []
    told(0)
    for first in range(0, length, size):
        carry, rows = piece(carry, first)
        pieces.append(jax.device_get(rows))
        told(min(first + size, length))
    return {field: np.concatenate([rows[field] for rows in pieces])[:length] for field in pieces[0]}
