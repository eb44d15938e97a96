import importlib.util

import gymnasium
import jax
import mujoco
import numpy as np
import pytest

from fastrl import envs
from fastrl.envs import host
from fastrl.types import UserError

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def no_process_is_left():
    yield
    host.close()


@pytest.fixture(scope="module")
def adroit():
    from fastrl.envs import adroit

    return adroit


@pytest.fixture(scope="module")
def kitchen():
    from fastrl.envs import kitchen

    return kitchen


def undo(model):
    """MuJoCo's contacts as they were: margins of two geoms not summed, no native CCD."""
    model.geom_margin[:] /= 2
    for bit in (mujoco.mjtDisableBit.mjDSBL_NATIVECCD, mujoco.mjtDisableBit.mjDSBL_MULTICCD):
        model.opt.disableflags |= int(bit)


@pytest.mark.parametrize(
    ("task", "obs", "action", "horizon"), [("pen", 45, 24, 100), ("door", 39, 28, 200), ("relocate", 39, 30, 200)]
)
def test_adroit_is_gymnasium_robotics_with_a_binary_reward(adroit, task, obs, action, horizon):
    spec = envs.make(f"{task}-binary").spec
    assert (spec.obs_size, spec.action_size, spec.horizon, spec.domain) == (obs, action, horizon, "adroit")
    assert spec.sparse and spec.failure_reward == -1
    ours = adroit.make(task)
    theirs = gymnasium.make(f"AdroitHand{task.capitalize()}Sparse-v1", disable_env_checker=True)
    undo(theirs.unwrapped.model)
    assert (ours.observation_space.shape, ours.action_space.shape) == ((obs,), (action,))
    np.testing.assert_array_equal(ours.reset(seed=3)[0], theirs.reset(seed=3)[0])
    for control in np.random.default_rng(0).uniform(-1, 1, (40, action)):
        seen, reward, terminated, truncated, info = ours.step(control)
        expected, sparse, *_, told = theirs.step(control)
        np.testing.assert_array_equal(seen, expected)
        assert (reward, terminated, truncated) == (0.0 if sparse == 10 else -1.0, sparse == 10, False)
        assert info["goal_achieved"] == bool(told["success"])


def test_an_adroit_success_ends_the_episode(adroit):
    """Pen: a target at the pen's own orientation."""
    env = adroit.make("pen")
    env.reset(seed=0)
    inner = env.unwrapped
    held = inner.data.xquat[inner.obj_body_id].copy()
    inner.model.body_quat[inner.target_obj_body_id] = held
    _, reward, terminated, _, info = env.step(np.zeros(24))
    assert (reward, terminated, info["goal_achieved"]) == (0.0, True, True)


def test_the_kitchen_observes_what_d4rls_does(kitchen):
    env = kitchen.make("mixed")
    samples = np.stack([env.reset(seed=seed)[0] for seed in range(60)])
    start = env.simulator.unwrapped.robot_env.init_qpos
    noise = samples[:, :30] - start
    width = np.concatenate([np.full(9, 0.01), [5e-4] * 2, [5e-5] * 6, [5e-4] * 3, [0.01] * 3, [5e-4] * 3])
    width = np.concatenate([width, [0.01] * 3, [5e-4]])
    assert (np.abs(noise) <= width * (1 + 1e-9)).all() and (np.abs(noise).max(0) > 0.9 * width).all()
    np.testing.assert_allclose(noise.std(0), width / 3**0.5, rtol=0.2)
    assert abs(np.corrcoef(noise[:, 0], noise[:, 9])[0, 1]) < 0.5  # streams of their own
    goal = np.zeros(30)
    goal[22], goal[23:30] = -0.75, [-0.23, 0.75, 1.62, 0.99, 0, 0, -0.06]
    goal[11:13], goal[17:19] = [-0.88, -0.01], [-0.69, -0.05]
    np.testing.assert_allclose(samples[:, 30:], np.broadcast_to(goal, (60, 30)))
    np.testing.assert_array_equal(env.reset(seed=7)[0], samples[7])


def test_the_kitchen_counts_what_has_been_done(kitchen):
    """Doors are put where they should be, one after another; what was done stays done."""
    env = kitchen.make("complete")
    assert envs.make("kitchen-complete").spec.subtasks == 4
    env.reset(seed=0)
    data, start = env.simulator.unwrapped.data, env.simulator.unwrapped.robot_env.init_qpos
    places = [(slice(22, 23), -0.75), (slice(19, 20), 0.37), (slice(17, 19), [-0.69, -0.05])]
    kettle = (slice(23, 30), [-0.23, 0.75, 1.62, 0.99, 0.0, 0.0, -0.06])
    rewards = [env.step(np.zeros(9))[1]]
    for joints, value in places:
        data.qpos[:], data.qvel[:] = start, 0
        data.qpos[joints] = value
        _, reward, terminated, truncated, _ = env.step(np.zeros(9))
        rewards.append(reward)
        assert not (terminated or truncated)
    data.qpos[:], data.qvel[:] = start, 0
    data.qpos[kettle[0]] = kettle[1]
    _, reward, terminated, _, info = env.step(np.zeros(9))
    assert [*rewards, reward] == [0, 1, 2, 3, 4] and terminated
    assert info["done"] == ["kettle", "light switch", "microwave", "slide cabinet"]
    env.reset(seed=0)
    assert env.step(np.zeros(9))[1] == 0


def test_the_kitchens_robot_moves_from_where_it_was_seen(kitchen):
    """Position target = last observed position + 0.08 s x velocity, of at most 2 rad/s, within the limits."""
    env = kitchen.make("partial")
    obs, _ = env.reset(seed=1)
    env.step(np.full(9, 0.5))
    robot = env.simulator.unwrapped.robot_env
    target = np.clip(obs[:9] + 0.08 * 1.0, robot.robot_pos_bound[:9, 0], robot.robot_pos_bound[:9, 1])
    np.testing.assert_allclose(robot.data.ctrl[:9], target, atol=1e-12)
    assert not robot.model.geom_contype[1] and not robot.model.geom_conaffinity[1]


@pytest.mark.parametrize("name", ["pen-binary", "door-binary", "relocate-binary", "kitchen-mixed"])
def test_an_episode_goes_on_in_other_processes_to_the_same_bits(name):
    """All six resume: what a simulator is follows from the episode's seed and actions."""
    env = envs.make(name)
    assert envs.make(name, horizon=7).spec.horizon == 7
    size = env.spec.action_size

    @jax.jit
    def play(key):
        def step(both, index):
            action = jax.random.uniform(jax.random.fold_in(key, index), (size,), minval=-1)
            state, result = env.step(key, both[0], action)
            return (state, result.obs), result.obs

        return jax.lax.scan(step, env.reset(jax.random.fold_in(key, 99)), np.arange(30))[0]

    state, _ = play(jax.random.key(0))
    action = np.full(size, 0.3, np.float32)
    _, on = env.step(jax.random.key(1), state, action)
    host.close()
    _, again = env.step(jax.random.key(1), state, action)
    host.check()
    np.testing.assert_array_equal(on.obs, again.obs)
    assert np.asarray(on.obs).shape == (env.spec.obs_size,)


def test_a_missing_library_is_named(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if "robotics" in name else find(name))
    with pytest.raises(UserError, match=r"'pen-binary' needs gymnasium-robotics: pip install 'fastrl\[robotics\]'"):
        envs.make("pen-binary")
