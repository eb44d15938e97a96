"""Scores by what a dataset says of itself: D4RL's own numbers where they apply, none elsewhere."""

import numpy as np
import pytest

from fastrl.data import scores


@pytest.mark.parametrize("task", ["pen", "door", "hammer", "relocate"])
def test_minaris_copies_of_d4rls_data(task):
    low, high = scores.REFERENCES[task]
    bounds = scores.reference("minari", f"D4RL/{task}/cloned-v2")
    np.testing.assert_allclose(scores.score(np.array([low, high]), bounds), [0, 100])


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("d4rl", "hopper-medium-v2"),  # a file's name is anybody's
        ("d4rl", "D4RL/door/cloned-v2"),
        ("minari", "mujoco/hopper/medium-v0"),  # another version of the task
        ("minari", "D4RL/kitchen/complete-v2"),
        ("minari", "mine/D4RL/pen/human-v2"),
    ],
)
def test_others_have_no_score(kind, name):
    assert scores.reference(kind, name) is None
