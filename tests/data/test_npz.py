"""Flat npz files: D4RL's layout, OGBench's, whole transitions, and damage as one line."""

import numpy as np
import pytest

from fastrl.data import datasets
from fastrl.types import UserError


def columns(rows=12):
    rng = np.random.default_rng(0)
    obs = rng.normal(size=(rows, 3)).astype("f")
    return {
        "observations": obs,
        "actions": rng.uniform(-0.9, 0.9, (rows, 2)).astype("f"),
        "rewards": np.arange(rows, dtype="f"),
        "terminals": np.arange(rows) == 4,
        "timeouts": np.arange(rows) == 9,
    }


def test_rows_that_follow_one_another_are_read_as_from_hdf5(tmp_path):
    np.savez(tmp_path / "d.npz", **columns())
    data = datasets.load(tmp_path / "d.npz")
    np.testing.assert_array_equal(data.reward, [0, 1, 2, 3, 4, 5, 6, 7, 8, 10])
    np.testing.assert_array_equal(np.flatnonzero(data.boundary), [4, 8])
    np.testing.assert_array_equal(np.flatnonzero(data.mask == 0), [4])
    np.testing.assert_array_equal(data.next_obs, columns()["observations"][data.reward.astype(int) + 1])


def test_whole_transitions_keep_every_row(tmp_path):
    given = columns()
    following = np.roll(given["observations"], -1, axis=0)
    following[6] += 1  # a jump
    np.savez_compressed(tmp_path / "d.npz", **given, next_observations=following)
    with pytest.raises(
        UserError, match=r"in 1 of 9 rows 'next_observations' is not the next row's .*--next-observations file"
    ):
        datasets.load(tmp_path / "d.npz")
    data = datasets.load(tmp_path / "d.npz", next_observations="file")
    assert data.notes == ("1 of 12 rows end no episode and are not followed by their successor",)
    np.testing.assert_array_equal(data.next_obs, following)
    np.testing.assert_array_equal(np.flatnonzero(data.boundary), [4, 6, 9])
    assert data.rows == 12


def test_ogbenchs_terminals_end_trajectories_and_masks_end_bootstraps(tmp_path):
    given = columns()
    del given["timeouts"]
    given["terminals"] = np.isin(np.arange(12), (5, 11)).astype("f")
    given["masks"] = (np.arange(12) != 4).astype("f")
    np.savez(tmp_path / "d.npz", **given)
    data = datasets.load(tmp_path / "d.npz")
    np.testing.assert_array_equal(data.reward, [0, 1, 2, 3, 4, 6, 7, 8, 9, 10])  # as its own loader drops the last rows
    np.testing.assert_array_equal(np.flatnonzero(data.mask == 0), [4])
    np.testing.assert_array_equal(np.flatnonzero(data.boundary), [4, 9])


def test_bad_files_are_one_line(tmp_path):
    path = tmp_path / "d.npz"

    def refused(match, **arrays):
        np.savez(path, **arrays)
        with pytest.raises(UserError, match=match) as caught:
            datasets.load(path)
        assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)

    given = columns()
    refused("has no 'rewards'", **{k: v for k, v in given.items() if k != "rewards"})
    refused("'rewards' is not finite at row 3", **{**given, "rewards": np.where(np.arange(12) == 3, np.nan, 1)})
    refused("'masks' is 2 at row 0", **{k: v for k, v in given.items() if k != "timeouts"}, masks=np.full(12, 2))
    refused("'masks' .* and 'timeouts' .*; leave one of them out", **given, masks=1 - given["terminals"])
    refused("'next_observations' has shape", **given, next_observations=np.zeros((12, 4)))
    refused("'rewards' holds Python objects; store it as one float32 array", **given | {"rewards": np.array([{}] * 12)})
    np.savez(path, **given)
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(UserError, match="cut short or damaged"):
        datasets.load(path)
    np.savez(path, **given)
    whole = bytearray(path.read_bytes())
    whole[whole.index(b"PK\x01\x02") + 8] ^= 1  # the first array is encrypted, says this bit
    path.write_bytes(whole)
    with pytest.raises(UserError, match="cut short or damaged"):
        datasets.load(path)
    np.save(tmp_path / "d.npy", np.zeros(3))
    with pytest.raises(UserError, match=r"one NumPy array; .* `fastrl datasets convert`"):
        datasets.load(tmp_path / "d.npy")
