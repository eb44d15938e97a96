"""C MuJoCo's contacts of capsules with planes and boxes, for MJX.

MJX 3.17 differs from C in two ways. On a plane its first tangent follows the capsule only while the capsule's axis,
projected on the plane, is longer than 0.5; C follows it always, so on a steep leg friction acts along other directions.
At a box it finds no contact before the two overlap; C finds it within the margin. C adds a second contact where a leg
also lies along an edge or a face (1 % of the contacts with AntMaze's walls): that one is not reproduced.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import mujoco
from mujoco.mjx._src import collision_driver, collision_primitive, math
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


def capsule_box(capsule: GeomInfo, box: GeomInfo) -> tuple[jax.Array, jax.Array, jax.Array]:
    """(distance [], position [3], frame [3, 3]) where a capsule's (or sphere's) core comes nearest to a box."""
    axis = box.mat.T @ capsule.mat[:, 2]
    centre = box.mat.T @ (capsule.pos - box.pos)
    radius, half = capsule.size[0], capsule.size[1]
    point = centre + _nearest(centre, axis, half, box.size) * axis
    surface = jnp.clip(point, -box.size, box.size)
    gap = point - surface
    length = jnp.sqrt(jnp.sum(jnp.square(gap)))
    depth = box.size - jnp.abs(point)  # of a core inside the box, below each pair of faces
    face = jnp.where(jnp.arange(3) == jnp.argmin(depth), jnp.sign(point), 0.0)
    inside = length < _NO_DIRECTION
    outward = jnp.where(inside, face, gap / jnp.where(inside, 1.0, length))
    distance = jnp.where(inside, -jnp.min(depth), length) - radius
    position = point - outward * (radius + distance / 2)
    return distance, box.pos + box.mat @ position, math.make_frame(-box.mat @ outward)


def sphere_box(sphere: GeomInfo, box: GeomInfo) -> tuple[jax.Array, jax.Array, jax.Array]:
    """As `capsule_box`, for a capsule without length."""
    return capsule_box(GeomInfo(sphere.pos, sphere.mat, sphere.size.at[1].set(0.0)), box)


def _nearest(centre: jax.Array, axis: jax.Array, half: jax.Array, size: jax.Array) -> jax.Array:
    """Where on the segment centre + t axis, |t| <= half, the distance to a box of half sizes `size` is least.

    Half the squared distance has a piecewise linear, growing derivative in t, with kinks where the segment crosses the
    planes of the faces: its root lies between two neighbouring kinks.
    """
    flat = jnp.abs(axis) < _NO_DIRECTION
    steep = jnp.where(flat, 1.0, axis)
    kinks = [jnp.where(flat, half, (side * size - centre) / steep) for side in (-1.0, 1.0)]
    times = jnp.clip(jnp.concatenate([*kinks, jnp.stack([-half, half])]), -half, half)

    def slope(t: jax.Array) -> jax.Array:
        point = centre + t * axis
        return jnp.dot(point - jnp.clip(point, -size, size), axis)

    slopes = jax.vmap(slope)(times)
    low = jnp.max(jnp.where(slopes <= 0, times, -half))
    high = jnp.min(jnp.where(slopes >= 0, times, half))
    below, above = slope(low), slope(high)
    inner = low - below * (high - low) / jnp.where(above > below, above - below, 1.0)
    return jnp.where(high > low, inner, (low + high) / 2)  # ends, and the middle of a segment along a face


_COLLIDERS = {
    (GeomType.PLANE, GeomType.CAPSULE): collision_primitive.collider(ncon=2)(plane_capsule),
    (GeomType.CAPSULE, GeomType.BOX): collision_primitive.collider(ncon=1)(capsule_box),
    (GeomType.SPHERE, GeomType.BOX): collision_primitive.collider(ncon=1)(sphere_box),
}


@contextlib.contextmanager
def corrected_contacts() -> Iterator[None]:
    """MJX with these contacts while a model is loaded or a step traced; other users of MJX keep theirs."""
    table: dict[Any, Any] = collision_driver._COLLISION_FUNC
    if mujoco.__version__ != WRITTEN_FOR or not _COLLIDERS.keys() <= table.keys():
        raise RuntimeError(f"these contacts are written for mujoco-mjx {WRITTEN_FOR}, not {mujoco.__version__}")
    stock = dict(table)
    table.update(_COLLIDERS)
    try:
        yield
    finally:
        table.update(stock)
