"""Sums over features, and the normalisation that needs four of them: on a CPU a product with ones.

XLA sums the last axis of an array on a CPU in windows of 32, one number after the other; a vector of ones makes the
same sum many numbers at a time. An accelerator keeps the plain sum, which it fuses with what surrounds it.
"""

import functools

import jax
import jax.numpy as jnp

PIECE = 64
"""Features that are multiplied by ones; wider rows are first added up in pieces of so many."""


@jax.custom_vjp
def total(x: jax.Array) -> jax.Array:
    """The sum over the last axis: [..., J] -> [...]."""
    if jax.default_backend() != "cpu":
        return x.sum(-1)
    width = x.shape[-1]
    starts = range(0, width, PIECE) if width % PIECE == 0 else (0,)
    pieces = [x[..., start : start + width // len(starts)] for start in starts]
    return functools.reduce(jnp.add, pieces) @ jnp.ones(width // len(starts), x.dtype)


def _forward(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    return total(x), jnp.zeros_like(x)


def _backward(like: jax.Array, gradient: jax.Array) -> tuple[jax.Array]:
    return (like + gradient[..., None],)


total.defvjp(_forward, _backward)


@functools.partial(jax.custom_vjp, nondiff_argnums=(1,))
def normalised(x: jax.Array, eps: float) -> jax.Array:
    """Rows [..., J] with mean 0 and variance 1; `eps` is added to the variance."""
    return _normalised(x, eps)[0]


def _mean(x: jax.Array) -> jax.Array:
    return total(x)[..., None] / x.shape[-1]


def _normalised(x: jax.Array, eps: float) -> tuple[jax.Array, jax.Array]:
    centred = x - _mean(x)
    inverse = jax.lax.rsqrt(_mean(centred * centred) + eps)
    return centred * inverse, inverse


def _normalised_forward(x: jax.Array, eps: float) -> tuple[jax.Array, tuple[jax.Array, jax.Array]]:
    normal, inverse = _normalised(x, eps)
    return normal, (normal, inverse)


def _normalised_backward(eps: float, kept: tuple[jax.Array, jax.Array], gradient: jax.Array) -> tuple[jax.Array]:
    normal, inverse = kept
    return (inverse * (gradient - _mean(gradient) - normal * _mean(gradient * normal)),)


normalised.defvjp(_normalised_forward, _normalised_backward)
