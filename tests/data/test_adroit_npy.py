"""Pickled demonstrations: never read unasked, and cut as the papers cut them."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from fastrl.data import adroit_npy
from fastrl.types import UserError


def save(path, items):
    column = np.empty(len(items), object)
    column[:] = items
    np.save(path, column, allow_pickle=True)
    return path


def trajectory(reward, nested, first=0.0):
    obs = first + np.arange(len(reward) + 1.0)[:, None] * [1, 1]
    state = [{"state_observation": row} for row in obs] if nested else list(obs)
    found = {
        "observations": state[:-1],
        "actions": np.full((len(reward), 3), 1.5),
        "rewards": np.array(reward)[:, None],
    }
    return {**found, "next_observations": state[1:]} if nested else found


def test_two_files_become_one_dataset(tmp_path):
    expert = save(tmp_path / "expert.npy", [trajectory([-1, 0, 0, -1], True), trajectory([-1, -1], True, 50)])
    cloned = save(tmp_path / "bc.npy", [trajectory([-1, 0, -1, 0], False, 100)])
    data = adroit_npy.convert([expert, cloned], allow_pickle=True)
    assert data.obs[:, 0].tolist() == [0, 1, 2, 100, 101, 102, 103]
    assert data.next_obs[:, 0].tolist() == [1, 2, 3, 101, 102, 103, 103]  # the last success needs none
    assert data.mask.tolist() == [1, 0, 0, 1, 0, 1, 0]
    assert data.boundary.tolist() == [False, True, True, False, True, False, True]
    failed = save(tmp_path / "failed.npy", [trajectory([-1, 0, -1], False)])
    assert adroit_npy.convert([failed], allow_pickle=True).rows == 2
    assert data.action.max() < 1


class Bomb:
    def __reduce__(self):
        return Path.touch, (Path("exploded"),)


def test_a_pickle_is_not_opened_unasked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = save(tmp_path / "bomb.npy", [Bomb()])
    with pytest.raises(UserError, match="runs any code that is in it; add --allow-pickle") as caught:
        adroit_npy.convert([path], allow_pickle=False)
    assert "\n" not in str(caught.value) and not Path("exploded").exists()


def test_what_is_no_list_of_trajectories_is_one_line(tmp_path):
    path = tmp_path / "d.npy"
    for content in (b"", b"\x93NUMPY", pickle.dumps({"a": 1})):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"is empty|is no list of trajectories"):
            adroit_npy.convert([path], True)
    with pytest.raises(UserError, match=r"is no list of trajectories \(KeyError"):
        adroit_npy.convert([save(path, [{"observations": [[1.0], [2.0]]}])], True)
    with pytest.raises(UserError, match="no such dataset"):
        adroit_npy.convert([tmp_path / "gone.npy"], True)
