"""Layer 1 of an ensemble whose members all see the same input. Arrays in, arrays out; knows no RL.

`[B, I] x [N, I, H]` is exactly one GEMM `[B, I] x [I, N*H]`, N times wider than the N small ones.
"""

import jax
import jax.numpy as jnp


def ensemble_dense_shared(x: jax.Array, kernel: jax.Array, bias: jax.Array) -> jax.Array:
    """`x @ kernel[n] + bias[n]` for all n: x [B, I], kernel [N, I, H], bias [N, H] -> [N, B, H]."""
    members, inputs, width = kernel.shape
    wide = kernel.transpose(1, 0, 2).reshape(inputs, members * width)
    y = (x @ wide).reshape(x.shape[0], members, width)
    return y.transpose(1, 0, 2) + bias[:, None, :]


def ensemble_dense_shared_reference(x: jax.Array, kernel: jax.Array, bias: jax.Array) -> jax.Array:
    """The same by its definition, member by member."""
    return jnp.einsum("bi,nih->nbh", x, kernel) + bias[:, None, :]
