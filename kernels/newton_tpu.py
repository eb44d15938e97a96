"""The constraint solve (`fastrl.kernels.newton`) as a Mosaic TPU kernel: a block solves eight systems, one a sublane.

The rows lie along the 128 lanes, 1 or 2 a lane. A block goes on until its last system is settled.
"""

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl

from fastrl.kernels.newton import Memory, rounds

SUBLANES = 8


def solve(*systems: jax.Array, interpret: object = False) -> tuple[jax.Array, jax.Array]:
    """(acceleration [B, V], row forces [B, R]) of B systems; arguments as `fastrl.kernels.newton.newton`'s.

    `interpret` runs it without a TPU. Systems that fill up a block are at rest: they need one round.
    """
    inertia, jacobian, force, weight, reference, start = systems
    batch, rows, size = jacobian.shape
    block = min(batch, SUBLANES)
    blocks = -(-batch // block)
    fill = lambda x: jnp.pad(x, ((0, blocks * block - batch), *((0, 0),) * (x.ndim - 1)))
    rest = jnp.where((jnp.arange(blocks * block) < batch)[:, None, None], 0.0, jnp.eye(size)[None])
    inertia = jnp.moveaxis(fill(inertia) + rest if blocks * block > batch else inertia, 0, 1)
    jacobian = jnp.moveaxis(fill(jacobian), 2, 0)

    def kernel(*refs: jax.Ref) -> None:
        inertia, jacobian, force, weight, reference, start, acceleration, forces = refs
        memory = Memory(
            size,
            jacobian=lambda v: jacobian[v],
            weight=lambda: weight[...],
            reference=lambda: reference[...],
            inertia=lambda i, j: inertia[i, :, j : j + 1],
            force=lambda i: force[:, i : i + 1],
            start=lambda i: start[:, i : i + 1],
            total=lambda x: jnp.sum(x, 1, keepdims=True),
            all=lambda settled: jnp.min(jnp.where(settled, 1.0, 0.0)) > 0,
        )
        found, forces[...] = rounds(memory)
        for v, number in enumerate(found):
            acceleration[:, v : v + 1] = number

    flat = lambda width: pl.BlockSpec((block, width), lambda i: (i, 0))
    deep = lambda depth, width: pl.BlockSpec((depth, block, width), lambda i: (0, i, 0))
    acceleration, forces = pl.pallas_call(
        kernel,
        out_shape=[jax.ShapeDtypeStruct((blocks * block, width), force.dtype) for width in (size, rows)],
        grid=(blocks,),
        in_specs=[deep(size, size), deep(size, rows), flat(size), flat(rows), flat(rows), flat(size)],
        out_specs=[flat(size), flat(rows)],
        interpret=interpret,
    )(inertia, jacobian, *map(fill, (force, weight, reference, start)))
    return acceleration[:batch], forces[:batch]
