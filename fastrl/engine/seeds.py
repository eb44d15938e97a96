"""Two ways through the seed axis: side by side, or one seed after the other.

Side by side (`vmap`) fills an accelerator. On a CPU it is slower than one seed after the other, and a stacked scan
would copy the ring, so the sequential way is a loop *inside* the program whose body works on one seed at a time and
writes into the one shared ring. Both ways see the same arrays, with the seed axis in front.
"""

from collections.abc import Callable
from typing import Any

import jax


def side_by_side(mode: str) -> bool:
    """Whether seeds are vmapped: asked for, or not on a CPU."""
    return mode == "vmap" or (mode == "auto" and jax.default_backend() != "cpu")


def per_seed(function: Callable[..., Any], n: int) -> Callable[..., Any]:
    """Maps a function of one seed over a block of n; a block of one is squeezed, so that nothing is batched."""
    if n > 1:
        return jax.vmap(function)

    def one(*args: Any) -> Any:
        return jax.tree.map(lambda x: x[None], function(*jax.tree.map(lambda x: x[0], args)))

    return one


def one_after_another(
    body: Callable[[jax.Array, Any, Any], tuple[Any, Any]], stacked: Any, shared: Any, seeds: int, zero: jax.Array
) -> tuple[Any, Any]:
    """`body(i, block, shared) -> (block, shared)` for seed i = 0.. with block the slice [i:i+1] of `stacked`.

    `shared` is handed on from seed to seed without a copy (the ring); `stacked` is put back slice by slice. XLA does
    not know that `zero` is 0, so that it keeps the loop where there is one seed: dissolved into what surrounds it, it
    would round otherwise, and a seed alone has the bits that it has among others.
    """

    def step(i: jax.Array, both: tuple[Any, Any]) -> tuple[Any, Any]:
        stacked, shared = both
        block = jax.tree.map(lambda x: jax.lax.dynamic_index_in_dim(x, i, keepdims=True), stacked)
        block, shared = body(i, block, shared)
        stacked = jax.tree.map(lambda x, b: jax.lax.dynamic_update_index_in_dim(x, b[0], i, 0), stacked, block)
        return stacked, shared

    return jax.lax.fori_loop(zero, zero + seeds, step, (stacked, shared))
