"""The constraint solve (`fastrl.kernels.newton`) as a Mosaic GPU kernel: a block of one warpgroup solves one system.

The rows lie along the 32 lanes of a warp, 1 to 8 a lane, so that a sum over rows is a few additions and five shuffles.
The four warps compute the same: nothing passes between them, and there is neither shared memory nor a barrier.
"""

from typing import Any

import jax
import jax.experimental.pallas.mosaic_gpu as plgpu
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl

from fastrl.kernels.newton import Memory, rounds

WARP, WARPS = 32, 4

ALONG_LANES = plgpu.Layout.TILED(
    plgpu.Tiling(((WARP,), (1,))), warp_dims=(plgpu.Replicated(WARPS),), lane_dims=(-2,), vector_dim=-1
)
"""Of a vector [lanes]: number i is held by lane i % 32 of each warp."""


def solve(*systems: jax.Array, interpret: object = False) -> tuple[jax.Array, jax.Array]:
    """(acceleration [B, V], row forces [B, R]) of B systems; arguments as `fastrl.kernels.newton.newton`'s.

    `interpret` is `plgpu`'s parameters of a run without a GPU; those do not know how a vector lies.
    """
    inertia, jacobian, force, weight, reference, start = systems
    batch, rows, size = jacobian.shape
    lanes = -(-rows // WARP) * WARP
    vectors = jnp.concatenate([jacobian.swapaxes(1, 2), weight[:, None], reference[:, None]], 1)
    vectors = jnp.pad(vectors, ((0, 0), (0, 0), (0, lanes - rows)))  # these have weight 0: they never push
    triangle = [inertia[:, i, : i + 1] for i in range(size)]
    numbers = jnp.concatenate([vectors.reshape(batch, -1), *triangle, force, start], 1)

    def kernel(numbers: Any, acceleration: jax.Ref, forces: jax.Ref) -> None:
        system = lax.axis_index("system")
        scalars = (size + 2) * lanes
        vectors_end = scalars + size * (size + 1) // 2
        scalar = lambda place: numbers[system, place]

        def vector(number: int) -> jax.Array:
            where = (system, pl.ds(number * lanes, lanes))
            return numbers[where] if interpret else plgpu.load(numbers, where, layout=ALONG_LANES, optimized=False)

        memory = Memory(
            size,
            jacobian=vector,
            weight=lambda: vector(size),
            reference=lambda: vector(size + 1),
            inertia=lambda i, j: scalar(scalars + i * (i + 1) // 2 + j),
            force=lambda i: scalar(vectors_end + i),
            start=lambda i: scalar(vectors_end + size + i),
            total=jnp.sum,
            all=lambda settled: settled,
        )
        found, forces[system, :] = rounds(memory)
        for v, number in enumerate(found):
            acceleration[system, v] = number

    shapes = tuple(jax.ShapeDtypeStruct((batch, width), force.dtype) for width in (size, lanes))
    call = plgpu.kernel(kernel, out_type=shapes, grid=(batch,), grid_names=("system",), interpret=interpret)
    acceleration, forces = call(numbers)
    return acceleration, forces[:, :rows]
