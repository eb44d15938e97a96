"""Adam's step and the polyak average of a target in one elementwise pass. Knows no RL.

Per number: read parameter, gradient, two moments and target once, write four of them once.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

B1, B2, EPS = 0.9, 0.999, 1e-8


class Scalars(NamedTuple):
    """What one step is about: all float32 scalars."""

    rate: jax.Array  # learning rate
    correction1: jax.Array  # 1 - B1**count, with count from 1
    correction2: jax.Array  # 1 - B2**count
    decay: jax.Array  # decoupled weight decay
    tau: jax.Array  # step of the target towards the parameter


class Updated(NamedTuple):
    """The results of one step, each of the parameter's shape."""

    param: jax.Array
    first: jax.Array
    second: jax.Array
    target: jax.Array


def adam_polyak(
    param: jax.Array,
    grad: jax.Array,
    first: jax.Array,
    second: jax.Array,
    target: jax.Array,
    scalars: Scalars,
) -> Updated:
    """One Adam(W) step, then `target += tau * (new param - target)`; arrays of any one shape."""
    first = B1 * first + (1.0 - B1) * grad
    second = B2 * second + (1.0 - B2) * grad * grad
    direction = (first / scalars.correction1) / (jnp.sqrt(second / scalars.correction2) + EPS) + scalars.decay * param
    param = param - scalars.rate * direction
    return Updated(param, first, second, target + scalars.tau * (param - target))
