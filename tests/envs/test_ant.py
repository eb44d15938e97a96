import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fastrl.envs import make
from fastrl.envs.simulator import Physics


@pytest.mark.slow
def test_every_step_is_gymnasiums_with_contact_forces(beside, quick):
    ant = beside("ant")
    columns = ant.rollout(100)
    assert np.abs(columns[-3][:, 27:]).max() == 1.0, "no clipped contact force was observed"
    ant.agree(columns)


class Falls:
    """A simulator that drops the torso, and says that it was at x = 2 at the last evaluation."""

    timestep = 0.01

    def __init__(self, simulator):
        self.start = simulator.start

    def step(self, state, control):
        after = Physics(state.qpos.at[2].set(0.1), state.qvel, state.warmstart)
        return after, Physics(state.qpos.at[0].set(2.0), state.qvel, state.warmstart)

    def external_forces(self, state, control):
        return jnp.full((14, 6), 3.0)


@pytest.mark.parametrize("version", ["v4", "v5"])
def test_velocity_lags_and_only_v5_observes_and_pays_for_forces(version):
    env = make("ant", version=version).env
    env = dataclasses.replace(env, simulator=Falls(env.simulator))
    state, obs = env.from_physics(jnp.zeros(15).at[0].set(1.0), jnp.zeros(14))
    assert obs.shape == (27 if version == "v4" else 105,)
    state, step = env.step(jax.random.key(0), state, jnp.ones(8))
    velocity, control = (2.0 - 1.0) / 0.05, 0.5 * 8
    assert step.terminated and float(state.torso[0]) == 2.0
    if version == "v4":
        assert float(step.reward) == pytest.approx(velocity - control + 1.0)
    else:
        assert float(step.reward) == pytest.approx(velocity - control - 5e-4 * 14 * 6)
        np.testing.assert_array_equal(step.obs[27:], 1.0)
