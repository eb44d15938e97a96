"""robomimic's tree, written as its own datasets are, and what is asked of whoever names it."""

import h5py
import numpy as np
import pytest

from fastrl.data import datasets
from fastrl.data.sources import Source
from fastrl.types import UserError


@pytest.fixture
def path(tmp_path):
    """Twelve demonstrations of ten rows; the second one ends without being done."""
    rng = np.random.default_rng(0)
    with h5py.File(tmp_path / "low_dim.hdf5", "w") as file:
        for number in range(12):
            demo = file.create_group(f"data/demo_{number}")
            state = rng.normal(size=(11, 3)) + 100 * number
            demo["actions"], demo["rewards"] = rng.uniform(-1, 1, (10, 2)), np.arange(10.0) == 9
            demo["dones"] = (np.arange(10) == 9) & (number != 1)
            for key, column in (("position", state[:, :2]), ("angle", state[:, 2:])):
                demo[f"obs/{key}"], demo[f"next_obs/{key}"] = column[:-1], column[1:]
        file["mask/train"] = np.array([b"demo_0"])
    return tmp_path / "low_dim.hdf5"


def test_demonstrations_are_episodes_in_the_order_of_their_numbers(path):
    data = datasets.load(path, order=("angle", "position"))
    assert Source(path).find()[0] == "robomimic" and data.order == ("angle", "position")
    assert data.rows == 12 * 10 - 1 and (data.mask == 0).sum() == 11  # the cut one loses its last row
    assert (np.diff(np.round(data.obs[:, 0], -2)) >= 0).all()
    np.testing.assert_array_equal(np.flatnonzero(data.boundary)[:3], [9, 18, 28])
    whole = datasets.load(path, order=("position",), next_observations="file")
    assert whole.rows == 120 and whole.obs.shape[1] == 2
    with h5py.File(path) as file:
        np.testing.assert_allclose(whole.next_obs[19], file["data/demo_1/next_obs/position"][9], rtol=1e-6)


def test_the_order_must_be_stated_and_keys_must_be_there(path):
    for order, match in (
        ((), "demo_0 observes angle, position; say which"),
        (("speed",), "observations have no 'speed'"),
    ):
        with pytest.raises(UserError, match=match) as caught:
            datasets.load(path, order=order)
        assert "\n" not in str(caught.value)
    with h5py.File(path, "a") as file:
        del file["data/demo_3/rewards"]
    with pytest.raises(UserError, match="demo_3 has no 'rewards'"):
        datasets.load(path, order=("angle",))
