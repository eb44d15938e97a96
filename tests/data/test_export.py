"""What is written comes back to the last bit, here and in Minari's own reader; the layout is what D4RL expects."""

import resource
import types

import h5py
import minari
import numpy as np
import pytest

from fastrl.data import d4rl, datasets, export, minari_files
from fastrl.data.datasets import Dataset
from fastrl.types import UserError


def walk(seed, tail=True, rows=80):
    """Trajectories with every kind of end: terminal, runs of terminals, cut, jump; perhaps an unfinished tail."""
    rng = np.random.default_rng(seed)
    ends = rng.random(rows) < 0.2
    terminal = ends & (rng.random(rows) < 0.5)
    ends[-1] = terminal[-1] = not tail
    path = rng.normal(size=(rows + 1, 3)).astype("f")
    following = path[1:].copy()
    torn = ends & (rng.random(rows) < 0.7)  # others end where the next one starts, as AntMaze's runs of terminals
    following[torn] = rng.normal(size=(torn.sum(), 3))
    action = rng.uniform(-1, 1, (rows, 2))
    return Dataset.from_arrays(path[:-1], action, rng.normal(size=rows), ~terminal, following, ends)


def check_equal(got, want):
    for field in ("obs", "action", "reward", "mask", "next_obs", "boundary"):
        np.testing.assert_array_equal(getattr(got, field), getattr(want, field), err_msg=field)
        assert getattr(got, field).dtype == getattr(want, field).dtype


@pytest.mark.parametrize("seed", range(4))
def test_both_formats_come_back_to_the_last_bit(tmp_path, seed):
    data = walk(seed, tail=seed % 2 == 0)
    assert data.boundary[-1] == (seed % 2 == 1) and (data.mask == 0).any()
    export.save_d4rl(data, tmp_path / "d.hdf5")
    check_equal(datasets.load(tmp_path / "d.hdf5"), data)
    folder = export.save_minari(data, "tests/walk-v0", tmp_path)
    check_equal(datasets.load(folder), data)
    check_equal(datasets.load("tests/walk-v0", root=tmp_path), data)


def test_minari_reads_what_was_written(tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path))
    data = walk(0)
    export.save_minari(data, "tests/walk-v0")
    assert "tests/walk-v0" in minari.list_local_datasets()
    read = minari.load_dataset("tests/walk-v0")
    episodes = list(read.iterate_episodes())
    assert read.total_steps == data.rows and len(episodes) == read.total_episodes == data.boundary.sum() + 1
    for field, column in (("actions", data.action), ("rewards", data.reward), ("terminations", data.mask == 0)):
        np.testing.assert_array_equal(np.concatenate([getattr(e, field) for e in episodes]), column)
    np.testing.assert_array_equal(np.concatenate([e.observations[:-1] for e in episodes]), data.obs)
    np.testing.assert_array_equal(np.concatenate([e.observations[1:] for e in episodes]), data.next_obs)
    ended = [bool(e.terminations[-1] or e.truncations[-1]) for e in episodes]
    assert ended == [True] * (len(episodes) - 1) + [False]
    with pytest.raises(UserError, match="exists already"):
        export.save_minari(data, "tests/walk-v0")
    with pytest.raises(UserError, match="'walks' is no Minari id"):
        export.save_minari(data, "walks")
    assert sorted(p.name for p in (tmp_path / "tests").iterdir()) == ["walk-v0"]


def test_only_trajectories_that_need_a_closing_row_get_one():
    data = Dataset.from_arrays(
        obs=[[0], [1], [2], [3], [10]],
        action=np.full((5, 1), 0.5),
        reward=[1, 2, 3, 4, 5],
        mask=[1, 0, 0, 1, 1],
        next_obs=[[1], [2], [3], [4], [11]],
        boundary=[0, 1, 1, 1, 0],
    )
    columns = export.columns(data)
    np.testing.assert_array_equal(columns["observations"][:, 0], [0, 1, 2, 3, 4, 10, 11])
    np.testing.assert_array_equal(columns["rewards"], [1, 2, 3, 4, 0, 5, 0])
    np.testing.assert_array_equal(columns["terminals"], [0, 1, 1, 0, 0, 0, 0])
    np.testing.assert_array_equal(columns["timeouts"], [0, 0, 0, 0, 1, 0, 0])


def test_a_written_file_has_checksums_and_is_never_overwritten(tmp_path):
    path, columns = tmp_path / "maze.hdf5", export.columns(walk(1))
    export.save_d4rl({**columns, "infos/qpos": columns["observations"]}, path)
    with h5py.File(path) as file:
        for field, column in columns.items():
            np.testing.assert_array_equal(file[field][:], column)
            assert file[field].dtype in (np.float32, bool)
            assert file[field].compression == "gzip" and file[field].fletcher32 and file[field].shuffle
        assert file["infos/qpos"].shape == columns["observations"].shape
    with pytest.raises(UserError, match="exists already"):
        d4rl.write(path, columns)
    with pytest.raises(UserError, match="no folder"):
        d4rl.write(tmp_path / "missing" / "maze.hdf5", columns)
    assert [p.name for p in tmp_path.iterdir()] == ["maze.hdf5"]


def test_no_flipped_bit_of_a_written_file_escapes(tmp_path):
    """Not even one in the header of `timeouts`, for which a horizon could stand in."""
    path = tmp_path / "d.hdf5"
    export.save_d4rl(walk(1, rows=12), path)
    whole = path.read_bytes()
    for at in range(0, len(whole), 3):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << at % 8]) + whole[at + 1 :])
        with pytest.raises(UserError):
            datasets.load(path, horizon=7)


def test_where_nothing_can_be_written_is_one_line(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="walk-v0: cannot be written"):
        export.save_minari(walk(0), "tests/walk-v0", tmp_path / "file")

    usage = types.SimpleNamespace(free=10_000)
    monkeypatch.setattr(minari_files.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(UserError, match=r"walk-v0: may need .* bytes, more than the disk has free"):
        export.save_minari(walk(0), "walk-v0", tmp_path)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(UserError, match=r"d.hdf5: cannot be written \(.*too large"):
            export.save_d4rl(walk(0), tmp_path / "d.hdf5")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_folder_that_is_closed_is_one_line(tmp_path, monkeypatch):
    def closed(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(d4rl.Path, "exists", closed)
    with pytest.raises(UserError, match=r"d.hdf5: cannot be written \(.*denied"):
        export.save_d4rl(walk(0), tmp_path / "d.hdf5")
    with pytest.raises(UserError, match=r"walk-v0: cannot be written \(.*denied"):
        export.save_minari(walk(0), "walk-v0", tmp_path)
