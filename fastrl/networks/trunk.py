"""Hidden layers as a flax module: Dense, dropout, LayerNorm, activation, the last one included; heads are separate."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import linen as nn

from fastrl.kernels import norm as joint
from fastrl.networks import sums
from fastrl.types import Key

Initializer = Callable[[float], Callable[..., jax.Array]]
"""From a gain to an initialiser of kernels [I, J]."""

GAIN = 2.0**0.5  # of every orthogonal kernel, heads included
LAYER_NORM_EPS = joint.EPS


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

    def __call__(self, x: jax.Array, biased: bool = True) -> jax.Array:
        """[..., I] -> [..., J]; not `biased`, it is the product alone."""
        return self._biased(x @ self.kernel, biased)

    def parts(self, first: jax.Array, second: jax.Array, biased: bool = True) -> jax.Array:
        """The layer of `[first, second]` for K seconds a first: [B, I1], [B, K, I2] -> [B, K, J].

        The first input's product is computed once for each row, not once for each of its K partners.
        """
        size, (rows, count, width) = first.shape[-1], second.shape
        of_first = self._biased(first @ self.kernel[:size], biased)
        of_second = second.reshape(rows * count, width) @ self.kernel[size:]  # flat: a product of rank 3 is slower
        return of_first[:, None] + of_second.reshape(rows, count, -1)

    def _biased(self, x: jax.Array, biased: bool) -> jax.Array:
        return x + across(self.bias, x) if biased else x


class LayerNorm(nn.Module):
    """LayerNorm of the last axis [..., J], written so that its backward pass is one fusion on a CPU."""

    size: int

    def setup(self) -> None:
        """Declares scale [J] and bias [J]."""
        self.scale = self.param("scale", nn.initializers.ones, (self.size,))
        self.bias = self.param("bias", nn.initializers.zeros, (self.size,))

    def __call__(self, x: jax.Array) -> jax.Array:
        """Mean 0 and variance 1 over the features, then scale and bias."""
        return sums.normalised(x, LAYER_NORM_EPS) * across(self.scale, x) + across(self.bias, x)


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
        return sums.total(x * across(self.kernel, x)) + self.bias


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
        return self._layers(0, x)

    def headed(self, x: jax.Array, head: Scalar) -> jax.Array:
        """`head` of the features: [..., I] -> [...]."""
        last = len(self.widths) - 1
        for i in range(last):
            x = self._layer(i, x)
        if last >= 0 and self._joined(last, x.shape[:-1], x):
            return self._joint(last, self.dense[last](x, False), head.kernel) + head.bias
        return head(self._layer(last, x) if last >= 0 else x)

    def pairs(self, first: jax.Array, second: jax.Array) -> jax.Array:
        """Features [B * K, H] of K partners of each row: [B, I1], [B, K, I2]."""
        joined = self._joined(0, (first.shape[0] * second.shape[1],), first)
        x = self.dense[0].parts(first, second, not joined)
        return self._layers(1, self._activate(0, x.reshape(-1, x.shape[-1]), joined))

    def _layers(self, first: int, x: jax.Array) -> jax.Array:
        for i in range(first, len(self.widths)):
            x = self._layer(i, x)
        return x

    def _layer(self, i: int, x: jax.Array) -> jax.Array:
        joined = self._joined(i, x.shape[:-1], x)
        return self._activate(i, self.dense[i](x, not joined), joined)

    def _joined(self, i: int, rows: tuple[int, ...], x: jax.Array) -> bool:
        """Whether bias, LayerNorm and activation behind layer `i`'s product are one function with its own gradient."""
        dropped = self.dropout and self.has_rng("dropout")
        if self.norm is None or self.activation is not nn.relu or dropped:
            return False
        return joint.wanted((*rows, self.widths[i]), jnp.result_type(x, self.dense[i].kernel))

    def _activate(self, i: int, x: jax.Array, joined: bool) -> jax.Array:
        if joined:
            return self._joint(i, x)
        if self.dropout and self.has_rng("dropout"):
            x = self.drop(x, deterministic=False)
        if self.norm is not None:
            x = self.norm[i](x)
        return self.activation(x)

    def _joint(self, i: int, x: jax.Array, head: jax.Array | None = None) -> jax.Array:
        assert self.norm is not None
        return joint.norm_relu(x, self.dense[i].bias, self.norm[i].scale, self.norm[i].bias, head)
