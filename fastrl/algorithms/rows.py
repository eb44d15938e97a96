"""Big batches in pieces: means, gradients and values over rows, a few rows at a time.

On a CPU every operation of an ensemble falls off a cliff above some 256 rows, when its working
set leaves the cache, so gradients are accumulated over chunks by a scan. Changes the order of a sum
and nothing else.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from fastrl.types import Metrics, Params

Loss = Callable[..., tuple[jax.Array, Metrics]]


def pieces(rows: int, chunk: int | None) -> int:
    """The smallest number of equal chunks of at most `chunk` rows; 1 if they came out tiny."""
    if chunk is None or rows <= chunk:
        return 1
    count = next(n for n in range(-(-rows // chunk), rows + 1) if rows % n == 0)
    return 1 if rows // count < max(1, chunk // 4) else count


def split(rows: Any, count: int) -> Any:
    """Rows [B, ...] -> [count, B / count, ...]."""
    return jax.tree.map(lambda x: x.reshape(count, x.shape[0] // count, *x.shape[1:]), rows)


def length(rows: Any) -> int:
    """B of rows [B, ...]."""
    return int(jax.tree.leaves(rows)[0].shape[0])


def gradient(loss: Loss, params: Params, rows: Any, chunk: int | None) -> tuple[Params, jax.Array, Metrics]:
    """Gradient, value and metrics of `loss(params, rows) -> (mean, means)`, summed over chunks."""
    count = pieces(length(rows), chunk)
    value_and_grad = jax.value_and_grad(loss, has_aux=True)
    if count == 1:
        (value, metrics), grads = value_and_grad(params, rows)
        return grads, value, metrics

    def add(total: Any, piece: Any) -> tuple[Any, None]:
        return jax.tree.map(jnp.add, total, value_and_grad(params, piece)), None

    parts = split(rows, count)
    piece = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), parts)
    shapes = jax.eval_shape(value_and_grad, params, piece)
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)
    total, _ = jax.lax.scan(add, zeros, parts)
    (value, metrics), grads = jax.tree.map(lambda x: x / count, total)
    return grads, value, metrics


def apply(function: Callable[[Any], Any], rows: Any, chunk: int | None) -> Any:
    """`function(rows) -> values [B, ...]`, chunk by chunk."""
    count = pieces(length(rows), chunk)
    if count == 1:
        return function(rows)
    values = jax.lax.map(function, split(rows, count))
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), values)
