"""An array that claims more than its file holds is not filled with zeros until memory ends."""

import h5py
import numpy as np
import pytest

from fastrl.data import datasets, export, hdf5
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
        for key in ("rewards", "timeouts"):
            file[key] = np.arange(60) % 20 == 19
        file["terminals"] = np.zeros(60)
        file["actions"] = np.zeros((60, 2))
        file.create_dataset("observations", data=np.zeros((60, 3), "f"), chunks=(chunk, 3), maxshape=(None, 3))
    assert datasets.load(path).rows == 57
    with h5py.File(path, "a") as file:
        file["observations"].resize(60 + rows, 0)  # what one flipped bit does
    with pytest.raises(UserError, match="'observations' is cut short or damaged; download it again"):
        datasets.load(path)


def columns():
    rng = np.random.default_rng(0)
    return {
        "observations": rng.normal(size=(60, 3)),
        "actions": rng.uniform(-1, 1, (60, 2)),
        "rewards": rng.normal(size=60),
        "terminals": np.zeros(60),
        "timeouts": np.arange(60) % 20 == 19,
    }


def write(path, leave_out="", group="/"):
    with h5py.File(path, "w") as file:
        for key, value in columns().items():
            if key != leave_out:
                file[f"{group}/{key}"] = value
    return path


def external_link(file, other):
    file["rewards"] = h5py.ExternalLink(str(other), "/rewards")


def soft_to_external(file, other):
    file["away"] = h5py.ExternalLink(str(other), "/")
    file["rewards"] = h5py.SoftLink("/away/rewards")


def missing_external_link(file, other):
    file["rewards"] = h5py.ExternalLink(str(other.with_name("gone.hdf5")), "/rewards")


def raw_storage(file, other):
    layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    layout.set_external(str(other).encode(), 0, 480)
    h5py.h5d.create(file.id, b"rewards", h5py.h5t.IEEE_F64LE, h5py.h5s.create_simple((60,)), layout)


def virtual(file, other):
    layout = h5py.VirtualLayout((60,), float)
    layout[:] = h5py.VirtualSource(str(other), "rewards", (60,))
    file.create_virtual_dataset("rewards", layout)


def circle(file, other):
    file["rewards"] = h5py.SoftLink("/again")
    file["again"] = h5py.SoftLink("/rewards")


@pytest.mark.parametrize(
    "leave", [external_link, soft_to_external, missing_external_link, raw_storage, virtual, circle]
)
def test_what_lies_in_another_file_is_refused(tmp_path, leave):
    other, path = write(tmp_path / "private.hdf5"), write(tmp_path / "d.hdf5", leave_out="rewards")
    with h5py.File(path, "a") as file:
        leave(file, other)
    with pytest.raises(UserError, match=r"rewards' is stored outside of the file \(.*\); copy its numbers") as caught:
        datasets.load(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


def test_an_episode_of_minari_that_is_a_link_is_refused(tmp_path):
    data = datasets.load(write(tmp_path / "d.hdf5"))
    for place in ("episode_1", "episode_1/rewards"):
        root = tmp_path / place.replace("/", "-")
        main = export.save_minari(data, "walk-v0", root) / "data" / "main_data.hdf5"
        with h5py.File(main, "a") as file:
            file.move(place, "hidden")
            file[place] = h5py.ExternalLink(str(tmp_path / "d.hdf5"), "/rewards")
            del file["hidden"]
        with pytest.raises(UserError, match="stored outside of the file"):
            datasets.load(root / "walk-v0")
    (root / "walk-v0/data/main_data.hdf5").rename(tmp_path / "main_data.hdf5")
    (root / "walk-v0/data/main_data.hdf5").symlink_to(tmp_path / "main_data.hdf5")
    with pytest.raises(UserError, match=r"main_data\.hdf5 is a link out of the folder"):
        datasets.load(root / "walk-v0")


def test_links_inside_of_the_file_are_followed(tmp_path):
    path = write(tmp_path / "d.hdf5")
    with h5py.File(path, "a") as file:
        file.move("rewards", "kept/r")
        file["rewards"] = h5py.SoftLink("kept/r")
    np.testing.assert_array_equal(
        datasets.load(path).reward, columns()["rewards"].astype("f")[:59][~columns()["timeouts"][:59]]
    )


def test_arrays_below_a_group_are_read_by_its_name(tmp_path):
    path = write(tmp_path / "d.hdf5", group="/runs/first")
    data = datasets.load(f"{path}:/runs/first")
    assert data.rows == 57 and data.name == f"{path}:/runs/first"
    with pytest.raises(
        UserError, match=f"has no 'observations' there, but its group 'runs/first' has; name it as {path}:/runs/first"
    ):
        datasets.load(path)
    with pytest.raises(UserError, match="no such dataset"):
        datasets.load(f"{tmp_path}/gone.hdf5:/runs")
    with pytest.raises(UserError, match="has no 'observations' there, but its group"):
        datasets.load(f"{path}:/walks")
