import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fastrl.engine import evaluate, streams
from fastrl.envs import TimeLimit, make
from fastrl.types import Algorithm, Player, Spec, Step

pytestmark = pytest.mark.usefixtures("quick")


def act(agent, obs, key, explore):
    assert explore is False
    return jnp.broadcast_to(agent, (*obs.shape[:-1], 1))


CONSTANT = Algorithm(None, act, None)


@dataclasses.dataclass(frozen=True)
class Lottery:
    """An episode of 1 to 4 steps, drawn at its reset, that pays the action, and NaN after its end."""

    spec: Spec = dataclasses.field(
        default_factory=lambda: Spec("lottery", 1, 1, horizon=3, action_low=0.0, action_high=8.0)
    )

    def reset(self, key):
        left = jax.random.randint(key, (), 1, 5)
        return left, jnp.zeros(1)

    def step(self, key, state, action):
        del key
        reward = jnp.where(state >= 1, action[0], jnp.nan)
        return state - 1, Step(jnp.zeros(1), reward, state <= 1, jnp.bool_(False))


@pytest.fixture(scope="module")
def played(quick):
    program = jax.jit(evaluate.program(TimeLimit(Lottery(), 3), CONSTANT, 50, 1))
    agents = jnp.array([0.0, 0.5])
    return [
        program(agents, streams.seeds(key, 2), jnp.int32(0), jnp.int32(index))
        for key, index in ((0, 0), (0, 0), (0, 1), (1, 0))
    ]


def test_returns_are_raw_and_stop_at_the_end_of_each_episode(played):
    first = played[0]
    assert first.episode_return.shape == first.length.shape == (2, 50)
    assert set(np.unique(first.length)) == {1, 2, 3}  # cut at the horizon
    np.testing.assert_allclose(first.episode_return, np.array([[4.0], [6.0]]) * first.length)  # in the env's bounds
    np.testing.assert_array_equal(first.last_reward, np.broadcast_to([[4.0], [6.0]], (2, 50)))


def test_streams_belong_to_seed_and_evaluation(played):
    again, later, other = played[1:]
    np.testing.assert_array_equal(played[0].length, again.length)
    for different in (later, other):
        assert (played[0].length != different.length).any()
    assert (played[0].length[0] != played[0].length[1]).any()


def test_side_by_side_plays_the_same_episodes(played):
    program = evaluate.program(TimeLimit(Lottery(), 3), CONSTANT, 50, None)
    result = jax.jit(program)(jnp.array([0.0, 0.5]), streams.seeds(0, 2), jnp.int32(0), jnp.int32(0))
    np.testing.assert_array_equal(result.length, played[0].length)


def test_a_probes_known_return():
    program = jax.jit(evaluate.program(make("probe-action"), CONSTANT, 3, 1))
    result = program(jnp.array([0.5, 0.0]), streams.seeds(0, 2), jnp.int32(0), jnp.int32(0))
    np.testing.assert_allclose(result.episode_return, [[0.0] * 3, [-0.25] * 3], atol=1e-6)


def test_an_algorithm_that_remembers_its_episode_is_played_with_its_memory():
    """It remembers what it was paid, from 0 in each episode, and asks for a sixteenth of that: 4, 5 and 6.25."""

    def play(agent, memory, obs, key, explore):
        return memory[:, None] / 16 + agent, memory

    player = Player(lambda agent: jnp.zeros(()), play, lambda memory, reward: memory + reward)
    algorithm = CONSTANT._replace(player=player)
    for block in (1, None):
        program = jax.jit(evaluate.program(TimeLimit(Lottery(), 3), algorithm, 20, block))
        result = program(jnp.array([0.0, 0.0]), streams.seeds(0, 2), jnp.int32(0), jnp.int32(0))
        assert set(np.unique(result.length)) == {1, 2, 3}
        np.testing.assert_allclose(result.episode_return, np.array([0, 4, 9, 15.25])[np.asarray(result.length)])


def test_the_last_reward_is_that_of_each_episodes_end():
    """`Counter` pays 1, 2, 3, ..., and goes on paying after its end."""

    @dataclasses.dataclass(frozen=True)
    class Counter(Lottery):
        def step(self, key, state, action):
            after, step = super().step(key, state[0], action)
            return (after, state[1] + 1), step._replace(reward=state[1] + 1)

        def reset(self, key):
            left, obs = super().reset(key)
            return (left, jnp.zeros(())), obs

    program = jax.jit(evaluate.program(TimeLimit(Counter(), 3), CONSTANT, 20, 1))
    result = program(jnp.array([0.0]), streams.seeds(0, 1), jnp.int32(0), jnp.int32(0))
    assert set(np.unique(result.length)) == {1, 2, 3}
    np.testing.assert_array_equal(result.last_reward, result.length)


def test_the_share_of_subtasks_is_the_last_reward():
    played = evaluate.Episodes(
        np.array([[7.0, 5.0], [0.0, 1.0]]), np.array([[4, 3], [9, 8]]), np.array([[3, 4], [0, 1]])
    )
    assert evaluate.rates(played, Spec("any", 1, 1, 9)) == {}
    assert evaluate.rates(played, Spec("kitchen", 1, 1, 9, subtasks=4)) == {"completed": [7 / 8, 1 / 8]}


@pytest.mark.parametrize(("failure", "returns", "expected"), [(0.0, [0, 1, 0], 1 / 3), (-1.0, [-5, -4, -1], 2 / 3)])
def test_an_episode_succeeds_when_a_step_paid_more_than_failure(failure, returns, expected):
    played = evaluate.Episodes(np.array([returns]), np.array([[5, 5, 2]]), np.zeros((1, 3)))
    found = evaluate.rates(played, Spec("any", 1, 1, 9, sparse=True, failure_reward=failure))
    assert found["success"] == pytest.approx([expected])


def test_an_episode_whose_simulation_broke_is_no_failure():
    played = evaluate.Episodes(np.array([[1.0, np.nan], [1.0, 0.0]]), np.array([[5, 5], [5, 5]]), np.zeros((2, 2)))
    first, second = evaluate.rates(played, Spec("any", 1, 1, 9, sparse=True))["success"]
    assert np.isnan(first) and second == 0.5
