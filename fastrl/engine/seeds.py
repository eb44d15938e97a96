"""Ways through the seed axis: all seeds side by side, one after the other, or block after block.

Side by side (`vmap`) fills an accelerator. On a CPU it is slower than one seed after the other, and a stacked scan
would copy the ring, so the sequential way is a loop *inside* the program whose body works on one seed at a time and
writes into the one shared ring. Side by side a seed's bits depend on how many there are, as a device multiplies
batches of other sizes otherwise; in blocks of one size, filled up where seeds are missing, they do not. All ways see
the same arrays, with the seed axis in front.
"""

from collections.abc import Callable
from typing import Any

import jax

EXACT = 8
"""Seeds of a block where their bits must not depend on how many there are."""


def block(mode: str, exact: bool = False) -> int | None:
    """How many seeds go side by side: all (None) where asked for or not on a CPU, `EXACT`, or one."""
    if mode == "vmap" or (mode == "auto" and jax.default_backend() != "cpu"):
        return EXACT if exact else None
    return 1


def mapped(function: Callable[[Any], Any], block: int | None) -> Callable[[Any], Any]:
    """`function` of one seed over leaves [S, ...], in blocks of that size, by which S divides."""
    if block is None:
        return jax.vmap(function)
    if block == 1:
        return lambda leaves: jax.lax.map(function, leaves)

    def run(leaves: Any) -> Any:
        blocks = jax.tree.map(lambda x: x.reshape(-1, block, *x.shape[1:]), leaves)
        return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), jax.lax.map(jax.vmap(function), blocks))

    return run


def per_seed(function: Callable[..., Any], n: int) -> Callable[..., Any]:
    """Maps a function of one seed over a block of n; a block of one is squeezed, so that nothing is batched."""
    if n > 1:
        return jax.vmap(function)

    def one(*args: Any) -> Any:
        return jax.tree.map(lambda x: x[None], function(*jax.tree.map(lambda x: x[0], args)))

    return one


def one_after_another(
    body: Callable[[jax.Array, Any, Any], tuple[Any, Any]],
    stacked: Any,
    shared: Any,
    blocks: int,
    zero: jax.Array,
    size: int = 1,
) -> tuple[Any, Any]:
    """`body(i, block, shared) -> (block, shared)` with block the seeds [i:i+size] of `stacked`, i = 0, size, ...

    `shared` is handed on from block to block without a copy (the ring); `stacked` is put back slice by slice. A seed
    alone has the bits that it has among others, as XLA compiles the same loop: it does not know that `zero` is 0, so
    that it keeps the loop where there is one block, and it does not see through the barrier, so that it computes
    nothing before the loop where the block is all of `stacked`. Either would make it round otherwise.
    """

    def step(number: jax.Array, both: tuple[Any, Any]) -> tuple[Any, Any]:
        stacked, shared = both
        i = number * size
        block = jax.tree.map(lambda x: jax.lax.dynamic_slice_in_dim(x, i, size), stacked)
        block, shared = body(i, jax.lax.optimization_barrier(block), shared)
        stacked = jax.tree.map(lambda x, b: jax.lax.dynamic_update_slice_in_dim(x, b, i, 0), stacked, block)
        return stacked, shared

    return jax.lax.fori_loop(zero, zero + blocks, step, (stacked, shared))
