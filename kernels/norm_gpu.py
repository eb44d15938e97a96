"""The backward pass of `fastrl.kernels.norm` as a Mosaic GPU kernel: a block of one warpgroup has 32 rows of one layer.

A row lies along the 32 lanes of a warp, four neighbouring features at a time (two of a row of 64), so that its means
are additions and five shuffles. A warp has a quarter of the rows and adds them up feature by feature in its registers;
the four warps' sums come together once, at the end. Of each number of the activations there is one read and one write.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.experimental.pallas.mosaic_gpu as plgpu
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl

from fastrl.kernels.norm import FEATURES, ROWS, Gradients, gradients

WARPS, LANES = 4, 32
HELD = 1024
"""Numbers of x, and as many of the gradient, that a warp has in its registers at once."""
MOST_BLOCKS = 32
"""Blocks of a layer: of more rows a block has more."""


class Registers(NamedTuple):
    """How a warpgroup holds [4, J] numbers: a row a warp."""

    width: int  # J
    interpret: object

    @property
    def whole(self) -> Any:
        """The layout of [rows, J]: row i is held by warp i % 4."""
        vector = 2 if self.width == FEATURES else 4
        tiles = plgpu.Tiling(((WARPS, LANES * vector), (vector,)))
        return plgpu.Layout.TILED(tiles, warp_dims=(-3,), lane_dims=(-2,), vector_dim=-1)

    def laid(self, array: jax.Array) -> jax.Array:
        """As the others lie."""
        return array if self.interpret else plgpu.layout_cast(array, self.whole)

    def across(self, array: jax.Array, axis: int) -> jax.Array:
        """[4] along axis 0, or [J] along axis 1, repeated to [4, J]."""
        return self.laid(lax.broadcast_in_dim(array, (WARPS, self.width), (axis,)))

    def mean(self, array: jax.Array) -> jax.Array:
        """Of each row, repeated to [4, J]."""
        return self.across(jnp.sum(array, 1) / self.width, 0)

    def rows(self, ref: Any, layer: jax.Array, row: jax.Array) -> jax.Array:
        """Four rows of a layer, from `row` on, of [G, B, J]; of [G, B] repeated to [4, J]."""
        where, whole = (layer, pl.ds(row, WARPS)), len(ref.shape) == 3
        layout = self.whole if whole else self.whole.reduce(1)
        read = ref[where] if self.interpret else plgpu.load(ref, where, layout=layout, optimized=False)
        return read if whole else self.across(read, 0)

    def vector(self, ref: Any, layer: jax.Array) -> jax.Array:
        """A layer's vector of [G, J], repeated to [4, J]."""
        read = ref[layer] if self.interpret else plgpu.load(ref, layer, layout=self.whole.reduce(0), optimized=False)
        return self.across(read, 1)


def backward(gradient: jax.Array, x: jax.Array, *vectors: jax.Array, interpret: object = False) -> Gradients:
    """The gradients of x [G, B, J] and of bias, scale, shift and head [G, J], from the result's.

    That is [G, B, J] without a head, else [G, B].

    `interpret` is `plgpu`'s parameters of a run without a GPU; those do not know how an array lies.
    """
    groups, rows, width = x.shape
    blocks = next(n for n in range(MOST_BLOCKS, 0, -1) if rows % (ROWS * n) == 0)
    together = min(HELD // width, ROWS // WARPS)  # rows of a warp
    rounds = rows // (blocks * together * WARPS)
    held = Registers(width, interpret)

    def kernel(gradient: Any, x: Any, *refs: Any) -> None:
        *vectors, dx, sums = refs
        layer, block = lax.axis_index("layer"), lax.axis_index("block")

        def some(number: jax.Array, totals: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
            first = (block * rounds + number) * together * WARPS
            places = [first + i * WARPS for i in range(together)]
            read = [(held.rows(gradient, layer, place), held.rows(x, layer, place)) for place in places]
            for place, (of_result, of_input) in zip(places, read):
                parts = gradients(held.mean, of_result, of_input, *along)
                dx[layer, pl.ds(place, WARPS)] = parts[0]
                totals = tuple(total + part for total, part in zip(totals, parts))
            return totals

        along = [held.vector(ref, layer) for ref in vectors]
        zeros = held.laid(jnp.zeros((WARPS, width), jnp.float32))
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
