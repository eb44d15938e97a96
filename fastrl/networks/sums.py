"""Sums over features on a CPU, and LayerNorm's normalisation, which needs four of them.

XLA sums the last axis of an array on a CPU in windows of 32, one number after the other. Pieces of 32 features that
are added up first are added many numbers at a time, and leave one window. A product with ones would do as well, but how
XLA writes it, and so its last bits, depends on the program around it. An accelerator keeps the plain sums, which it
fuses with what surrounds them.
"""

import functools

import jax
import jax.numpy as jnp

PIECE = 32
"""Features of a piece, the widest sum that XLA does not cut into windows."""


def total(x: jax.Array) -> jax.Array:
    """The sum over the last axis: [..., J] -> [...]."""
    return _total(x) if jax.default_backend() == "cpu" else x.sum(-1)


def normalised(x: jax.Array, eps: float) -> jax.Array:
    """Rows [..., J] with mean 0 and variance 1; `eps` is added to the variance."""
    return _normalised(x, eps) if jax.default_backend() == "cpu" else _forward(x, eps)[0]


@jax.custom_vjp
def _total(x: jax.Array) -> jax.Array:
    width = x.shape[-1]
    piece = PIECE if width % PIECE == 0 else width
    pieces = [x[..., start : start + piece] for start in range(0, width, piece)]
    return functools.reduce(jnp.add, pieces).sum(-1)


def _spread(like: jax.Array, gradient: jax.Array) -> tuple[jax.Array]:
    return (jnp.broadcast_to(gradient[..., None], like.shape),)


_total.defvjp(lambda x: (_total(x), x), _spread)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def _normalised(x: jax.Array, eps: float) -> jax.Array:
    return _forward(x, eps)[0]


def _mean(x: jax.Array) -> jax.Array:
    return total(x)[..., None] / x.shape[-1]


def _forward(x: jax.Array, eps: float) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    centred = x - _mean(x)
    inverse = jax.lax.rsqrt(_mean(centred * centred) + eps)
    normal = centred * inverse
    return normal, (normal, inverse)


def _backward(eps: float, kept: tuple[jax.Array, jax.Array], gradient: jax.Array) -> tuple[jax.Array]:
    normal, inverse = kept
    return (inverse * (gradient - _mean(gradient) - normal * _mean(gradient * normal)),)


_normalised.defvjp(_forward, _backward)
