import dataclasses

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fastrl.envs import make
from fastrl.envs.mjx import Simulator
from fastrl.envs.models import gymnasium_model
from fastrl.envs.simulator import Physics
from fastrl.types import UserError

CHUNK = 100
IDS = {"hopper": "Hopper", "halfcheetah": "HalfCheetah", "walker2d": "Walker2d", "ant": "Ant"}


@pytest.fixture(scope="module")
def hopper(beside):
    return beside("hopper")


@pytest.mark.parametrize("warm", [True, False], ids=["warm-start", "from-zero"])
def test_every_step_is_gymnasiums(hopper, warm):
    columns = hopper.rollout(3 * CHUNK, warm)
    assert 5 < columns[-1].sum() < 60
    hopper.agree(columns)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "fewest", "most"), [("halfcheetah", 0, 0), ("walker2d", 1, 20)])
def test_every_step_of_the_others_is_gymnasiums(beside, quick, name, fewest, most):
    columns = beside(name).rollout(CHUNK)
    assert fewest <= columns[-1].sum() <= most
    beside(name).agree(columns)


def test_fast_falls_and_lying_robots_too(hopper, monkeypatch):
    """States far from the rest pose: clipped observations, many contacts, unhealthy rewards."""
    random = np.random.default_rng(1)
    rows = []
    hopper.c.reset(seed=1)
    monkeypatch.setattr(hopper.c.model.opt, "tolerance", 0)  # C itself stops up to 1e-7 short of its optimum
    contacts = 0
    for _ in range(CHUNK):
        qpos = np.array([0, 0.8, 0, 0, 0, 0]) + random.uniform(-1, 1, 6) * [1, 0.5, 1.5, 0, 0, 0]
        qpos[3:5], qpos[5] = random.uniform(-2, 0, 2), random.uniform(-0.7, 0.7)
        hopper.c.set_state(qpos, random.uniform(-12, 12, 6))
        action = random.uniform(-1, 1, 3)
        row = hopper.row()
        obs, reward, terminated, _, _ = hopper.c.step(action)
        contacts += hopper.c.data.ncon > 0
        rows.append([*row, action, obs, reward, terminated])
    columns = [np.array(x) for x in zip(*rows, strict=True)]
    assert contacts > CHUNK / 4 and columns[-1].sum() > 0 and np.any(np.abs(columns[-3]) == 10)
    hopper.agree(columns)


def test_physics_round_trip_and_reset(hopper):
    with jax.enable_x64(True):
        qpos, qvel = jnp.arange(6.0) / 10, jnp.arange(6.0)
        state, obs = hopper.ours.from_physics(qpos, qvel)
        back = hopper.ours.physics(state)
        np.testing.assert_array_equal(back, (qpos, qvel))
        hopper.c.set_state(np.asarray(qpos), np.asarray(qvel))
        np.testing.assert_array_equal(obs, hopper.c._get_obs())
    states, obs = jax.vmap(make("hopper").reset)(jax.random.split(jax.random.key(0), 200))
    assert obs.dtype == jnp.float32 and obs.shape == (200, 11)
    noise = np.array(states.env.qpos) - hopper.c.init_qpos.astype(np.float32)
    for sample in (noise, np.array(states.env.qvel)):
        assert np.abs(sample).max() <= 5.001e-3 and abs(sample.std() - 5e-3 / 3**0.5) < 3e-4


@pytest.mark.parametrize("name", ["halfcheetah", "ant"])
def test_resets_with_normal_velocities(name):
    env = make(name)
    states, obs = jax.vmap(env.reset)(jax.random.split(jax.random.key(0), 200))
    assert obs.shape == (200, env.spec.obs_size)
    qpos, qvel = (np.array(x) for x in jax.vmap(env.physics)(states))
    assert np.abs(qpos - env.env.simulator.qpos0.astype(np.float32)).max() <= 0.10001
    assert abs(qvel.std() - 0.1) < 0.005 and np.abs(qvel).max() > 0.25


@pytest.mark.filterwarnings("ignore:.*out of date")
@pytest.mark.parametrize("version", ["v4", "v5"])
@pytest.mark.parametrize("name", IDS)
def test_models_and_specs_are_gymnasiums(name, version, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # where MuJoCo logs what it thinks of HalfCheetah's model, as Gymnasium loads it
    ours = make(name, version=version)
    assert not list(tmp_path.iterdir())
    c = gymnasium.make(f"{IDS[name]}-{version}").unwrapped
    assert ours.spec.obs_size == c.observation_space.shape[0]
    low, high = (np.broadcast_to(x, c.action_space.shape) for x in (ours.spec.action_low, ours.spec.action_high))
    np.testing.assert_array_equal((low, high), (c.action_space.low, c.action_space.high))
    assert (ours.spec.horizon, ours.spec.domain) == (1000, "locomotion")
    model = ours.env.simulator.mj_model
    fields = ("body_mass", "body_inertia", "geom_friction", "geom_size", "geom_margin", "geom_solimp", "dof_damping")
    for field in (
        *fields,
        "dof_armature",
        "jnt_range",
        "jnt_stiffness",
        "actuator_gear",
        "actuator_ctrlrange",
        "qpos0",
    ):
        np.testing.assert_array_equal(getattr(model, field), getattr(c.model, field), err_msg=field)
    assert model.opt.timestep == c.model.opt.timestep and model.opt.integrator == c.model.opt.integrator
    assert ours.env.simulator.timestep * ours.env.simulator.frame_skip == c.dt


class Fallen:
    """A simulator whose robots end up on the ground after moving 1 m in a second."""

    timestep, frame_skip = 0.25, 4

    def __init__(self, simulator):
        self.start = simulator.start

    def step(self, state, control):
        after = Physics(state.qpos.at[0].add(1.0).at[1].set(0.1), state.qvel, state.warmstart)
        return after, state


@pytest.mark.parametrize(("version", "reward"), [("v4", 2.0), ("v5", 1.0)])
@pytest.mark.parametrize("name", ["hopper", "walker2d"])
def test_v4_pays_the_healthy_reward_for_the_last_step_too(name, version, reward):
    env = make(name, version=version).env
    env = dataclasses.replace(env, simulator=Fallen(env.simulator), task=dataclasses.replace(env.task, frame_skip=4))
    size = env.spec.obs_size // 2 + 1
    state, _ = env.from_physics(jnp.ones(size), jnp.zeros(size))
    _, step = env.step(jax.random.key(0), state, jnp.zeros(env.spec.action_size))
    assert step.terminated and step.reward == reward


def test_an_unknown_version_is_refused():
    with pytest.raises(UserError, match="did you mean 'v5'"):
        make("hopper", version="v55")


def test_a_model_that_lost_its_contacts_is_refused():
    with pytest.raises(AssertionError, match="contact slots"):
        Simulator(gymnasium_model("hopper.xml", 0), frame_skip=4, contacts=9)
