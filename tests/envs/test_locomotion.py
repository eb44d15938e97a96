import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fastrl.envs import make
from fastrl.envs.mjx import Simulator, gymnasium_model

CHUNK = 100


class Hopper:
    """Gymnasium's hopper in C beside ours in float64; one compiled step for every test below."""

    def __init__(self):
        import gymnasium

        self.c = gymnasium.make("Hopper-v5").unwrapped
        self.ours = make("hopper")
        self.traces = 0

        def step(qpos, qvel, warmstart, action):
            self.traces += 1
            state, before = self.ours.from_physics(qpos, qvel)
            physics = jax.tree.map(lambda x: x, state.env)
            physics = type(physics)(physics.qpos, physics.qvel, warmstart)
            timed, out = self.ours.step(jax.random.key(0), type(state)(physics, state.elapsed), action)
            return out, before, self.ours.physics(timed)

        self.step = jax.jit(lambda *rows: jax.lax.map(lambda row: step(*row), rows))

    def set_c(self, qpos, qvel):
        self.c.set_state(np.asarray(qpos, float), np.asarray(qvel, float))

    def ours_from(self, rows):
        """Our step from each row [CHUNK] (qpos, qvel, warmstart, action)."""
        with jax.enable_x64(True):
            return jax.tree.map(np.array, self.step(*[jnp.array(np.array(x)) for x in rows]))


@pytest.fixture(scope="module")
def hopper():
    pytest.importorskip("gymnasium")
    with jax.enable_x64(True):
        return Hopper()


def c_rollout(c, steps, warm):
    """Random episodes in C: what a step starts from and what it returns, a reset where it ends."""
    random = np.random.default_rng(0)
    c.reset(seed=0)
    start = True
    columns = ([], [], [], [], [], [], [])
    for _ in range(steps):
        # C resets the warm start to the acceleration of the reset pose; we start from zero.
        warmstart = c.data.qacc_warmstart if warm and not start else np.zeros(6)
        action = random.uniform(-1, 1, 3)
        row = [c.data.qpos.copy(), c.data.qvel.copy(), warmstart.copy(), action]
        obs, reward, terminated, _, _ = c.step(action)
        for column, value in zip(columns, [*row, obs, reward, terminated]):
            column.append(value)
        start = terminated
        if terminated:
            c.reset()
    return [np.array(column) for column in columns]


@pytest.mark.parametrize("warm", [True, False], ids=["warm-start", "from-zero"])
def test_every_step_is_gymnasiums(hopper, warm):
    *rows, obs, reward, terminated = c_rollout(hopper.c, 3 * CHUNK, warm)
    assert 5 < terminated.sum() < 60
    for i in range(0, 3 * CHUNK, CHUNK):
        part = slice(i, i + CHUNK)
        out, _, _ = hopper.ours_from([r[part] for r in rows])
        assert out.obs.dtype == np.float64
        np.testing.assert_allclose(out.obs, obs[part], rtol=0, atol=1e-8)
        np.testing.assert_allclose(out.reward, reward[part], rtol=0, atol=1e-8)
        np.testing.assert_array_equal(out.terminated, terminated[part])
    assert hopper.traces == 1


def test_fast_falls_and_lying_robots_too(hopper, monkeypatch):
    """States far from the rest pose: clipped observations, many contacts, unhealthy rewards."""
    random = np.random.default_rng(1)
    rows, expected = [], []
    hopper.c.reset(seed=1)
    monkeypatch.setattr(hopper.c.model.opt, "tolerance", 0)  # C itself stops up to 1e-7 short of its optimum
    contacts = 0
    for _ in range(CHUNK):
        qpos = np.array([0, 0.8, 0, 0, 0, 0]) + random.uniform(-1, 1, 6) * [1, 0.5, 1.5, 0, 0, 0]
        qpos[3:5], qpos[5] = random.uniform(-2, 0, 2), random.uniform(-0.7, 0.7)
        hopper.set_c(qpos, random.uniform(-12, 12, 6))
        action = random.uniform(-1, 1, 3)
        row = [hopper.c.data.qpos.copy(), hopper.c.data.qvel.copy()]
        rows.append([*row, hopper.c.data.qacc_warmstart.copy(), action])
        obs, reward, terminated, _, _ = hopper.c.step(action)
        contacts += hopper.c.data.ncon > 0
        expected.append((obs, reward, terminated))
    out, _, _ = hopper.ours_from([np.array(x) for x in zip(*rows)])
    obs, reward, terminated = (np.array(x) for x in zip(*expected))
    assert contacts > CHUNK / 4 and terminated.sum() > 0 and np.any(np.abs(obs) == 10)
    np.testing.assert_allclose(out.obs, obs, rtol=0, atol=1e-8)
    np.testing.assert_allclose(out.reward, reward, rtol=0, atol=1e-8)
    np.testing.assert_array_equal(out.terminated, terminated)


def test_physics_round_trip_and_reset(hopper):
    with jax.enable_x64(True):
        qpos, qvel = jnp.arange(6.0) / 10, jnp.arange(6.0)
        state, obs = hopper.ours.from_physics(qpos, qvel)
        back = hopper.ours.physics(state)
        np.testing.assert_array_equal(back, (qpos, qvel))
        hopper.set_c(qpos, qvel)
        np.testing.assert_array_equal(obs, hopper.c._get_obs())
    states, obs = jax.vmap(make("hopper").reset)(jax.random.split(jax.random.key(0), 200))
    assert obs.dtype == jnp.float32 and obs.shape == (200, 11)
    noise = np.array(states.env.qpos) - hopper.c.init_qpos.astype(np.float32)
    for sample in (noise, np.array(states.env.qvel)):
        assert np.abs(sample).max() <= 5.001e-3 and abs(sample.std() - 5e-3 / 3**0.5) < 3e-4


def test_the_spec_is_gymnasiums(hopper):
    spec = hopper.ours.spec
    assert (spec.obs_size, spec.action_size, spec.horizon, spec.domain) == (11, 3, 1000, "locomotion")
    assert spec.action_low == tuple(hopper.c.action_space.low)
    assert spec.action_high == tuple(hopper.c.action_space.high)


def test_a_model_that_lost_its_contacts_is_refused():
    with pytest.raises(AssertionError, match="contact slots"):
        Simulator(gymnasium_model("hopper.xml", 0), frame_skip=4, contacts=9)
