"""Many copies of a simulator go in blocks on a CPU: the same numbers, whatever their number."""

import jax
import jax.numpy as jnp
import numpy as np

from fastrl.envs.models import gymnasium_model
from fastrl.envs.planar import Planar
from fastrl.envs.simulator import BLOCK


def test_a_copy_steps_alike_alone_among_few_and_in_blocks(quick):
    robot, random, many = Planar(gymnasium_model("hopper.xml"), 4), np.random.default_rng(0), 2 * BLOCK + 3
    qpos = jnp.asarray(robot.qpos0 + random.uniform(-0.1, 0.1, (many, 6)), jnp.float32)
    qvel, control = (jnp.asarray(random.normal(size=(many, n)), jnp.float32) for n in (6, 3))
    step = jax.jit(jax.vmap(lambda qpos, qvel, control: robot.step(robot.start(qpos, qvel), control)))
    rows = lambda n: (qpos[:n], qvel[:n], control[:n])
    whole, few = (jax.tree.map(np.array, step(*rows(n))) for n in (many, 5))
    alone = jax.jit(lambda *row: robot.step(robot.start(*row[:2]), row[2]))(qpos[0], qvel[0], control[0])
    for a, b, c in zip(*(jax.tree.leaves(x) for x in (whole, few, alone)), strict=True):
        np.testing.assert_allclose(a[:5], b, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(a[0], c, rtol=1e-4, atol=1e-4)
    shared = jax.jit(jax.vmap(lambda qpos: robot.step(robot.start(qpos, qvel[0]), control[0])))(qpos)
    np.testing.assert_allclose(shared[0].qpos[0], alone[0].qpos, rtol=1e-4, atol=1e-4)
