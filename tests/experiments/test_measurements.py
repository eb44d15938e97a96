"""Measurements of small agents in probe environments, whose numbers are known, and against NumPy."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fastrl
from fastrl.agent import Agent
from fastrl.experiments import measurements, trajectories
from fastrl.types import UserError

pytestmark = pytest.mark.usefixtures("quick")
SMALL = {"actor_hidden": (8,), "critic_hidden": (8,), "num_critics": 2, "batch_size": 8}


def agent_of(config, env="probe-termination", seeds=2, **more):
    spec = fastrl.make(env).spec
    state = jax.lax.map(config.build(spec).init, jax.random.split(jax.random.key(0), seeds))
    return Agent(config, spec, state, **more)


def measure(agent, data, env="probe-termination", episodes=3):
    return measurements.measure(agent, env, data, episodes=episodes)


@pytest.fixture(scope="module")
def found(probe_data):
    return measure(agent_of(fastrl.SAC(**SMALL, discount=0.9), reward=(2.0, 0.5)), probe_data("probe-termination"))


def test_returns_of_episodes_and_data(found):
    assert found.mode.shape == found.sampled.shape == (2, 3) and found.data.shape == (8,)
    assert found.env == "probe-termination" and found.algorithm == "sac" and not found.sparse and found.rows == 40
    assert (found.data == 5).all() and (found.mode == found.sampled).all() and np.ptp(found.mode) == 0


def test_the_critic_against_returns_worked_out_by_hand(found, probe_data):
    agent, data = agent_of(fastrl.SAC(**SMALL, discount=0.9), reward=(2.0, 0.5)), probe_data("probe-termination")
    returns = np.tile([sum(2.5 * 0.9**k for k in range(left)) for left in (5, 4, 3, 2, 1)], 8)
    np.testing.assert_allclose(found.critic.data_return, returns.mean(), rtol=1e-5)
    np.testing.assert_allclose(found.critic.spread, returns.std(), rtol=1e-5)
    views = agent.algorithm.views
    for seed in range(2):
        state = jax.tree.map(lambda leaf, seed=seed: leaf[seed], agent.state)
        q = np.asarray(views.q(state, jnp.asarray(data.obs), jnp.asarray(data.action)))
        np.testing.assert_allclose(found.critic.data_q[seed], q.mean(), rtol=1e-4)
    length = int(found.mode[0, 0])
    own = [sum(2.5 * 0.9**k for k in range(left)) for left in range(1, length + 1)]
    np.testing.assert_allclose(found.critic.own_return, np.mean(own), rtol=1e-5)
    assert found.critic.own_error.shape == (6,)
    apart = (found.critic.own_q - found.critic.own_return).mean()
    np.testing.assert_allclose(found.critic.own_error.mean(), apart, rtol=1e-4)
    assert (found.critic.own_td > 0).all() and (found.critic.data_td > 0).all()


def test_likelihood_against_numpy(found, probe_data):
    agent, data = agent_of(fastrl.SAC(**SMALL, discount=0.9)), probe_data("probe-termination")

    def log_prob(policy, action):
        mean, std, x = np.asarray(policy.mean), np.asarray(policy.std), np.arctanh(action)
        gaussian = -0.5 * ((x - mean) / std) ** 2 - np.log(std) - 0.5 * np.log(2 * np.pi)
        return (gaussian - np.log1p(-(action**2))).sum(-1)

    noise = np.asarray(jax.random.normal(jax.random.key(0), data.action.shape))
    for seed in range(2):
        state = jax.tree.map(lambda leaf, seed=seed: leaf[seed], agent.state)
        policy = agent.algorithm.views.policy(state, jnp.asarray(data.obs))
        own = np.tanh(np.asarray(policy.mean) + np.asarray(policy.std) * noise)
        expected = log_prob(policy, own).mean() - log_prob(policy, data.action).mean()
        np.testing.assert_allclose(found.unlikely[seed], expected, rtol=1e-3)


def test_agents_without_critics_or_densities(probe_data):
    data = probe_data("probe-termination")
    cloned = measure(agent_of(fastrl.methods.ALGORITHMS["bc"](actor_hidden=(8,), batch_size=8), seeds=1), data)
    assert cloned.critic == "bc has no critic of actions" and cloned.unlikely is not None
    still = measure(agent_of(fastrl.methods.ALGORITHMS["td3"](**SMALL), seeds=1), data)
    assert still.unlikely is None and still.critic.own_error.shape == (3,)


def test_what_is_cut_too_early_cannot_be_judged(probe_data):
    agent = agent_of(fastrl.SAC(**SMALL, discount=0.99), "probe-truncation")
    found = measure(agent, probe_data(), "probe-truncation")
    assert found.critic == "every trajectory of the data is cut before its return is known"
    data = dataclasses.replace(probe_data(), mask=1.0 - probe_data().boundary)
    assert measure(agent, data, "probe-truncation").critic.own_error.size == 0


def test_episodes_are_the_agents_own(probe_data):
    agent = agent_of(fastrl.SAC(**SMALL), "probe-action", seeds=1)
    paths = measurements.rollouts(fastrl.make("probe-action"), agent, 4, key=0)[0]
    actions = np.concatenate([path.action for path in paths])
    assert len(np.unique(actions)) == len(actions) == 4  # sampled, one step each
    rewards = np.concatenate([path.reward for path in paths])
    np.testing.assert_allclose(rewards, -((actions[:, 0] - 0.5) ** 2), atol=1e-4)
    assert trajectories.joined(paths)[1].all() and all(path.terminal.all() for path in paths)


def test_another_task_is_refused(probe_data):
    with pytest.raises(UserError, match="the agent is of probe-termination"):
        measure(agent_of(fastrl.SAC(**SMALL)), probe_data(), "pointmaze-umaze")
