"""The D4RL reader against a written-out `qlearning_dataset`, and every bad input as one line."""

import dataclasses
import hashlib
from pathlib import Path

import h5py
import numpy as np
import pytest

from fastrl.data import datasets
from fastrl.data.datasets import Dataset
from fastrl.types import Spec, UserError

OBS, ACTION = 3, 2
LIMIT = np.float32(1 - 1e-5)


def raw(seed: int = 0, rows: int = 60) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {
        "observations": rng.normal(size=(rows, OBS)).astype(np.float32),
        "actions": rng.uniform(-1, 1, (rows, ACTION)).astype(np.float32),
        "rewards": rng.normal(size=rows).astype(np.float32),
        "terminals": rng.random(rows) < 0.1,
        "timeouts": rng.random(rows) < 0.1,
    }


def write(path: Path, arrays: dict[str, np.ndarray], **options: object) -> Path:
    with h5py.File(path, "w") as file:
        for key, value in arrays.items():
            file.create_dataset(key, data=value, **options)
    return path


def qlearning_dataset(arrays: dict[str, np.ndarray], horizon: int | None) -> dict[str, np.ndarray]:
    """Row by row, with the ends of trajectories; episodes count their steps from 0, and terminal rows stay."""
    out: dict[str, list] = {k: [] for k in ("obs", "action", "reward", "mask", "next_obs", "boundary")}
    rows, step = len(arrays["rewards"]), 0
    finals = []
    for i in range(rows):
        final = step == horizon - 1 if horizon else bool(arrays["timeouts"][i])
        finals.append(final)
        step = 0 if final or arrays["terminals"][i] else step + 1
    kept = [bool(arrays["terminals"][i]) or (not finals[i] and i < rows - 1) for i in range(rows)]
    for i in range(rows):
        if not kept[i]:
            if finals[i] and i and kept[i - 1]:
                out["boundary"][-1] = True
            continue
        out["obs"].append(arrays["observations"][i])
        out["action"].append(np.clip(arrays["actions"][i], -LIMIT, LIMIT))
        out["reward"].append(float(np.squeeze(arrays["rewards"][i])))
        out["mask"].append(1.0 - float(np.squeeze(arrays["terminals"][i])))
        out["next_obs"].append(arrays["observations"][min(i + 1, rows - 1)])
        out["boundary"].append(bool(arrays["terminals"][i]))
    return {k: np.array(v) for k, v in out.items()}


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("dtype", [bool, np.uint8, np.float32])
def test_reads_what_qlearning_dataset_would(tmp_path: Path, seed: int, dtype: type) -> None:
    arrays = raw(seed)
    arrays["terminals"] = arrays["terminals"].astype(dtype)
    if seed % 2:  # the shapes of some files
        for key in ("rewards", "terminals"):
            arrays[key] = arrays[key][:, None]
    if seed == 4:
        arrays["observations"] = arrays["observations"].astype(np.float64)
    extra = {
        "next_observations": np.concatenate([arrays["observations"][1:], arrays["observations"][-1:]]),
        "infos/qpos": np.full(60, np.nan),
        "metadata/policy": np.bytes_("tanh"),
    }
    horizon = 7 if seed >= 4 else None
    if horizon:
        del arrays["timeouts"]
    path = write(tmp_path / "d.hdf5", arrays | extra)
    data = datasets.load(path, horizon=horizon)
    want = qlearning_dataset(arrays, horizon)
    assert data.rows == len(want["reward"]) < 60
    for key, value in want.items():
        got = getattr(data, key)
        assert got.dtype == (bool if key == "boundary" else np.float32)
        np.testing.assert_array_equal(got, value.astype(got.dtype), err_msg=key)
    assert data.name == str(path)
    assert data.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert datasets.load(path, horizon=horizon, sha256=data.sha256.upper()).rows == data.rows


def test_a_last_row_finishes_its_trajectory_and_stays_where_it_is_terminal(tmp_path) -> None:
    arrays = raw(rows=5) | {"terminals": np.zeros(5, bool), "timeouts": np.eye(5, dtype=bool)[4]}
    finished = datasets.load(write(tmp_path / "a.hdf5", arrays))
    assert list(finished.boundary) == [False, False, False, True]
    arrays["terminals"], arrays["timeouts"] = arrays["timeouts"], arrays["terminals"]
    terminal = datasets.load(write(tmp_path / "b.hdf5", arrays))
    assert list(terminal.boundary) == [False] * 4 + [True] and terminal.without_tail().rows == 5
    assert list(terminal.mask) == [1, 1, 1, 1, 0] and (terminal.next_obs[4] == terminal.obs[4]).all()
    open_ended = datasets.load(write(tmp_path / "c.hdf5", arrays | {"terminals": np.zeros(5, bool)}))
    assert not open_ended.boundary.any()
    with pytest.raises(UserError, match="no episode ends"):
        open_ended.without_tail()


def edit(key: str, row: int, value: float):
    def change(arrays: dict[str, np.ndarray]) -> None:
        arrays[key] = arrays[key].astype(np.float32)
        arrays[key][row] = value

    return change


def put(key: str, value: object):
    return lambda arrays: arrays.__setitem__(key, value)


BAD = [
    (lambda a: a.pop("rewards"), "has no 'rewards'"),
    (lambda a: a.pop("timeouts"), "has no 'timeouts'; give the episode length"),
    (put("rewards", np.zeros((60, 2))), r"'rewards' has shape \(60, 2\); store it as \[rows\]"),
    (put("observations", np.zeros(60)), r"'observations' has shape \(60,\); store it as \[rows, size\]"),
    (put("observations", np.zeros((60, 4, 4, 3))), "'observations' has shape"),
    (put("actions", np.zeros((60, 0))), r"'actions' has shape \(60, 0\); store it as \[rows, size\]"),
    (put("actions", np.zeros((59, 2))), "'actions' has 59 rows but 'observations' has 60"),
    (put("actions", np.array([b"x"] * 60)), "'actions' holds .S1, not numbers"),
    (edit("observations", 17, np.nan), "'observations' is not finite at row 17"),
    (edit("actions", 3, np.inf), "'actions' is not finite at row 3"),
    (edit("rewards", 59, -np.inf), "'rewards' is not finite at row 59"),
    (put("rewards", np.full(60, 1e300)), "'rewards' is not finite at row 0"),
    (edit("actions", 5, -1.01), r"'actions' is -1.01 at row 5, outside \[-1, 1\]"),
    (edit("terminals", 8, 2), "'terminals' is 2 at row 8; store 0 or 1"),
    (edit("terminals", 8, np.nan), "'terminals' is nan at row 8; store 0 or 1"),
    (edit("timeouts", 9, 0.5), "'timeouts' is 0.5 at row 9; store 0 or 1"),
    (lambda a: a.update(timeouts=np.ones(60), terminals=np.zeros(60)), "'timeouts' leave no rows"),
    (lambda a: a.update({k: v[:0] for k, v in a.items()}), "'observations' has no rows"),
    (lambda a: a.update({k: v[:1] for k, v in a.items()}), "leave no rows"),
    (
        put("next_observations", np.zeros((60, 2))),
        r"'next_observations' has shape \(60, 2\) but 'observations' has \(60,",
    ),
]


@pytest.mark.parametrize(("change", "message"), BAD)
def test_bad_contents_are_one_line(tmp_path: Path, change, message: str) -> None:
    arrays = raw()
    change(arrays)
    path = write(tmp_path / "bad.hdf5", arrays)
    with pytest.raises(UserError, match=message) as caught:
        datasets.load(path)
    one_line(caught.value, path)


def one_line(error: UserError, path: Path) -> None:
    assert str(error).startswith(f"{path}: ")
    assert "\n" not in str(error) and "; " in str(error)


def closed(path: Path) -> bool:
    raise PermissionError(13, "Permission denied")


def test_bad_files_are_one_line(tmp_path: Path) -> None:
    good = write(tmp_path / "good.hdf5", raw(), chunks=True, fletcher32=True)
    whole = good.read_bytes()

    def refused(path: Path, message: str, **options: object) -> None:
        with pytest.raises(UserError, match=message) as caught:
            datasets.load(path, **options)
        one_line(caught.value, path)

    refused(tmp_path / "none.hdf5", "no such dataset; give a D4RL HDF5 file")
    refused(tmp_path, "is a directory")
    bad = tmp_path / "bad.hdf5"
    bad.write_bytes(b"")
    refused(bad, "is empty")
    bad.write_bytes(b"observations,actions\n")
    refused(bad, "is not an HDF5 file")
    bad.write_bytes(whole[: len(whole) // 2])
    refused(bad, "the file is cut short or damaged")
    where = whole.index(raw()["actions"][10].tobytes())
    bad.write_bytes(whole[:where] + b"\xff" + whole[where + 1 :])
    refused(bad, "'actions' is cut short or damaged")
    refused(good, "not 00ff; download it again or correct the sha256", sha256="00ff")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Path, "exists", closed)
        refused(good, r"cannot be read \(Permission denied\); give a D4RL")
    group = write(tmp_path / "group.hdf5", {"observations/a": np.zeros(3)})
    refused(group, "has no 'observations' there, only observations; name the group")


def test_no_truncation_and_no_flip_of_a_checksummed_file_escapes(tmp_path: Path) -> None:
    """Whatever is cut or flipped: the same rows, or one line."""
    good = write(tmp_path / "good.hdf5", raw(), chunks=True, fletcher32=True)
    whole, rows = good.read_bytes(), datasets.load(good)
    rng = np.random.default_rng(0)
    bad = tmp_path / "bad.hdf5"
    refused = 0
    for i in range(200):
        place = int(rng.integers(len(whole)))
        flipped = bytes([whole[place] ^ (1 << int(rng.integers(8)))])
        bad.write_bytes(whole[:place] + (flipped + whole[place + 1 :] if i % 2 else b""))
        with pytest.raises(UserError, match=r"\S"):
            datasets.load(bad, sha256=rows.sha256)
        try:
            read = datasets.load(bad)
        except UserError as error:
            refused += 1
            one_line(error, bad)
        else:
            np.testing.assert_array_equal(read.obs, rows.obs)
            np.testing.assert_array_equal(read.reward, rows.reward)
    assert refused > 100


def arrays(rows: int = 6) -> dict[str, np.ndarray]:
    obs = np.arange(rows + 1, dtype=np.float64)[:, None]
    return {
        "obs": obs[:-1],
        "action": np.linspace(-1, 1, rows)[:, None],
        "reward": np.arange(rows),
        "mask": np.ones(rows),
        "next_obs": obs[1:],
    }


def test_arrays_end_trajectories_at_terminals_jumps_and_the_last_row() -> None:
    given = arrays()
    given["mask"][1] = 0
    given["next_obs"] = given["next_obs"].copy()
    given["next_obs"][3] += 1e-3
    data = Dataset.from_arrays(**given)
    assert list(np.flatnonzero(data.boundary)) == [1, 3, 5]
    np.testing.assert_array_equal(data.episode_returns(), [1, 5, 9])
    assert abs(data.action).max() == LIMIT
    data = Dataset.from_arrays(**given, boundary=[0, 0, 1, 0, 0, 0])
    assert list(np.flatnonzero(data.boundary)) == [1, 2, 3]
    whole = data.without_tail()
    assert whole.rows == 4 and whole.boundary[-1] and whole.sha256 == data.sha256
    np.testing.assert_array_equal(whole.episode_returns(), data.episode_returns())


def test_arrays_are_copied_and_identified() -> None:
    given = arrays()
    data = Dataset.from_arrays(**given, name="mine")
    same = Dataset.from_arrays(**given)
    given["obs"][0] = 7.0
    assert data.obs[0] == 0.0 and data.name == "mine"
    assert data.sha256 == same.sha256 != Dataset.from_arrays(**given).sha256


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("obs", np.full((6, 1), np.nan), "mine: 'obs' is not finite at row 0"),
        ("action", np.full((6, 1), 2.0), r"mine: 'action' is 2 at row 0, outside \[-1, 1\]"),
        ("mask", np.full(6, 0.5), "mine: 'mask' is 0.5 at row 0"),
        ("next_obs", np.zeros((6, 2)), "mine: 'next_obs' has shape"),
        ("reward", np.zeros(5), "mine: 'reward' has 5 rows but 'obs' has 6"),
        ("boundary", np.zeros(7), "mine: 'boundary' has 7 rows but 'obs' has 6"),
    ],
)
def test_bad_arrays_are_one_line(key: str, value: np.ndarray, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Dataset.from_arrays(**(arrays() | {key: value}), name="mine")


def test_a_dataset_of_another_task_is_refused(tmp_path: Path) -> None:
    data = datasets.load(write(tmp_path / "d.hdf5", raw()))
    datasets.check(data, Spec("toy", OBS, ACTION, 10), capacity=data.rows)
    with pytest.raises(UserError, match=r"observations have size 3 but toy has 4; .* another task"):
        datasets.check(data, Spec("toy", 4, ACTION, 10))
    with pytest.raises(UserError, match=r"actions have size 2 but toy has 1; .* another task"):
        datasets.check(data, Spec("toy", OBS, 1, 10))
    with pytest.raises(UserError, match="the replay holds 5; raise the capacity"):
        datasets.check(data, Spec("toy", OBS, ACTION, 10), capacity=5)


def test_other_keys_of_a_dict_are_thought_of() -> None:
    data = dataclasses.replace(Dataset.from_arrays(**arrays()), order=("achieved_goal", "observation"))
    with pytest.raises(
        UserError, match=r"another task, or other keys .*--dataset-order; now achieved_goal, observation"
    ):
        datasets.check(data, Spec("toy", 4, 1, 10))
