"""Contacts with a maze's walls beside C's, which boxes are looked at, and what is refused."""

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from fastrl.envs.antmaze import MAZES, compile_ant
from fastrl.envs.walls import Walls, frames_of, nearest_to_box


@pytest.mark.parametrize("shape", ["capsule", "sphere"])
def test_contacts_with_boxes_are_cs_overlapping_or_near(shape):
    model = mujoco.MjModel.from_xml_string(f"""<mujoco><worldbody><geom type="box" size="2 2 1"/>
    <body><freejoint/><geom type="{shape}" size=".1 .28"/></body></worldbody></mujoco>""")
    model.geom_margin[:] = 0.01
    data, random = mujoco.MjData(model), np.random.default_rng(0)
    cases = []
    while len(cases) < 60:
        data.qpos[:3] = random.uniform(-2.6, 2.6, 3)
        data.qpos[3:] = random.normal(size=4)
        mujoco.mj_kinematics(model, data)
        mujoco.mj_collision(model, data)
        if data.ncon and data.contact.dist.min() > -0.09:  # the core is outside
            capsule = (data.geom_xpos[1].copy(), data.geom_xmat[1].reshape(3, 3)[:, 2].copy())
            cases.append((capsule, [x[:2].copy() for x in (data.contact.dist, data.contact.pos, data.contact.frame)]))
    assert sum(first[0][0] > 0 for _, first in cases) > 5, "no case is apart"
    half = 0.28 if shape == "capsule" else 0.0
    with jax.enable_x64(True):
        size = jnp.asarray(model.geom_size[0])
        found = jax.jit(
            jax.vmap(lambda centre, axis: nearest_to_box(centre, axis, jnp.array(half), jnp.array(0.1), size))
        )
        gaps, points, normals = map(np.array, found(*map(np.array, zip(*(case for case, _ in cases), strict=True))))
        frames = np.array(frames_of(jnp.asarray(-normals)))  # C's normal points into the box
    for i, (_, (dist, pos, axes)) in enumerate(cases):
        j = int(np.argmin(np.abs(dist - gaps[i])))
        np.testing.assert_allclose(gaps[i], dist[j], atol=1e-6)
        np.testing.assert_allclose(points[i], pos[j], atol=1e-6)
        np.testing.assert_allclose(frames[i].ravel(), axes[j], atol=1e-6)


@pytest.mark.parametrize("physics", ["d4rl", "gymnasium"])
def test_the_two_nearest_walls_are_those_of_all(physics):
    """Beside a search through every box, also where the place is outside the maze."""
    model, random = compile_ant(MAZES["medium"], physics), np.random.default_rng(1)
    walls, boxes = Walls(model), np.flatnonzero(model.geom_type == mujoco.mjtGeom.mjGEOM_BOX)
    low, high = model.geom_pos[boxes, :2].min(0) - 3, model.geom_pos[boxes, :2].max(0) + 3
    with jax.enable_x64(True):
        size, half, radius = jnp.asarray(walls.size), jnp.array(0.3), jnp.array(0.08)
        near = jax.jit(lambda centre, axis: walls.contacts(centre, axis, half, radius))
        one = jax.vmap(
            lambda box, centre, axis: nearest_to_box(centre - box, axis, half, radius, size), (0, None, None)
        )
        every, close = jax.jit(one), 0
        for _ in range(60):
            centre = jnp.array([*random.uniform(low, high), 0.5])
            axis = random.normal(size=3)
            axis = jnp.array(axis / np.linalg.norm(axis))
            gaps, points, _ = near(centre, axis)
            all_gaps, all_points, _ = map(np.array, every(jnp.asarray(model.geom_pos[boxes]), centre, axis))
            order = np.argsort(all_gaps)[:2]
            for slot, box in enumerate(order):
                if all_gaps[box] < 0.5:  # further away nothing is asked of it
                    np.testing.assert_allclose(gaps[slot], all_gaps[box], atol=1e-9)
                    np.testing.assert_allclose(points[slot], all_points[box] + model.geom_pos[boxes[box]], atol=1e-6)
                    close += 1
    assert close > 30


def test_walls_of_another_kind_are_refused():
    one, other = (f'<geom type="box" size="{size}" pos="{x} 0 1"/>' for size, x in (("2 2 1", 0), ("1 2 1", 4)))
    with pytest.raises(AssertionError, match="one size"):
        Walls(mujoco.MjModel.from_xml_string(f"<mujoco><worldbody>{one}{other}</worldbody></mujoco>"))
