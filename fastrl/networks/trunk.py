"""Hidden layers: Dense, LayerNorm, ReLU, the last one included; heads are separate.

Parameters are frozen dataclasses of arrays and the forward pass is a function of them. Knows nothing
of actors, critics or losses, and of ensembles only that leading axes of parameters are batch axes.
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp

from fastrl.types import Key

Initializer = Callable[[float], Callable[..., jax.Array]]

GAIN = 2.0**0.5  # of every orthogonal kernel, heads included
LAYER_NORM_EPS = 1e-6


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Dense:
    """An affine map: `x @ kernel + bias`."""

    kernel: jax.Array  # [..., I, J]
    bias: jax.Array  # [..., J]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Hidden:
    """One hidden layer; scale and shift are LayerNorm's, None without it."""

    dense: Dense
    scale: jax.Array | None  # [..., J]
    shift: jax.Array | None  # [..., J]


Trunk = tuple[Hidden, ...]


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


def dense_init(key: Key, inputs: int, outputs: int, gain: float = GAIN, initializer: Initializer = orthogonal) -> Dense:
    """A Dense layer with zero bias."""
    kernel = initializer(gain)(key, (inputs, outputs), jnp.float32)
    return Dense(kernel, jnp.zeros((outputs,), jnp.float32))


def trunk_init(
    key: Key,
    inputs: int,
    widths: tuple[int, ...],
    layer_norm: bool,
    final_gain: float | None = None,
    initializer: Initializer = orthogonal,
) -> Trunk:
    """Hidden layers of these widths; `final_gain` is the gain of the *last hidden* kernel."""
    layers = []
    for i, (layer_key, width) in enumerate(zip(jax.random.split(key, len(widths)), widths)):
        last = i == len(widths) - 1
        gain = GAIN if final_gain is None or not last else final_gain
        dense = dense_init(layer_key, inputs, width, gain, initializer)
        scale = jnp.ones((width,), jnp.float32) if layer_norm else None
        layers.append(Hidden(dense, scale, None if scale is None else jnp.zeros_like(scale)))
        inputs = width
    return tuple(layers)


def activate(layer: Hidden, x: jax.Array) -> jax.Array:
    """LayerNorm (if any) and ReLU of the pre-activations [..., B, J]; parameters [..., J]."""
    if layer.scale is not None and layer.shift is not None:
        centred = x - x.mean(-1, keepdims=True)
        variance = (centred * centred).mean(-1, keepdims=True)
        x = centred * jax.lax.rsqrt(variance + LAYER_NORM_EPS)
        x = x * layer.scale[..., None, :] + layer.shift[..., None, :]
    return jax.nn.relu(x)


def affine(dense: Dense, x: jax.Array) -> jax.Array:
    """`x @ kernel + bias` over rows: [..., B, I] -> [..., B, J], leading axes as the kernel's."""
    return x @ dense.kernel + dense.bias[..., None, :]


def drop(x: jax.Array, rate: float, key: Key) -> jax.Array:
    """Dropout: zeroes a share `rate` and rescales the rest."""
    keep = jax.random.bernoulli(key, 1.0 - rate, x.shape)
    return jnp.where(keep, x / (1.0 - rate), 0.0)


def trunk_apply(trunk: Trunk, x: jax.Array, dropout: float = 0.0, key: Key | None = None) -> jax.Array:
    """Features [..., B, H] of rows [..., B, I]; dropout (before LayerNorm) with a key only."""
    keys = None if key is None or dropout == 0.0 else jax.random.split(key, len(trunk))
    for i, layer in enumerate(trunk):
        x = affine(layer.dense, x)
        x = x if keys is None else drop(x, dropout, keys[i])
        x = activate(layer, x)
    return x
