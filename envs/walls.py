"""A maze's walls around a legged robot: which boxes a capsule may touch, and where it comes nearest to them.

A box fills a cell of a square grid, and a capsule is shorter than half a cell: only the cell that its centre is in and
the three beside the nearest corner can be touched, and of those the two nearest are looked at.
"""

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from fastrl.envs.vectors import cross, dot

KEPT = 2  # walls that one capsule touches at once, at most
_APART = 1e3  # m, to a wall that is not there
_NO_DIRECTION = 1e-6
_BOX = mujoco.mjtGeom.mjGEOM_BOX


class Walls:
    """The boxes of a model, all of one size and in a grid."""

    def __init__(self, model: mujoco.MjModel) -> None:
        """Reads where they are."""
        boxes = np.flatnonzero(model.geom_type == _BOX)
        self.geom, places = int(boxes[0]), model.geom_pos[boxes]
        self.size = model.geom_size[self.geom]
        cell = 2 * self.size[0]
        cells = (places[:, :2] - places[:, :2].min(0)) / cell
        if (model.geom_size[boxes] != self.size).any() or model.geom_quat[boxes, 1:].any() or (cells % 1).any():
            raise AssertionError("walls are boxes of one size in a square grid")
        self.cell, self.origin, self.height = cell, places[:, :2].min(0) - cell, places[0, 2]
        self.there = np.zeros(cells.max(0).astype(int) + 3, bool)  # with a row of nothing around
        self.there[tuple(cells.astype(int).T + 1)] = True

    def contacts(
        self, centre: jax.Array, axis: jax.Array, half: jax.Array, radius: jax.Array
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """(gaps [2], points [2, 3], normals and tangents [2, 3, 3]) of a capsule with its two nearest walls."""
        boxes, there = self._beside(centre[:2])
        near = jax.vmap(
            lambda box: nearest_to_box(centre - box, axis, half, radius, jnp.asarray(self.size, centre.dtype))
        )
        gaps, points, normals = near(boxes)
        gaps = jnp.where(there, gaps, _APART)
        first = jnp.arange(len(gaps)) == jnp.argmin(gaps)
        second = jnp.arange(len(gaps)) == jnp.argmin(jnp.where(first, jnp.inf, gaps))
        chosen = jnp.stack([first, second])
        of = lambda x: jnp.sum(jnp.where(chosen[..., None], x[None], 0.0), 1)
        normals = of(normals)
        return of(gaps[:, None])[:, 0], of(points + boxes), frames_of(normals)

    def _beside(self, place: jax.Array) -> tuple[jax.Array, jax.Array]:
        """(centres [4, 3], whether there is a wall [4]) of the cell of a place [2] and of those beside it."""
        at = (place - jnp.asarray(self.origin, place.dtype)) / self.cell
        own = jnp.round(at)
        side = jnp.where(at >= own, 1, -1)
        steps = np.array([[0, 0], [1, 0], [0, 1], [1, 1]])
        cells = own.astype(jnp.int32)[None] + side[None] * steps
        inside = jnp.clip(cells, 0, np.array(self.there.shape)[None] - 1)
        centres = jnp.asarray(self.origin, place.dtype)[None] + self.cell * cells
        centres = jnp.concatenate([centres, jnp.full((4, 1), self.height, place.dtype)], 1)
        return centres, jnp.asarray(self.there)[inside[:, 0], inside[:, 1]]


def nearest_to_box(
    centre: jax.Array, axis: jax.Array, half: jax.Array, radius: jax.Array, size: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """(gap [], point [3], outward normal [3]) where a capsule comes nearest to a box of half sizes `size` [3].

    All in the box's own frame: the capsule's core is centre + t axis, |t| <= half.
    """
    core = centre + _nearest(centre, axis, half, size) * axis
    between = core - jnp.clip(core, -size, size)
    length = jnp.sqrt(dot(between, between))
    depth = size - jnp.abs(core)  # of a core inside the box, below each pair of faces
    face = jnp.where(jnp.arange(3) == jnp.argmin(depth), jnp.sign(core), 0.0)
    inside = length < _NO_DIRECTION
    outward = jnp.where(inside, face, between / jnp.where(inside, 1.0, length))
    gap = jnp.where(inside, -jnp.min(depth), length) - radius
    return gap, core - outward * (radius + gap / 2), outward


def frames_of(normals: jax.Array) -> jax.Array:
    """Normals [N, 3] with two tangents each [N, 3, 3], as C chooses them (`mju_makeFrame`)."""
    upright = jnp.abs(normals[:, 1:2]) < 0.5
    guide = jnp.where(upright, jnp.array([[0.0, 1.0, 0.0]]), jnp.array([[0.0, 0.0, 1.0]])).astype(normals.dtype)
    first = guide - normals * dot(normals, guide)[:, None]
    first = first / jnp.sqrt(dot(first, first))[:, None]
    return jnp.stack([normals, first, cross(normals, first)], 1)


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
        core = centre + t * axis
        return dot(core - jnp.clip(core, -size, size), axis)

    slopes = jax.vmap(slope)(times)
    low = jnp.max(jnp.where(slopes <= 0, times, -half))
    high = jnp.min(jnp.where(slopes >= 0, times, half))
    below, above = slope(low), slope(high)
    inner = low - below * (high - low) / jnp.where(above > below, above - below, 1.0)
    return jnp.where(high > low, inner, (low + high) / 2)  # ends, and the middle of a segment along a face
