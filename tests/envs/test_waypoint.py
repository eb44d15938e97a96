import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fastrl.envs import Vector, make
from fastrl.envs.waypoint import Waypoint


@pytest.mark.parametrize("options", [{}, {"frame_skip": 4, "horizon": 150}])
def test_the_controller_solves_the_maze_from_everywhere(key, options):
    env = make("pointmaze-medium", **options)
    controller = Waypoint.of(env.env)
    goal = jnp.int32(env.env.maze.free.tolist().index(list(env.env.maze.goal)))
    vector = Vector(env, 30)
    start, run = jax.random.split(key)

    def step(state, index):
        physics = state.env.env
        action = jax.vmap(controller.act, (0, 0, None))(physics.qpos, physics.qvel, goal)
        state, outcome = vector.step(jax.random.fold_in(run, index), state, action)
        return state, (outcome.step.terminated, outcome.step.truncated)

    steps = jnp.arange(env.spec.horizon)
    terminated, truncated = jax.jit(lambda: jax.lax.scan(step, vector.reset(start), steps)[1])()
    assert not truncated.any() and np.all(terminated.sum(0) >= 1)
