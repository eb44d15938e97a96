"""Ant written out, term by term beside C, in states that play does not reach; and what is refused."""

import copy

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from fastrl.envs.arrow import Arrow
from fastrl.envs.legged import Legged
from fastrl.envs.models import gymnasium_model
from fastrl.envs.simulator import Physics

STATES = 150


def anywhere(model, random):
    """An ant in the air, on its feet, on its back or in the ground, joints past their limits, and a control."""
    low, high = model.jnt_range[1:].T
    root = [*random.uniform(-9, 9, 2), random.uniform(0.1, 0.8), *random.normal(size=4)]
    qpos = np.concatenate([root, random.uniform(low - 0.1, high + 0.1)])
    return qpos, 3 * random.normal(size=model.nv), random.uniform(-1.5, 1.5, model.nu)


@pytest.fixture(scope="module")
def model():
    """Gymnasium's ant with C's solver run to the end."""
    found = gymnasium_model("ant.xml", 8)
    found.opt.tolerance, found.opt.iterations, found.opt.ls_iterations = 0, 100, 50
    return found


def test_every_term_is_cs(model):
    data, random = mujoco.MjData(model), np.random.default_rng(0)
    with jax.enable_x64(True):
        robot = Legged(model, 5)

        def terms(qpos, qvel, control):
            state = Physics(qpos, qvel, jnp.zeros(model.nv))
            acceleration, system, force, forces = robot.forward(state, control)
            inertia = jax.vmap(system.momentum)(jnp.eye(model.nv))
            return acceleration, inertia, force, system.push(forces), robot.external_forces(state, control)

        compiled, contacts, limits = jax.jit(terms), 0, 0
        for _ in range(STATES):
            data.qpos[:], data.qvel[:], data.ctrl[:] = anywhere(model, random)
            data.qacc_warmstart[:] = 0
            mujoco.mj_forward(model, data)
            mujoco.mj_rnePostConstraint(model, data)
            dense = np.zeros((model.nv, model.nv))
            mujoco.mj_fullM(model, data, dense)
            turn = np.eye(model.nv)  # from the torso's frame to the world's
            turn[:3, :3] = data.xmat[1].reshape(3, 3)
            close = lambda a, b: np.testing.assert_allclose(a, b, atol=1e-9 * (1 + abs(b).max()))
            acceleration, inertia, force, constraint, external = map(
                np.array, compiled(data.qpos, data.qvel, data.ctrl)
            )
            close(turn @ inertia @ turn.T, dense)
            close(turn @ force, data.qfrc_smooth)
            close(turn @ constraint, data.qfrc_constraint)
            close(acceleration, data.qacc)
            close(external, data.cfrc_ext)
            contacts += data.ncon
            limits += (data.efc_type == mujoco.mjtConstraint.mjCNSTR_LIMIT_JOINT).sum()
    assert contacts > STATES and limits > STATES


def test_eulers_step_is_cs(model):
    euler, random = copy.copy(model), np.random.default_rng(1)
    euler.opt.integrator = mujoco.mjtIntegrator.mjINT_EULER
    data = mujoco.MjData(euler)
    with jax.enable_x64(True):
        robot = Legged(euler, 1)
        step = jax.jit(lambda qpos, qvel, control: robot.step(robot.start(qpos, qvel), control)[0])
        for _ in range(30):
            data.qpos[:], data.qvel[:], data.ctrl[:] = anywhere(euler, random)
            data.qacc_warmstart[:] = 0
            after = step(*(np.array(x) for x in (data.qpos, data.qvel, data.ctrl)))
            mujoco.mj_step(euler, data)
            for ours, c in ((after.qpos, data.qpos), (after.qvel, data.qvel)):
                np.testing.assert_allclose(ours, c, atol=1e-9 * (1 + abs(c).max()))


def test_an_arrow_is_solved_as_its_dense_matrix():
    random = np.random.default_rng(0)
    half = lambda *shape: random.normal(size=shape)
    torso, legs, jacobian = half(6, 6), half(4, 8, 8), half(4, 5, 8)
    with jax.enable_x64(True):
        system = Arrow(torso @ torso.T, legs @ legs.swapaxes(1, 2), jnp.asarray(jacobian))
        weight, right = random.uniform(0, 9, 20), half(14)
        inertia, rows = (np.array(jax.vmap(f)(np.eye(14))).T for f in (system.momentum, system.along))
        np.testing.assert_allclose(inertia, inertia.T, atol=1e-12)
        np.testing.assert_allclose(system.push(weight), rows.T @ weight, atol=1e-12)
        dense = inertia + rows.T @ (weight[:, None] * rows)
        np.testing.assert_allclose(system.solve(jnp.asarray(weight), right), np.linalg.solve(dense, right), rtol=1e-9)


def test_a_robot_of_another_kind_is_refused():
    with pytest.raises(AssertionError, match="four legs"):
        Legged(gymnasium_model("hopper.xml", 8), 4)
