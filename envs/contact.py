"""C MuJoCo's frame of a contact between a plane and a capsule, for MJX. Knows no model and no task.

MJX 3.17 lets the first tangent follow the capsule only while the capsule's axis, projected on the plane, is longer than
0.5; C follows it always. Where the robot stands steeply on the ground (Ant), friction then acts along other directions.
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
_PAIR = (GeomType.PLANE, GeomType.CAPSULE)
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


_COLLIDER = collision_primitive.collider(ncon=2)(plane_capsule)


@contextlib.contextmanager
def corrected_contacts() -> Iterator[None]:
    """MJX with this contact while a model is loaded or a step traced; other users of MJX keep theirs."""
    table: dict[Any, Any] = collision_driver._COLLISION_FUNC
    if mujoco.__version__ != WRITTEN_FOR or _PAIR not in table:
        raise RuntimeError(f"this contact is written for mujoco-mjx {WRITTEN_FOR}, not {mujoco.__version__}")
    stock = table[_PAIR]
    table[_PAIR] = _COLLIDER
    try:
        yield
    finally:
        table[_PAIR] = stock
