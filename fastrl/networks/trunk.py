"""Hidden layers as a flax module: Dense, dropout, LayerNorm, activation, the last one included; heads are separate."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import linen as nn

from fastrl.types import Key

Initializer = Callable[[float], Callable[..., jax.Array]]
"""From a gain to an initialiser of kernels [I, J]."""

GAIN = 2.0**0.5  # of every orthogonal kernel, heads included
LAYER_NORM_EPS = 1e-6


def orthogonal(gain: float) -> Callable[..., jax.Array]:
    """Orthogonal kernels of this gain (WSRL's networks).

    Gram-Schmidt, twice a column, in plain array operations: XLA's own QR of a batch of matrices waits inside the
    CPU's thread pool for work that it queues there, and two of them at once stand still for ever on two cores.
    """

    def initialise(key: Key, shape: tuple[int, int], dtype: jnp.dtype = jnp.float32) -> jax.Array:
        rows, columns = max(shape), min(shape)
        normal = jax.random.normal(key, (rows, columns), dtype)

        def column(i: jax.Array, basis: jax.Array) -> jax.Array:
            vector = normal[:, i]
            for _ in range(2):
                vector = vector - basis @ (vector @ basis)
            return basis.at[:, i].set(vector / jnp.linalg.norm(vector))

        basis = jax.lax.fori_loop(0, columns, column, jnp.zeros_like(normal))
        return gain * (basis if shape[0] >= shape[1] else basis.T)

    return initialise


def glorot(gain: float) -> Callable[..., jax.Array]:
    """Uniform kernels of variance `scale / fan_avg` (IQL); the common gain is scale 1."""
    scale = 1.0 if gain == GAIN else gain
    return jax.nn.initializers.variance_scaling(scale, "fan_avg", "uniform")


def across(vector: jax.Array, x: jax.Array) -> jax.Array:
    """A vector [J] with the rank of x [..., J], to be broadcast over its rows."""
    return vector.reshape((1,) * (x.ndim - 1) + (-1,))


class Dense(nn.Module):
    """`x @ kernel + bias`, on rows [..., I]; the kernel's first rows may be applied to another input."""

    inputs: int
    outputs: int
    gain: float = GAIN
    initializer: Initializer = orthogonal

    def setup(self) -> None:
        """Declares kernel [I, J] and a zero bias [J]."""
        self.kernel = self.param("kernel", self.initializer(self.gain), (self.inputs, self.outputs))
        self.bias = self.param("bias", nn.initializers.zeros, (self.outputs,))

    def __call__(self, x: jax.Array) -> jax.Array:
        """[..., I] -> [..., J]."""
        return x @ self.kernel + across(self.bias, x)

    def parts(self, first: jax.Array, second: jax.Array) -> jax.Array:
        """The layer of `[first, second]` for K seconds a first: [B, I1], [B, K, I2] -> [B, K, J].

        The first input's product is computed once for each row, not once for each of its K partners.
        """
        size, (rows, count, width) = first.shape[-1], second.shape
        of_first = first @ self.kernel[:size] + across(self.bias, first)
        of_second = second.reshape(rows * count, width) @ self.kernel[size:]  # flat: a product of rank 3 is slower
        return of_first[:, None] + of_second.reshape(rows, count, -1)


class LayerNorm(nn.Module):
    """LayerNorm of the last axis [..., J], written so that its backward pass is one fusion on a CPU."""

    size: int

    def setup(self) -> None:
        """Declares scale [J] and bias [J]."""
        self.scale = self.param("scale", nn.initializers.ones, (self.size,))
        self.bias = self.param("bias", nn.initializers.zeros, (self.size,))

    def __call__(self, x: jax.Array) -> jax.Array:
        """Mean 0 and variance 1 over the features, then scale and bias."""
        centred = x - x.mean(-1, keepdims=True)
        variance = (centred * centred).mean(-1, keepdims=True)
        normal = centred * jax.lax.rsqrt(variance + LAYER_NORM_EPS)
        return normal * across(self.scale, x) + across(self.bias, x)


class Scalar(nn.Module):
    """A linear head with one output: [..., H] -> [...]."""

    inputs: int
    gain: float = GAIN
    initializer: Initializer = orthogonal

    def setup(self) -> None:
        """Declares kernel [H] and a zero bias []."""
        draw = self.initializer(self.gain)
        self.kernel = self.param("kernel", lambda key, shape: draw(key, (*shape, 1))[:, 0], (self.inputs,))
        self.bias = self.param("bias", nn.initializers.zeros, ())

    def __call__(self, x: jax.Array) -> jax.Array:
        """The head's value, as a sum of products: a matrix product with one column is slower on a CPU."""
        return (x * across(self.kernel, x)).sum(-1) + self.bias


class Trunk(nn.Module):
    """Hidden layers of these widths; `final_gain` is the gain of the *last hidden* kernel (WSRL's networks)."""

    inputs: int
    widths: tuple[int, ...]
    layer_norm: bool = False
    gain: float = GAIN
    final_gain: float | None = None
    dropout: float = 0.0
    activation: Callable[[jax.Array], jax.Array] = nn.relu
    initializer: Initializer = orthogonal

    def setup(self) -> None:
        """Declares the layers."""
        gains = [self.gain] * len(self.widths)
        if self.final_gain is not None and gains:
            gains[-1] = self.final_gain
        sizes = (self.inputs, *self.widths)
        self.dense = [Dense(i, j, gain, self.initializer) for i, j, gain in zip(sizes, sizes[1:], gains)]
        self.norm = [LayerNorm(width) for width in self.widths] if self.layer_norm else None
        self.drop = nn.Dropout(self.dropout)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Features [..., H] of rows [..., I]; dropout (before LayerNorm) where a stream `dropout` is given."""
        return self.after_first(self.dense[0](x))

    def pairs(self, first: jax.Array, second: jax.Array) -> jax.Array:
        """Features [B * K, H] of K partners of each row: [B, I1], [B, K, I2]."""
        x = self.dense[0].parts(first, second)
        return self.after_first(x.reshape(-1, x.shape[-1]))

    def after_first(self, x: jax.Array) -> jax.Array:
        """Everything behind the first layer's product."""
        x = self._activate(0, x)
        for i in range(1, len(self.widths)):
            x = self._activate(i, self.dense[i](x))
        return x

    def _activate(self, i: int, x: jax.Array) -> jax.Array:
        if self.dropout and self.has_rng("dropout"):
            x = self.drop(x, deterministic=False)
        if self.norm is not None:
            x = self.norm[i](x)
        return self.activation(x)
