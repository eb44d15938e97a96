"""Scores by name: D4RL's own numbers where they apply, none elsewhere."""

import numpy as np
import pytest

from fastrl.data import scores


@pytest.mark.parametrize(
    ("name", "task"),
    [
        ("hopper-medium-v2", "hopper"),
        ("halfcheetah_medium_replay-v2", "halfcheetah"),
        ("ant-medium-expert-v0", "ant"),
        ("pen-human-v1", "pen"),
        ("D4RL/door/cloned-v2", "door"),
        ("maze2d-umaze-v1", "maze2d-umaze"),
    ],
)
def test_names_of_d4rl(name, task):
    low, high = scores.REFERENCES[task]
    np.testing.assert_allclose(scores.score(np.array([low, high]), scores.reference(name)), [0, 100])


@pytest.mark.parametrize(
    "name",
    [
        "hopper-medium",  # no version: not D4RL's file
        "my-hopper-medium-v2",
        "mujoco/hopper/medium-v0",  # another version of the task
        "antmaze-umaze-v2",
        "D4RL/kitchen/complete-v2",
        "pointmaze-umaze",
    ],
)
def test_other_names_have_no_score(name):
    assert scores.reference(name) is None


def test_a_published_score():
    """Hopper's expert returns 3234.3 and halfway from random is 50."""
    assert scores.score(np.array([(3234.3 - 20.272305) / 2]), scores.reference("hopper-expert-v2"))[0] == 50
