"""Big batches in pieces: means, gradients and values over rows, a few rows at a time.

On a CPU every operation of an ensemble falls off a cliff above some 256 rows, when its working set leaves the cache, so
gradients are accumulated over pieces by a scan. This is the one place that knows it. What is split must be a mean over
rows: a statistic of the batch is computed before, over all rows (`apply`), and handed in.
"""

import contextlib
import contextvars
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp

from fastrl.types import Metrics, Params

Loss = Callable[..., tuple[jax.Array, Metrics]]

CPU_ROWS = 256
"""Rows of one ensemble product on a CPU."""

_PIECE: contextvars.ContextVar[int | None] = contextvars.ContextVar("piece", default=-1)


@contextlib.contextmanager
def pieces_of(rows: int | None) -> Iterator[None]:
    """Splits at this many rows, or not at all, whatever the device (programs compiled for another one, tests).

    It holds while a program is traced; a function that `jax.jit` has traced before keeps its pieces.
    """
    token = _PIECE.set(rows)
    try:
        yield
    finally:
        _PIECE.reset(token)


def most(weight: int) -> int | None:
    """Rows of one piece, each of which is `weight` rows for the ensemble; None splits nothing."""
    rows = _PIECE.get()
    if rows == -1:
        rows = CPU_ROWS if jax.default_backend() == "cpu" else None
    return None if rows is None else max(1, rows // weight)


def pieces(rows: int, piece: int | None) -> int:
    """The smallest number of equal pieces of at most `piece` rows; 1 if they came out tiny."""
    if piece is None or rows <= piece:
        return 1
    count = next(n for n in range(-(-rows // piece), rows + 1) if rows % n == 0)
    return 1 if rows // count < max(1, piece // 4) else count


def split(rows: Any, count: int) -> Any:
    """Rows [B, ...] -> [count, B / count, ...]."""
    return jax.tree.map(lambda x: x.reshape(count, x.shape[0] // count, *x.shape[1:]), rows)


def length(rows: Any) -> int:
    """B of rows [B, ...]."""
    return int(jax.tree.leaves(rows)[0].shape[0])


def gradient(loss: Loss, params: Params, rows: Any, weight: int = 1) -> tuple[Params, jax.Array, Metrics]:
    """Gradient, value and metrics of `loss(params, rows) -> (mean over rows, means)`, summed over pieces."""
    count = pieces(length(rows), most(weight))
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


def members(function: Callable[..., Any], *each: Any) -> Any:
    """`function` of each of N members' arguments [N, ...]: one after another on a CPU, side by side elsewhere.

    Side by side, five CQL agents of 256 rows take 1.8 times as long on a CPU.
    """
    if most(1) is None:
        return jax.vmap(function)(*each)
    return jax.lax.map(lambda one: function(*one), each)


def apply(function: Callable[[Any], Any], rows: Any, weight: int = 1) -> Any:
    """`function(rows) -> values [B, ...]`, piece by piece."""
    count = pieces(length(rows), most(weight))
    if count == 1:
        return function(rows)
    values = jax.lax.map(function, split(rows, count))
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), values)
