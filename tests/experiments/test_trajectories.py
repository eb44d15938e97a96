"""Trajectories against NumPy and against cases worked out by hand."""

import numpy as np
import pytest

from fastrl.data.datasets import Dataset
from fastrl.experiments import trajectories
from fastrl.experiments.trajectories import Path


def path(rewards, terminal=False, obs=None):
    length = len(rewards)
    ends = np.arange(length) == length - 1
    obs = np.zeros((length, 1)) if obs is None else obs
    return Path(obs, np.zeros((length, 1)), np.array(rewards, float), ends & terminal, obs)


def line(terminals, ends, start=0.0):
    """A dataset whose observations count up; each row starts where the last one ended."""
    rows = len(terminals)
    obs = start + np.arange(rows, dtype=float)[:, None]
    reward = np.array(terminals, float)
    return Dataset.from_arrays(obs, np.zeros((rows, 1)), reward, 1 - reward, obs + 1, np.array(ends))


def test_a_run_of_terminals_is_one_trajectory_with_one_success():
    data = line([0, 0, 1, 1, 1, 0, 0], [0, 0, 1, 1, 1, 0, 1])
    found = trajectories.of_data(data)
    assert [len(one.reward) for one in found] == [5, 2]
    assert [trajectories.score(one, None) for one in found] == [1.0, 0.0]
    assert [trajectories.score(one, 0.0) for one in found] == [1.0, 0.0]
    assert len(data.episode_returns()) == 4  # as learning sees them


def test_an_unfinished_tail_is_left_out_and_nothing_is_no_trajectory():
    assert [len(one.reward) for one in trajectories.of_data(line([0, 1, 0, 0], [0, 1, 0, 0]))] == [2]
    assert trajectories.of_data(line([0, 0], [0, 0])) == []


def test_scores_are_returns_up_to_the_first_terminal():
    assert trajectories.score(path([1.0, 2.0, -0.5]), None) == 2.5
    assert trajectories.score(path([-1.0, -1.0]), -1.0) == 0.0 and trajectories.score(path([-1.0, 0.0]), -1.0) == 1.0


def test_episodes_end_where_they_are_not_alive():
    rows = {name: np.arange(12.0).reshape(4, 3, 1) for name in ("obs", "action", "next_obs")}
    rows |= {"reward": np.ones((4, 3)), "terminal": np.zeros((4, 3), bool)}
    rows["alive"] = np.arange(4)[:, None] < np.array([4, 1, 2])
    found = trajectories.of_rows(rows)
    assert [len(one.reward) for one in found] == [4, 1, 2]
    np.testing.assert_array_equal(found[2].obs[:, 0], [2, 5])
    together, ends = trajectories.joined(found)
    np.testing.assert_array_equal(np.flatnonzero(ends), [3, 4, 6])
    np.testing.assert_array_equal(together.obs[:, 0], [0, 3, 6, 9, 1, 2, 5])


@pytest.mark.parametrize("discount", [0.5, 0.9])
def test_returns_are_known_where_what_is_hidden_is_small(discount):
    rng = np.random.default_rng(0)
    reward, mask, boundary = rng.normal(size=60), np.ones(60), np.zeros(60, bool)
    boundary[[19, 39]] = True
    mask[19] = 0.0  # the first trajectory ends, the second is cut, the third is a tail
    found, known = trajectories.returns(reward, mask, boundary, discount, None)
    for i in range(60):
        end = 20 if i < 20 else 40 if i < 40 else 60
        expected = sum(discount**k * reward[i + k] for k in range(end - i))
        np.testing.assert_allclose(found[i], expected, rtol=1e-5)
        assert known[i] == (i < 20 or discount ** (end - i) <= 0.05)


def test_failing_for_ever_is_known():
    reward, boundary = np.array([-5.0, -5.0, -5.0, 5.0]), np.array([0, 1, 0, 1], bool)
    found, known = trajectories.returns(reward, np.array([1.0, 1, 1, 0]), boundary, 0.9, -5.0)
    np.testing.assert_allclose(found, [-50, -50, -0.5, 5], rtol=1e-5)
    assert known.all()


def test_the_share_of_states_inside_the_data():
    rng = np.random.default_rng(0)
    draw = lambda count, size=50, shift=0.0: [
        path(np.zeros(size), obs=rng.normal(shift, 3, (size, 2))) for _ in range(count)
    ]
    like, far = draw(20), draw(3, shift=40.0)
    shares = trajectories.inside(draw(40), [like, far, [*far, *draw(3)]])
    assert 0.9 < shares[0] <= 0.99 and shares[1] == 0.0 and 0.4 < shares[2] < 0.5
    assert trajectories.inside(draw(1), [like]) is None


def test_distances_and_draws_against_numpy():
    rng = np.random.default_rng(1)
    first, second = rng.normal(size=(5, 3)), rng.normal(size=(4, 3))
    expected = np.linalg.norm(first[:, None] - second, axis=-1)
    np.testing.assert_allclose(trajectories._distances(first, second), expected, rtol=1e-6)
    drawn = trajectories.some(np.arange(100), 10)
    assert len(set(drawn)) == 10 and (np.diff(drawn) > 0).all() and len(trajectories.some(np.arange(5), 10)) == 5
