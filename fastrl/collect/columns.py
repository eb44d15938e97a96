"""Steps of an environment as rows of D4RL's layout, and the loop that makes them."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fastrl.types import Step


def columns(
    env: Any, state: Any, obs: jax.Array, action: jax.Array, step: Step, timeout: jax.Array
) -> dict[str, jax.Array]:
    """One row by its keys in the file: a state, its obs [O], an action [A] in [-1, 1] and the step that they gave.

    Where the environment below the time limit has physics, `infos/qpos` and `infos/qvel` are those before the step.
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
"""Pieces of a rollout. Between two of them progress is reported and Ctrl-C is answered."""


def rollout(
    step: Callable[[Any, jax.Array], Any], carry: Any, length: int, report: Callable[[int], None]
) -> dict[str, np.ndarray]:
    """The rows [length, ...] of `step(carry, index) -> (carry, row)` for index 0 to length - 1, on the host.

    `report` is called with the number of steps done, 0 first. The last piece may run past `length`; those rows are cut.
    """
    size = -(-length // PARTS)
    piece = jax.jit(lambda carry, first: jax.lax.scan(step, carry, first + jnp.arange(size)))
    pieces = []
    report(0)
    for first in range(0, length, size):
        carry, rows = piece(carry, first)
        pieces.append(jax.device_get(rows))
        report(min(first + size, length))
    return {field: np.concatenate([rows[field] for rows in pieces])[:length] for field in pieces[0]}
