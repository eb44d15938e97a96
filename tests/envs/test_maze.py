import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from fastrl.envs import make
from fastrl.envs.grid import MAZES
from fastrl.envs.maze import pointmaze
from fastrl.envs.point import compile_ball
from fastrl.types import UserError

UPSTREAM = {"umaze": "UMaze", "medium": "Medium", "large": "Large"}
# What differs by design: names, pictures, and the target's site.
COSMETIC = ("name_", "mat_", "tex_", "site_", "vis", "light_", "cam_", "geom_matid", "geom_rgba")


def upstream(maze):
    """Gymnasium-Robotics' environment, unwrapped, and its time limit."""
    pytest.importorskip("gymnasium_robotics")
    import gymnasium

    env = gymnasium.make(f"PointMaze_{UPSTREAM[maze]}-v3")
    return env.unwrapped, env.spec.max_episode_steps


def simulate(model, start, steps, seed):
    """C MuJoCo with upstream's velocity clip, actions held for a while: (qpos, qvel, action, ...)."""
    random = np.random.default_rng(seed)
    data = mujoco.MjData(model)
    data.qpos[:] = start
    rows = {k: [] for k in ("qpos", "qvel", "action", "next_qpos", "next_qvel", "contacts")}
    for i in range(steps):
        if i % 25 == 0:
            action = random.uniform(-1.5, 1.5, 2)
        rows["qpos"].append(data.qpos.copy())
        rows["qvel"].append(data.qvel.copy())
        rows["action"].append(action)
        data.qvel[:] = np.clip(data.qvel, -5, 5)
        data.ctrl[:] = np.clip(action, -1, 1)
        mujoco.mj_step(model, data)
        rows["next_qpos"].append(data.qpos.copy())
        rows["next_qvel"].append(data.qvel.copy())
        rows["contacts"].append(sum(c.geom[0] != 0 for c in data.contact))
    return {k: np.array(v) for k, v in rows.items()}


def test_the_model_is_upstreams_field_by_field():
    for maze in MAZES:
        ours, (theirs, limit) = compile_ball(MAZES[maze]), upstream(maze)
        assert make(f"pointmaze-{maze}").spec.horizon == limit
        order = [ours.geom(theirs.model.geom(i).name).id for i in range(theirs.model.ngeom)]
        compared = 0
        for field in dir(theirs.model):
            value = getattr(theirs.model, field)
            if not isinstance(value, np.ndarray) or field.startswith(COSMETIC):
                continue
            if field.startswith("geom_") and len(value) == len(order):
                np.testing.assert_array_equal(getattr(ours, field)[order], value, err_msg=field)
                compared += 1
            elif field.startswith(("body_", "jnt_", "dof_", "actuator_", "qpos")):
                skip = {"body_geomadr", "body_sameframe", "body_bvhadr"}
                if field not in skip and value.dtype != object:
                    np.testing.assert_array_equal(getattr(ours, field), value, err_msg=field)
                    compared += 1
        for field in dir(theirs.model.opt):
            value = getattr(theirs.model.opt, field)
            if not field.startswith("_") and not callable(value):
                np.testing.assert_array_equal(getattr(ours.opt, field), value, err_msg=field)
                compared += 1
        assert compared > 100


@pytest.mark.parametrize("maze", ["umaze", "medium", "large"])
def test_every_step_is_c_mujocos_walls_included(maze):
    env, _ = upstream(maze)
    env.model.opt.tolerance = 0  # C stops early now and then, 1e-6 from the optimum
    rows = simulate(env.model, MAZES[maze].centre(MAZES[maze].goal), 3000, seed=1)
    assert (rows["contacts"] == 1).sum() > 300 and (rows["contacts"] >= 2).sum() > 100
    with jax.enable_x64(True):
        ours = make(f"pointmaze-{maze}")

        @jax.jit
        @jax.vmap
        def step(qpos, qvel, action):
            state, _ = ours.from_physics(qpos, qvel)
            return ours.step(jax.random.key(0), state, action)[1].obs

        obs = step(rows["qpos"], rows["qvel"], rows["action"])
        assert obs.dtype == jnp.float64
        expected = np.concatenate([rows["next_qpos"], rows["next_qvel"]], 1)
        np.testing.assert_allclose(obs, expected, rtol=0, atol=1e-8)


def test_an_episode_is_upstreams_with_its_options():
    theirs, _ = upstream("medium")
    theirs.reset(seed=3)
    with jax.enable_x64(True):
        ours = pointmaze("medium", goal="random", goal_in_obs=True, start_distance=1, continuing=True)
        data, goal = theirs.data, jnp.array(np.array(theirs.goal))
        state, _ = ours.place(jnp.array(np.array(data.qpos)), jnp.array(np.array(data.qvel)), goal)
        key, step = jax.random.key(0), jax.jit(ours.step)
        random, rewards = np.random.default_rng(0), 0.0
        for i in range(300):
            if i % 20 == 0:
                action = random.uniform(-1, 1, 2)
            if i == 200:  # near the goal, so that both rewards are seen
                theirs.point_env.set_state(np.add(theirs.goal, [0.4, 0.0]), np.zeros(2))
                state, _ = ours.place(goal + jnp.array([0.4, 0.0]), jnp.zeros(2), goal)
            obs, reward, terminated, _, _ = theirs.step(action)
            state, out = step(jax.random.fold_in(key, i), state, jnp.array(action))
            whole = np.concatenate([obs["observation"], obs["desired_goal"]])
            np.testing.assert_allclose(out.obs, whole, rtol=0, atol=1e-8)
            assert float(out.reward) == reward and bool(out.terminated) == terminated
            rewards += reward
        assert 0 < rewards < 300


def test_starts_are_far_from_the_goal_and_spread(key):
    env = make("pointmaze-medium")
    states, obs = jax.vmap(env.reset)(jax.random.split(key, 500))
    maze = MAZES["medium"]
    np.testing.assert_allclose(states.env.goal, np.tile(maze.centre(maze.goal), (500, 1)))
    assert obs.shape == (500, 4) and not np.any(obs[:, 2:])
    centres, far = maze.centre(maze.free), maze.distances(maze.goal)[tuple(maze.free.T)] >= 4
    nearest = np.abs(np.array(obs[:, None, :2]) - centres).max(-1)
    assert nearest.min(1).max() <= 0.25
    assert set(nearest.argmin(1).tolist()) == set(np.flatnonzero(far).tolist())


def test_the_goal_pays_and_ends_the_episode(key):
    env = make("pointmaze-umaze")
    goal = jnp.array(MAZES["umaze"].centre(MAZES["umaze"].goal))
    for offset, reached in [(0.44, True), (0.46, False)]:
        state, _ = env.from_physics(goal + jnp.array([1.0, 0.0]) * offset, jnp.zeros(2))
        _, out = env.step(key, state, jnp.zeros(2))
        assert bool(out.terminated) == reached and float(out.reward) == reached


def test_frame_skip_holds_the_action(key):
    qpos, qvel, action = jnp.array([-1.0, 1.0]), jnp.array([1.0, 0.0]), jnp.array([0.3, -0.7])
    once, four = make("pointmaze-umaze"), make("pointmaze-umaze", frame_skip=4)
    state, _ = once.from_physics(qpos, qvel)
    for _ in range(4):
        state, out = once.step(key, state, action)
    _, held = four.step(key, four.from_physics(qpos, qvel)[0], action)
    np.testing.assert_allclose(held.obs, out.obs, atol=1e-6)


def test_bad_options_are_answered():
    with pytest.raises(UserError, match=r"goal \(0, 0\) is no free cell"):
        make("pointmaze-umaze", goal=(0, 0))
    with pytest.raises(UserError, match="lower start_distance"):
        make("pointmaze-umaze", start_distance=9)
    with pytest.raises(UserError, match="frame_skip"):
        make("pointmaze-umaze", frame_skip=0)
    assert make("pointmaze-umaze", goal=(1, 1)).env.goals.tolist() == [[1, 1]]


def test_distances_are_shortest_paths():
    steps = MAZES["umaze"].distances((3, 1))
    assert steps[1].tolist() == [-1, 6, 5, 4, -1] and steps[3].tolist() == [-1, 0, 1, 2, -1]
