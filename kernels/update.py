"""Adam's step and the polyak average of a target in one elementwise pass. Arrays in, arrays out; knows no RL.

Per number: read parameter, gradient, two moments and target once, write four of them once.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl

B1, B2, EPS = 0.9, 0.999, 1e-8
LANES = 128  # numbers in a row of the Pallas kernel's blocks


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
    param: jax.Array, grad: jax.Array, first: jax.Array, second: jax.Array, target: jax.Array, scalars: Scalars
) -> Updated:
    """One Adam(W) step, then `target += tau * (new param - target)`; arrays of any one shape.

    Both corrections are moved from the numbers to the scalars, which saves two divisions a number.
    """
    root = jnp.sqrt(scalars.correction2)
    first = B1 * first + (1.0 - B1) * grad
    second = B2 * second + (1.0 - B2) * grad * grad
    moved = (scalars.rate * root / scalars.correction1) * first / (jnp.sqrt(second) + EPS * root)
    param = param * (1.0 - scalars.rate * scalars.decay) - moved
    return Updated(param, first, second, target + scalars.tau * (param - target))


def adam_polyak_reference(
    param: jax.Array, grad: jax.Array, first: jax.Array, second: jax.Array, target: jax.Array, scalars: Scalars
) -> Updated:
    """The same as Adam and the average are written in their papers."""
    first = B1 * first + (1.0 - B1) * grad
    second = B2 * second + (1.0 - B2) * grad**2
    direction = (first / scalars.correction1) / (jnp.sqrt(second / scalars.correction2) + EPS)
    param = param - scalars.rate * (direction + scalars.decay * param)
    return Updated(param, first, second, (1.0 - scalars.tau) * target + scalars.tau * param)


def adam_polyak_pallas(
    param: jax.Array,
    grad: jax.Array,
    first: jax.Array,
    second: jax.Array,
    target: jax.Array,
    scalars: Scalars,
    rows: int = 32,
    interpret: bool = False,
) -> Updated:
    """The same as one kernel over flat blocks of [rows, 128]; the inputs' memory takes the results."""
    block = rows * LANES
    count = -(-param.size // block)

    def flat(x: jax.Array) -> jax.Array:
        padded = jnp.pad(x.reshape(-1), (0, count * block - x.size))
        return padded.reshape(count * rows, LANES)

    inputs = [flat(x) for x in (param, grad, first, second, target)]
    table = jnp.broadcast_to(jnp.pad(jnp.stack(scalars), (0, 3))[:, None], (8, LANES))
    piece = pl.BlockSpec((rows, LANES), lambda i: (i, 0))
    results = pl.pallas_call(
        _kernel,
        out_shape=[jax.ShapeDtypeStruct(inputs[0].shape, jnp.float32)] * 4,
        grid=(count,),
        in_specs=[pl.BlockSpec((8, LANES), lambda i: (0, 0)), *[piece] * 5],
        out_specs=[piece] * 4,
        input_output_aliases={1: 0, 3: 1, 4: 2, 5: 3},
        interpret=interpret,
    )(table, *inputs)
    return Updated(*(x.reshape(-1)[: param.size].reshape(param.shape) for x in results))


def _kernel(table: Any, *refs: Any) -> None:
    """One block: five blocks in, four out; the table has one scalar a row."""
    scalars = Scalars(*(table[pl.ds(i, 1), :] for i in range(len(Scalars._fields))))
    param, grad, first, second, target = (ref[...] for ref in refs[:5])
    updated = adam_polyak(param, grad, first, second, target, scalars)
    for ref, value in zip(refs[5:], updated):
        ref[...] = value
