"""Multipliers learned by dual descent, and numbers that follow a clock."""

from typing import Any

import chex
import jax
import jax.numpy as jnp

from fastrl.algorithms.losses import positive


def dual(raw: jax.Array, slack: jax.Array, *, form: str = "exp", low: float = 1.0, high: float = 1.0) -> jax.Array:
    """`positive(raw) * mean(w * slack)`, w = low where slack > 0, else high (OCR-CFT, O2SAC, L_lambda).

    Minimising it lets the multiplier fall while its constraint is satisfied (slack > 0) and rise while it is violated.
    It is the loss of a temperature (slack -log pi - target entropy), of CQL's Lagrange weight (slack gap - difference)
    and of O2SAC's and O2TD3's lambda (slack eps_t - divergence), which falls slowly and rises fast: low 0.3, high 0.7
    is their |0.7 - 1[slack > 0]|. The slack [...] is a number: no gradient flows through it. raw [], the loss [].
    """
    chex.assert_rank(raw, 0)
    slack = jax.lax.stop_gradient(slack)
    weight = jnp.where(slack > 0, low, high)
    chex.assert_equal_shape([weight, slack])
    return positive(raw, form) * (weight * slack).mean()


def ramp(step: jax.Array, start: Any, end: Any, length: Any) -> jax.Array:
    """`min(end, start + (end - start) * step / length)`, max where the ramp falls (OCR-CFT, O2SAC, eps_t).

    A straight line from `start` to `end` over `length` steps, constant after; the step [...] may be of integers.
    """
    chex.assert_rank([start, end, length], 0)
    line = start + (end - start) * (jnp.asarray(step, jnp.result_type(float)) / length)
    return jnp.where(end >= start, jnp.minimum(line, end), jnp.maximum(line, end))


def decay(step: jax.Array, length: Any) -> jax.Array:
    """`max(1 - step / length, 0)` (OCR-CFT, O2PPO, w_t); the step [...] may be of integers."""
    chex.assert_rank(length, 0)
    return jnp.maximum(1.0 - jnp.asarray(step, jnp.result_type(float)) / length, 0.0)
