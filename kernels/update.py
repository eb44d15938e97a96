"""Adam's step and the Polyak average of a target in one elementwise pass. Arrays in, arrays out.

Per number: read parameter, gradient, two moments and target once, write four of them once.
"""

from typing import Any, NamedTuple

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


def apart(grads: Any, scalars: Scalars) -> tuple[Any, Scalars]:
    """The same numbers, so that XLA makes one kernel for all leaves of one shape.

    The scalars lie in one array, as XLA joins kernels that read a common array and no others. The gradients are
    finished before any leaf is stepped; on a GPU the kernel of the step has their last sums too.
    """
    together = jnp.stack(scalars)
    if jax.default_backend() == "gpu":
        together = jax.lax.optimization_barrier(together)
    else:
        grads, together = jax.lax.optimization_barrier((grads, together))
    return grads, Scalars(*(together[place] for place in range(len(scalars))))


def adam_polyak(
    param: jax.Array,
    grad: jax.Array,
    first: jax.Array,
    second: jax.Array,
    target: jax.Array,
    scalars: Scalars,
    eps: float = EPS,
) -> Updated:
    """One Adam(W) step, then `target += tau * (new param - target)`; arrays of any one shape.

    Both corrections are moved from the numbers to the scalars, which saves two divisions a number.
    """
    root = jnp.sqrt(scalars.correction2)
    first = B1 * first + (1.0 - B1) * grad
    second = B2 * second + (1.0 - B2) * grad * grad
    moved = (scalars.rate * root / scalars.correction1) * first / (jnp.sqrt(second) + eps * root)
    param = param * (1.0 - scalars.rate * scalars.decay) - moved
    return Updated(param, first, second, target + scalars.tau * (param - target))


def adam_polyak_reference(
    param: jax.Array,
    grad: jax.Array,
    first: jax.Array,
    second: jax.Array,
    target: jax.Array,
    scalars: Scalars,
    eps: float = EPS,
) -> Updated:
    """The same as Adam and the average are written in their papers."""
    first = B1 * first + (1.0 - B1) * grad
    second = B2 * second + (1.0 - B2) * grad**2
    direction = (first / scalars.correction1) / (jnp.sqrt(second / scalars.correction2) + eps)
    param = param - scalars.rate * (direction + scalars.decay * param)
    return Updated(param, first, second, (1.0 - scalars.tau) * target + scalars.tau * param)
