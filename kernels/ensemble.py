"""Layer 1 of an ensemble whose members all see the same input. Arrays in, arrays out; knows no RL.

`[B, I] x [N, I, H]` is exactly one GEMM `[B, I] x [I, N*H]`, N times wider than the N small ones.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl


def ensemble_dense_shared(x: jax.Array, kernel: jax.Array, bias: jax.Array) -> jax.Array:
    """`x @ kernel[n] + bias[n]` for all n: x [B, I], kernel [N, I, H], bias [N, H] -> [N, B, H]."""
    members, inputs, width = kernel.shape
    wide = kernel.transpose(1, 0, 2).reshape(inputs, members * width)
    y = (x @ wide).reshape(x.shape[0], members, width)
    return y.transpose(1, 0, 2) + bias[:, None, :]


def ensemble_dense_shared_reference(x: jax.Array, kernel: jax.Array, bias: jax.Array) -> jax.Array:
    """The same by its definition, member by member."""
    return jnp.einsum("bi,nih->nbh", x, kernel) + bias[:, None, :]


@functools.partial(jax.custom_vjp, nondiff_argnums=(3, 4))
def ensemble_dense_shared_pallas(
    x: jax.Array,
    kernel: jax.Array,
    bias: jax.Array,
    rows: int = 64,
    interpret: bool = False,
) -> jax.Array:
    """The same as one kernel, a member and `rows` rows a program; gradients are those of the GEMM.

    Rows and inputs are padded to what a tensor core multiplies (powers of two from 16); H must be one.
    """
    members, inputs, width = kernel.shape
    count = -(-x.shape[0] // rows)
    depth = max(16, 1 << (inputs - 1).bit_length())
    x_padded = jnp.pad(x, ((0, count * rows - x.shape[0]), (0, depth - inputs)))
    y = pl.pallas_call(
        _kernel,
        out_shape=jax.ShapeDtypeStruct((members, count * rows, width), jnp.float32),
        grid=(members, count),
        in_specs=[
            pl.BlockSpec((rows, depth), lambda n, i: (i, 0)),
            pl.BlockSpec((1, depth, width), lambda n, i: (n, 0, 0)),
            pl.BlockSpec((1, 1, width), lambda n, i: (n, 0, 0)),
        ],
        out_specs=pl.BlockSpec((1, rows, width), lambda n, i: (n, i, 0)),
        interpret=interpret,
    )(x_padded, jnp.pad(kernel, ((0, 0), (0, depth - inputs), (0, 0))), bias[:, None])
    return y[:, : x.shape[0]]


def _kernel(x: Any, kernel: Any, bias: Any, y: Any) -> None:
    """One member's product of one block of rows."""
    y[0] = jnp.dot(x[...], kernel[0], precision=jax.lax.Precision.HIGHEST) + bias[0]


def _forward(
    x: jax.Array, kernel: jax.Array, bias: jax.Array, rows: int, interpret: bool
) -> tuple[jax.Array, tuple[jax.Array, ...]]:
    return ensemble_dense_shared_pallas(x, kernel, bias, rows, interpret), (x, kernel, bias)


def _backward(rows: int, interpret: bool, inputs: tuple[jax.Array, ...], cotangent: jax.Array) -> tuple[jax.Array, ...]:
    return jax.vjp(ensemble_dense_shared, *inputs)[1](cotangent)


ensemble_dense_shared_pallas.defvjp(_forward, _backward)
