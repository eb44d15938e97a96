"""Vectors and rotations in space: constants of a model (NumPy), and small products written out.

Sums over three terms are additions here and no reductions: a compiler joins them with what follows.
"""

import jax
import jax.numpy as jnp
import mujoco
import numpy as np


def constant(values: np.ndarray | float, dtype: jnp.dtype) -> jax.Array:
    """A model's constant as an array.

    Where all its numbers are the same, one of them is spread inside the program: of an array a loop would carry a copy
    that XLA makes anew before it, which is a kernel on a card.
    """
    found = np.asarray(values)
    if found.size > 1 and (found == found.flat[0]).all():
        return jnp.full(found.shape, found.flat[0], dtype)
    return jnp.asarray(found, dtype)


def axes_of(quaternions: np.ndarray) -> np.ndarray:
    """Rotation matrices [N, 3, 3]."""
    matrices = np.zeros((len(quaternions), 9))
    for matrix, quaternion in zip(matrices, quaternions):
        mujoco.mju_quat2Mat(matrix, quaternion)
    return matrices.reshape(-1, 3, 3)


def skew(vector: np.ndarray) -> np.ndarray:
    """The matrix [3, 3] of the cross product with a vector [3]."""
    x, y, z = vector
    return np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])


def turning(axes: np.ndarray) -> np.ndarray:
    """[3, N, 3, 3]: a rotation about an axis is the first, plus cosine times the second, plus sine times the third."""
    outer = axes[:, :, None] * axes[:, None, :]
    return np.stack([outer, np.eye(3)[None] - outer, np.stack([skew(axis) for axis in axes])])


def turned(parts: jax.Array, angle: jax.Array) -> jax.Array:
    """Rotations [N, 3, 3] by angles [N], from the parts of `turning`."""
    cosine, sine = jnp.cos(angle)[:, None, None], jnp.sin(angle)[:, None, None]
    return parts[0] + cosine * parts[1] + sine * parts[2]


def matrix_of(quaternion: jax.Array) -> jax.Array:
    """The rotation [3, 3] of a quaternion [4] that is normalised here."""
    size = jnp.sqrt(sum(x * x for x in quaternion))
    w, x, y, z = quaternion / size
    rows = (
        (w * w + x * x - y * y - z * z, 2 * (x * y - w * z), 2 * (x * z + w * y)),
        (2 * (x * y + w * z), w * w - x * x + y * y - z * z, 2 * (y * z - w * x)),
        (2 * (x * z - w * y), 2 * (y * z + w * x), w * w - x * x - y * y + z * z),
    )
    return jnp.stack([jnp.stack(row) for row in rows])


def dot(a: jax.Array, b: jax.Array) -> jax.Array:
    """The inner product of [..., 3], written out: a compiler joins it with what follows."""
    each = a * b
    return each[..., 0] + each[..., 1] + each[..., 2]


def apply(matrix: jax.Array, vector: jax.Array) -> jax.Array:
    """[..., 3] from [..., 3, 3] and [..., 3]."""
    return dot(matrix, vector[..., None, :])


def product(a: jax.Array, b: jax.Array) -> jax.Array:
    """The matrix product of [..., N, 3] and [..., 3, K]."""
    return sum(a[..., :, i, None] * b[..., i, None, :] for i in range(3))  # type: ignore[return-value]


def cross(a: jax.Array, b: jax.Array) -> jax.Array:
    """The cross product of [..., 3]."""
    (ax, ay, az), (bx, by, bz) = (tuple(x[..., i] for i in range(3)) for x in (a, b))
    return jnp.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], -1)


def inertia_of(model: mujoco.MjModel, bodies: list[int]) -> np.ndarray:
    """[6, 6]: the inertia of bodies fixed to the first child of the world, about its origin."""
    inertia = np.zeros((6, 6))
    for body in bodies:
        centre = model.body_ipos[body] + (model.body_pos[body] if body > 1 else 0)
        axes = axes_of(model.body_iquat[body][None])[0]
        linear = np.concatenate([np.eye(3), -skew(centre)], 1)
        inertia += model.body_mass[body] * linear.T @ linear
        inertia[3:, 3:] += axes @ np.diag(model.body_inertia[body]) @ axes.T
    return inertia


def moment_of(inertia: np.ndarray) -> np.ndarray:
    """Mass times centre [3] of a spatial inertia [6, 6]."""
    return np.array([inertia[5, 1], inertia[3, 2], inertia[4, 0]])
