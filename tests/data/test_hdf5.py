"""An array that claims more than its file holds is not filled with zeros until memory ends."""

import h5py
import numpy as np
import pytest

from fastrl.data import datasets, hdf5
from fastrl.types import UserError


def test_arrays_come_as_they_are_stored(tmp_path):
    want = np.arange(12.0).reshape(6, 2)
    with h5py.File(tmp_path / "d.hdf5", "w") as file:
        file["plain"] = want
        file.create_dataset("small", data=want, chunks=(4, 2), compression="gzip", maxshape=(None, 2))
        file.create_dataset("unwritten", (6, 2), "f4", chunks=(2, 2))
        for key in ("plain", "small"):
            np.testing.assert_array_equal(hdf5.array(file[key]), want)
        assert not hdf5.array(file["unwritten"]).any()


@pytest.mark.parametrize(("chunk", "rows"), [(20, 1 << 23), (20, 1 << 15), (1 << 16, 1 << 23)])
def test_a_shape_that_was_blown_up_is_damage(tmp_path, chunk, rows):
    path = tmp_path / "d.hdf5"
    with h5py.File(path, "w") as file:
        for key in ("rewards", "terminals", "timeouts"):
            file[key] = np.arange(60) % 20 == 19
        file["actions"] = np.zeros((60, 2))
        file.create_dataset("observations", data=np.zeros((60, 3), "f"), chunks=(chunk, 3), maxshape=(None, 3))
    assert datasets.load(path).rows == 57
    with h5py.File(path, "a") as file:
        file["observations"].resize(60 + rows, 0)  # what one flipped bit does
    with pytest.raises(UserError, match="'observations' is cut short or damaged; download it again"):
        datasets.load(path)
