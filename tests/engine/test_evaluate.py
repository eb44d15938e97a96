import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fastrl.engine import evaluate, seeds
from fastrl.envs import TimeLimit, make
from fastrl.types import Algorithm, Spec, Step

pytestmark = pytest.mark.usefixtures("quick")


def act(agent, obs, key, explore):
    assert explore is False
    return jnp.broadcast_to(agent, (*obs.shape[:-1], 1))


CONSTANT = Algorithm(None, act, None)


@dataclasses.dataclass(frozen=True)
class Lottery:
    """An episode of 1 to 4 steps, drawn at its reset, that pays the action; it goes on paying after its end."""

    spec: Spec = dataclasses.field(
        default_factory=lambda: Spec("lottery", 1, 1, horizon=3, action_low=0.0, action_high=8.0)
    )

    def reset(self, key):
        left = jax.random.randint(key, (), 1, 5)
        return left, jnp.zeros(1)

    def step(self, key, state, action):
        del key
        return state - 1, Step(jnp.zeros(1), action[0], state <= 1, jnp.bool_(False))


@pytest.fixture(scope="module")
def played(quick):
    program = jax.jit(evaluate.program(TimeLimit(Lottery(), 3), CONSTANT, 50, False))
    agents = jnp.array([0.0, 0.5])
    return [program(agents, seeds.keys(key, 2), jnp.int32(index)) for key, index in ((0, 0), (0, 0), (0, 1), (1, 0))]


def test_returns_are_raw_and_stop_at_the_end_of_each_episode(played):
    first = played[0]
    assert first.episode_return.shape == first.length.shape == (2, 50)
    assert set(np.unique(first.length)) == {1, 2, 3}  # cut at the horizon
    np.testing.assert_allclose(first.episode_return, np.array([[4.0], [6.0]]) * first.length)  # in the env's bounds


def test_streams_belong_to_seed_and_evaluation(played):
    again, later, other = played[1:]
    np.testing.assert_array_equal(played[0].length, again.length)
    for different in (later, other):
        assert (played[0].length != different.length).any()
    assert (played[0].length[0] != played[0].length[1]).any()


def test_side_by_side_plays_the_same_episodes(played):
    program = evaluate.program(TimeLimit(Lottery(), 3), CONSTANT, 50, True)
    result = jax.jit(program)(jnp.array([0.0, 0.5]), seeds.keys(0, 2), jnp.int32(0))
    np.testing.assert_array_equal(result.length, played[0].length)


def test_a_probes_known_return():
    program = jax.jit(evaluate.program(make("probe-action"), CONSTANT, 3, False))
    result = program(jnp.array([0.5, 0.0]), seeds.keys(0, 2), jnp.int32(0))
    np.testing.assert_allclose(result.episode_return, [[0.0] * 3, [-0.25] * 3], atol=1e-6)
