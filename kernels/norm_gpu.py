"""The backward pass of `fastrl.kernels.norm` as a Mosaic GPU kernel: a block of one warpgroup has 32 rows of one layer.

A row lies along the 32 lanes of a warp, four neighbouring features at a time, so that its means are additions and five
shuffles. A warp has a quarter of the rows and adds them up feature by feature in its registers; the four warps' sums
come together once, at the end. Of each number of the activations there is one read and one write.
"""

import functools
from typing import Any

import jax
import jax.experimental.pallas.mosaic_gpu as plgpu
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl

from fastrl.kernels.norm import FEATURES, ROWS, Gradients, gradients

WARPS, VECTOR = 4, 4
HELD = 1024
"""Numbers of x, and as many of the gradient, that a warp has in its registers at once."""
MOST_BLOCKS = 32
"""Blocks of a layer: of more rows a block has more."""

_TILES = plgpu.Tiling(((WARPS, FEATURES), (VECTOR,)))
WHOLE = plgpu.Layout.TILED(_TILES, warp_dims=(-3,), lane_dims=(-2,), vector_dim=-1)
"""Of an array [rows, features]: row i is held by warp i % 4."""


def backward(
    gradient: jax.Array,
    x: jax.Array,
    *vectors: jax.Array,
    interpret: object = False,
) -> Gradients:
    """The gradients of x [G, B, J] and of bias, scale, shift and head [G, J], from the result's.

    That is [G, B, J] without a head, else [G, B].

    `interpret` is `plgpu`'s parameters of a run without a GPU; those do not know how an array lies.
    """
    groups, rows, width = x.shape
    blocks = next(n for n in range(MOST_BLOCKS, 0, -1) if rows % (ROWS * n) == 0)
    together = min(HELD // width, ROWS // WARPS)  # rows of a warp
    rounds = rows // (blocks * together * WARPS)

    def laid(array: jax.Array) -> jax.Array:
        return array if interpret else plgpu.layout_cast(array, WHOLE)

    def across(array: jax.Array, axis: int) -> jax.Array:
        return laid(lax.broadcast_in_dim(array, (WARPS, width), (axis,)))

    def mean(array: jax.Array) -> jax.Array:
        return across(jnp.sum(array, 1) / width, 0)

    def kernel(gradient: Any, x: Any, *refs: Any) -> None:
        *vectors, dx, sums = refs
        layer, block = lax.axis_index("layer"), lax.axis_index("block")

        def load(ref: Any, row: jax.Array) -> jax.Array:
            where, whole = (layer, pl.ds(row, WARPS)), len(ref.shape) == 3
            layout = WHOLE if whole else WHOLE.reduce(1)
            read = ref[where] if interpret else plgpu.load(ref, where, layout=layout, optimized=False)
            return read if whole else across(read, 0)

        def vector(ref: Any) -> jax.Array:
            return ref[layer] if interpret else plgpu.load(ref, layer, layout=WHOLE.reduce(0), optimized=False)

        def some(number: jax.Array, totals: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
            first = (block * rounds + number) * together * WARPS
            places = [first + i * WARPS for i in range(together)]
            read = [(load(gradient, place), load(x, place)) for place in places]
            for place, (of_result, of_input) in zip(places, read):
                parts = gradients(mean, of_result, of_input, *along)
                dx[layer, pl.ds(place, WARPS)] = parts[0]
                totals = tuple(total + part for total, part in zip(totals, parts))
            return totals

        along = [across(vector(ref), 1) for ref in vectors]
        zeros = laid(jnp.zeros((WARPS, width), jnp.float32))
        totals = lax.fori_loop(0, rounds, some, (zeros,) * len(vectors))
        for i, total in enumerate(totals):
            sums[layer, block, i] = jnp.sum(total, 0)

    shapes = [jax.ShapeDtypeStruct(shape, x.dtype) for shape in (x.shape, (groups, blocks, len(vectors), width))]
    call = plgpu.kernel(
        kernel,
        out_type=tuple(shapes),
        grid=(groups, blocks),
        grid_names=("layer", "block"),
        compiler_params=plgpu.CompilerParams(unsafe_no_auto_barriers=True),
        interpret=interpret,
    )
    dx, sums = call(gradient, x, *vectors)
    total = functools.reduce(jnp.add, [sums[:, i] for i in range(blocks)])  # written out: one kernel for all
    return dx, *(total[:, i] for i in range(len(vectors)))
