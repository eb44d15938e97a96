"""Bias, LayerNorm and relu of a hidden layer, whose backward pass is one kernel on a GPU.

XLA makes the forward pass one kernel, but the backward pass five to eight: the gradient of the input, and the sums over
rows for bias, scale and shift, each of which reads the activations again. Here one kernel reads the gradient and the
input once and has all four. With a linear head of one output behind the layer its gradient need not be read either: a
row of it is a multiple of the head's kernel. This file has the mathematics and the entry.

A TPU has no such kernel: there XLA computes these gradients inside the matrix products around them, which then lie
transposed in memory, and a kernel in between costs two copies of all activations.
"""

import importlib
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_derivatives import SymbolicZero

from fastrl.kernels import device
from fastrl.kernels.batching import one_launch

EPS = 1e-6
"""What is added to the variance."""

ROWS, FEATURES = 32, 64
"""The kernel takes rows in multiples of this, and this many features or a multiple of twice as many."""

MOST = 512
"""The most features: with 1,024 a block has too few registers."""

Gradients = tuple[jax.Array, ...]


def wanted(shape: Sequence[int], dtype: jnp.dtype) -> bool:
    """Whether activations [B, J] of this shape get the kernel on the device that is traced for.

    Where several devices share a minibatch the compiler cuts it, and a kernel cannot be cut: they keep the plain form.
    """
    if len(shape) != 2 or shape[0] % ROWS or shape[1] > MOST or (shape[1] != FEATURES and shape[1] % (2 * FEATURES)):
        return False
    return device.wanted(dtype, "gpu") and not jax.sharding.get_abstract_mesh().auto_axes


def plain(
    x: jax.Array, bias: jax.Array, scale: jax.Array, shift: jax.Array, head: jax.Array | None = None
) -> jax.Array:
    """`norm_relu` in plain operations."""
    x = x + bias[None]
    centred = x - x.mean(-1, keepdims=True)
    variance = (centred * centred).mean(-1, keepdims=True)
    result = jax.nn.relu(centred * lax.rsqrt(variance + EPS) * scale[None] + shift[None])
    return result if head is None else (result * head[None]).sum(-1)


@jax.custom_vjp
def norm_relu(
    x: jax.Array, bias: jax.Array, scale: jax.Array, shift: jax.Array, head: jax.Array | None = None
) -> jax.Array:
    """relu(LayerNorm(x + bias) * scale + shift): rows [B, J], vectors [J] -> [B, J], in float32, as `wanted` says.

    With a `head` [J] it is the product with it, [B].
    Under `jax.vmap`, nested or not, the whole backward pass is one launch. There is no second derivative.
    """
    return plain(x, bias, scale, shift, head)


def _forward(*given: Any) -> tuple[jax.Array, Any]:
    given = tuple(x for x in given if x is not None)
    values = tuple(x.value for x in given)
    if any(x.perturbed for x in given[1:]):
        return plain(*values), values
    return jax.vjp(lambda x: plain(x, *values[1:]), values[0])  # of the input alone XLA makes one kernel itself


def _backward(kept: Any, gradient: Any) -> tuple[Any, ...]:
    if isinstance(gradient, SymbolicZero):
        return (None,) * 5
    if callable(kept):
        return *kept(gradient), *(None,) * 4
    found = tuple(x[0] for x in _many(*(x[None] for x in (gradient, *kept))))
    return found if len(found) == 5 else (*found, None)


norm_relu.defvjp(_forward, _backward, symbolic_zeros=True)


@one_launch
def _many(*given: jax.Array) -> Gradients:
    """Of G layers: gradient [G, B, J] or, with a head, [G, B], x and vectors -> the gradients of all but the first."""
    backward: Callable[..., Gradients] = importlib.import_module("fastrl.kernels.norm_gpu").backward  # brings Pallas
    return backward(*given)


def gradients(
    mean: Callable[..., Any],
    gradient: jax.Array,
    x: jax.Array,
    bias: jax.Array,
    scale: jax.Array,
    shift: jax.Array,
    head: jax.Array | None = None,
) -> Gradients:
    """(gradient of x, and what is summed over rows for scale, for shift and for a head) [R, J], all arguments too.

    `mean` is that of each row, [R, J] -> what can be subtracted from [R, J]. The bias's is the sum of the first.
    """
    x = x + bias
    centred = x - mean(x)
    deviation = lax.rsqrt(mean(centred * centred) + EPS)
    normal = centred * deviation
    result = normal * scale + shift
    inner = jnp.where(result > 0, gradient if head is None else gradient * head, 0.0)
    scaled = inner * scale
    dx = deviation * (scaled - mean(scaled) - normal * mean(scaled * normal))
    of_head = () if head is None else (gradient * jnp.maximum(result, 0.0),)
    return dx, inner * normal, inner, *of_head
