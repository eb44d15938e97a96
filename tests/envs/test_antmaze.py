import dataclasses
import importlib

import gymnasium
import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from fastrl.envs import antmaze, make, names
from fastrl.envs.simulator import Physics
from fastrl.types import UserError

NAMES = [name for name in names() if name.startswith("antmaze")]
GOALS = {"umaze": (0, 8), "medium": (20, 20), "large": (32, 24), "ultra": (52, 36)}
HORIZONS = {"umaze": 700, "medium": 1000, "large": 1000, "ultra": 2000}


def test_the_eight_tasks_are_d4rls():
    assert len(NAMES) == 8
    for name in ("antmaze-umaze-diverse", "antmaze-medium-play", "antmaze-large-diverse", "antmaze-ultra-play"):
        env = make(name)
        maze = name.split("-")[1]
        spec = env.spec
        assert (spec.name, spec.obs_size, spec.action_size) == (name, 29, 8)
        assert (spec.horizon, spec.domain, spec.sparse) == (HORIZONS[maze], "antmaze", True)
        states, obs = jax.vmap(env.reset)(jax.random.split(jax.random.key(0), 500))
        goals = np.array(states.env.goal) - GOALS[maze]
        # D4RL: the cell's centre + U(0, 1) + U(0, 1/2)
        assert 0 <= goals.min() < 0.1 and 1.4 < goals.max() <= 1.5
        assert np.abs(goals.mean(0) - 0.75).max() < 0.05 and abs(goals.std() - (1.25 / 12) ** 0.5) < 0.02
        assert np.abs(np.array(obs)[:, :2]).max() <= 0.1001, "starts are at the origin"
        assert np.abs(np.array(obs)[:, 2] - 0.75).max() <= 0.1001
        free = env.env.maze.walls
        assert not free[1, 1] and not free[env.env.maze.goal]


def test_d4rls_ant_is_gymnasiums_with_three_changes_and_walls():
    stock = gymnasium.make("Ant-v5").unwrapped.model
    ours = antmaze.compile_ant(antmaze.MAZES["umaze"], "d4rl")
    ants = stock.ngeom
    for field in ("body_mass", "body_inertia", "dof_damping", "dof_armature", "jnt_range", "qpos0"):
        np.testing.assert_array_equal(getattr(ours, field), getattr(stock, field), err_msg=field)
    for field in ("geom_friction", "geom_margin", "geom_condim"):
        names_ours = [ours.geom(stock.geom(i).name).id for i in range(ants) if stock.geom(i).name]
        names_stock = [i for i in range(ants) if stock.geom(i).name]
        np.testing.assert_array_equal(getattr(ours, field)[names_ours], getattr(stock, field)[names_stock])
    assert (stock.opt.timestep, ours.opt.timestep) == (0.01, 0.02)
    assert np.all(stock.actuator_gear[:, 0] == 150) and np.all(ours.actuator_gear[:, 0] == 30)
    np.testing.assert_array_equal(ours.geom_solimp[:, :3], np.tile([0.8, 0.8, 0.01], (ours.ngeom, 1)))
    boxes = ours.geom_pos[ours.geom_type == mujoco.mjtGeom.mjGEOM_BOX]
    assert len(boxes) == 18 and [-4, -4, 1] in boxes.tolist() and [0, 4, 1] in boxes.tolist()
    assert [0, 0, 1] not in boxes.tolist() and [8, 4, 1] not in boxes.tolist()


def test_gymnasium_physics_is_gymnasium_robotics():
    pytest.importorskip("gymnasium_robotics")
    module = importlib.import_module("gymnasium_robotics.envs.maze.maze_v4")
    maps = importlib.import_module("gymnasium_robotics.envs.maze.maps")
    env = make("antmaze-medium-play", physics="gymnasium")
    theirs = module.Maze(maps.MEDIUM_MAZE_DIVERSE_GR, 4.0, 0.5)
    rows, columns = np.nonzero(np.array([[cell == 1 for cell in row] for row in theirs.maze_map]))
    np.testing.assert_array_equal(np.array([rows, columns]).T, np.argwhere(env.env.maze.walls))
    cells = np.array([(1, 1), (6, 6), (2, 5)])
    np.testing.assert_array_equal(
        antmaze.centres(env.env.maze, cells, "gymnasium"), [theirs.cell_rowcol_to_xy(cell) for cell in cells]
    )
    states, obs = jax.vmap(env.reset)(jax.random.split(jax.random.key(0), 300))
    start, goal = (theirs.cell_rowcol_to_xy(np.array(cell)) for cell in ((1, 1), (6, 6)))
    assert 0.9 < np.abs(np.array(states.env.goal) - goal).max() <= 1.0
    assert 0.9 < np.abs(np.array(obs)[:, :2] - start).max() <= 1.0
    module = importlib.import_module("gymnasium_robotics.envs.maze.ant_maze_v4")
    ant = module.AntMazeEnv(maze_map=maps.MEDIUM_MAZE_DIVERSE_GR)
    for seed in range(2):  # nothing else is random there
        seen, _ = ant.reset(seed=seed)
        np.testing.assert_allclose(obs[:, 2:], np.tile(seen["observation"][:27], (300, 1)), atol=1e-6)
    assert env.env.radius == 0.45 and env.env.simulator.timestep == 0.01


def test_options():
    env = make("antmaze-umaze", goal_in_obs=True, dense=True, goal_seed=3)
    a, b = (env.reset(jax.random.key(i)) for i in range(2))
    np.testing.assert_array_equal(a[0].env.goal, b[0].env.goal)
    np.testing.assert_array_equal(a[1][29:], a[0].env.goal)
    assert env.spec.obs_size == 31 and not env.spec.sparse
    with pytest.raises(UserError, match="did you mean 'd4rl'"):
        make("antmaze-umaze", physics="d4rx")


@pytest.mark.parametrize(("physics", "radius"), [("d4rl", 0.5), ("gymnasium", 0.45)])
def test_the_goal_pays_and_ends_and_a_lost_state_is_no_failure(physics, radius):
    class Still:
        qpos0, step = np.zeros(15), staticmethod(lambda state, action: (state, state))

    def step(env, distance, **options):
        env = dataclasses.replace(env, simulator=Still(), **options)
        state = antmaze.AntMazeState(Physics(jnp.zeros(15).at[1].set(distance), jnp.zeros(14), None), jnp.zeros(2))
        return env.step(jax.random.key(0), state, jnp.zeros(8))[1]

    env = make("antmaze-umaze", physics=physics).env
    for distance, reached in ((radius - 1e-4, True), (radius + 1e-4, False)):
        out = step(env, distance)
        assert (out.reward, out.terminated, out.truncated) == (reached, reached, False)
        out = step(env, distance, dense=True, continuing=True)
        assert abs(out.reward - np.exp(-distance)) < 1e-6 and not out.terminated
    assert np.isnan(step(env, np.nan).reward)


@pytest.mark.slow
def test_steps_are_cs_on_the_ground_at_a_wall_and_at_the_goal(quick):
    with jax.enable_x64(True):
        env = make("antmaze-umaze")
        model = antmaze.compile_ant(antmaze.MAZES["umaze"], "d4rl")
        model.opt.iterations, model.opt.ls_iterations = 100, 50
        data, random = mujoco.MjData(model), np.random.default_rng(0)
        rows, after, walls = [], [], 0
        while len(rows) < 30:
            mujoco.mj_resetData(model, data)
            data.qpos[:] += random.uniform(-0.1, 0.1, 15)
            data.qpos[:2] += (0.7, 8.7) if len(rows) % 4 == 0 else random.uniform([-1, -1], [1, 1])
            data.qvel[:] = random.normal(size=14)
            mujoco.mj_kinematics(model, data)
            mujoco.mj_collision(model, data)
            near_wall = (model.geom_type[data.contact.geom] == mujoco.mjtGeom.mjGEOM_BOX).any()
            if (data.ncon and data.contact.dist.min() < -0.02) or (len(rows) % 2 and not near_wall):
                continue
            start, action = [data.qpos.copy(), data.qvel.copy()], random.uniform(-1, 1, 8)
            data.ctrl[:] = action
            mujoco.mj_step(model, data, 5)
            walls += bool(near_wall)
            rows.append([*start, action])
            after.append(np.concatenate([data.qpos, data.qvel]))
        assert walls > 10

        def one(qpos, qvel, action):
            state, _ = env.from_physics(qpos, qvel)
            return env.step(jax.random.key(0), state, action)[1]

        columns = [jnp.array(np.array(x)) for x in zip(*rows, strict=True)]
        out = jax.tree.map(np.array, jax.jit(lambda *c: jax.lax.map(lambda r: one(*r), c))(*columns))
    error = np.abs(out.obs - np.array(after)).max(1)
    assert np.median(error) < 1e-12 and np.mean(error < 1e-8) >= 0.8, "a second contact may differ now and then"
    reached = np.linalg.norm(np.array(after)[:, :2] - [0.75, 8.75], axis=1) <= 0.5
    assert 0 < reached.sum() < len(reached)
    np.testing.assert_array_equal(out.terminated, reached)
    np.testing.assert_array_equal(out.reward, reached.astype(float))
