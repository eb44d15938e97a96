"""The planar robots written out, term by term beside C, in states that play does not reach; and what is refused."""

import xml.etree.ElementTree as ET

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from fastrl.envs.models import compile_model, gymnasium_model
from fastrl.envs.planar import Planar
from fastrl.envs.simulator import Physics

ROBOTS = {"halfcheetah": "half_cheetah.xml", "walker2d": "walker2d_v5.xml", "walker2d-v4": "walker2d.xml"}
ROBOTS["hopper"] = "hopper.xml"
STATES = 150


def converged(file):
    """The model with C's solver run to the end."""
    model = gymnasium_model(file, 8)
    model.opt.tolerance, model.opt.iterations, model.opt.ls_iterations = 0, 100, 50
    return model


def anywhere(model, random):
    """A state of a robot in the air, on its feet or on its back, joints past their limits, and a control."""
    low, high = model.jnt_range[3:].T
    joints = random.uniform(low - 0.1, high + 0.1)
    root = [random.uniform(-9, 9), random.uniform(-1.2, 0.1), random.uniform(-3, 3)]
    qpos = np.concatenate([root, joints])
    qpos[1] += model.qpos0[1]
    return qpos, 3 * random.normal(size=model.nv), random.uniform(-1.5, 1.5, model.nu)


@pytest.mark.parametrize("name", ROBOTS)
def test_every_term_is_cs(name):
    model = converged(ROBOTS[name])
    data, random = mujoco.MjData(model), np.random.default_rng(0)
    with jax.enable_x64(True):
        robot = Planar(model, 1)
        compiled = jax.jit(lambda qpos, qvel, control: robot.forward(Physics(qpos, qvel, jnp.zeros(model.nv)), control))
        contacts, limits, selves = 0, 0, 0
        for _ in range(STATES):
            data.qpos[:], data.qvel[:], data.ctrl[:] = anywhere(model, random)
            data.qacc_warmstart[:] = 0
            mujoco.mj_forward(model, data)
            dense = np.zeros((model.nv, model.nv))
            mujoco.mj_fullM(model, data, dense)
            inertia, force, acceleration, constraint = map(np.array, compiled(data.qpos, data.qvel, data.ctrl))
            np.testing.assert_allclose(inertia, dense, atol=1e-12)
            np.testing.assert_allclose(force, data.qfrc_smooth, atol=1e-9 * (1 + abs(data.qfrc_smooth).max()))
            np.testing.assert_allclose(acceleration, data.qacc, atol=1e-9 * (1 + abs(data.qacc).max()))
            np.testing.assert_allclose(constraint, data.qfrc_constraint, atol=1e-9 * (1 + abs(constraint).max()))
            contacts, limits = (
                contacts + data.ncon,
                limits + (data.efc_type == mujoco.mjtConstraint.mjCNSTR_LIMIT_JOINT).sum(),
            )
            selves += sum((model.geom_type[pair] == mujoco.mjtGeom.mjGEOM_CAPSULE).all() for pair in data.contact.geom)
    assert contacts > STATES / 2 and limits > STATES / 4 and (selves > 20) == (name == "hopper")


def test_a_robot_of_another_kind_is_refused():
    with pytest.raises(AssertionError, match="two slides and a hinge"):
        Planar(gymnasium_model("ant.xml", 8), 5)
    sideways = """<mujoco><worldbody><geom type="plane" size="5 5 1"/><body><joint type="slide" axis="1 0 0"/>
    <joint type="slide" axis="0 0 1"/><joint axis="0 1 0"/><geom type="capsule" size=".1 .1"/>
    <body><joint axis="1 0 0"/><geom type="capsule" size=".1 .1"/></body></body></worldbody></mujoco>"""
    with pytest.raises(AssertionError, match="hinges turn about y"):
        Planar(compile_model(ET.fromstring(sideways), 8), 1)
