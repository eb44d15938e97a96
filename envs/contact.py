"""C MuJoCo's contacts of capsules with a plane, for MJX.

MJX 3.17 differs from C: its first tangent follows the capsule only while the capsule's axis, projected on the plane, is
longer than 0.5; C follows it always, so on a steep leg friction acts along other directions.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import mujoco
from mujoco.mjx._src import collision_driver, collision_primitive
from mujoco.mjx._src.collision_types import GeomInfo
from mujoco.mjx._src.types import GeomType

WRITTEN_FOR = "3.17.0"
_NO_DIRECTION = 1e-6  # a projected axis shorter than this has none; C then takes x


def plane_capsule(plane: GeomInfo, capsule: GeomInfo) -> tuple[jax.Array, jax.Array, jax.Array]:
    """(distances [2], positions [2, 3], frames [2, 3, 3]) of the capsule's two ends above the plane."""
    normal, axis = plane.mat[:, 2], capsule.mat[:, 2]
    projected = axis - normal * jnp.dot(normal, axis)
    length = jnp.linalg.norm(projected)
    short = length < _NO_DIRECTION
    tangent = jnp.where(short, jnp.array([1.0, 0.0, 0.0]), projected / jnp.where(short, 1.0, length))
    frame = jnp.stack([normal, tangent, jnp.cross(normal, tangent)])
    radius, half = capsule.size[0], capsule.size[1]
    ends = jnp.stack([capsule.pos + half * axis, capsule.pos - half * axis])
    distance = (ends - plane.pos[None]) @ normal - radius
    position = ends - jnp.outer(radius + distance / 2, normal)
    return distance, position, jnp.stack([frame, frame])


_COLLIDERS = {
    (GeomType.PLANE, GeomType.CAPSULE): collision_primitive.collider(ncon=2)(plane_capsule),
}


@contextlib.contextmanager
def corrected_contacts() -> Iterator[None]:
    """MJX with this contact while a model is loaded or a step traced; other users of MJX keep theirs."""
    table: dict[Any, Any] = collision_driver._COLLISION_FUNC
    if mujoco.__version__ != WRITTEN_FOR or not _COLLIDERS.keys() <= table.keys():
        raise RuntimeError(f"this contact is written for mujoco-mjx {WRITTEN_FOR}, not {mujoco.__version__}")
    stock = dict(table)
    table.update(_COLLIDERS)
    try:
        yield
    finally:
        table.update(stock)
