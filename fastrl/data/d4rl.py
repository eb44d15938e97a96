"""Reads D4RL HDF5 files as D4RL's `qlearning_dataset` does, and writes them. Knows nothing of training.

One dataset a key at the root of the file: observations [N, O], actions [N, A], rewards [N],
terminals [N], timeouts [N] (absent from old files). `infos/*`, `metadata/*` and `next_observations`
are never read.
"""

import io
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np

from fastrl.data import hdf5, validate
from fastrl.data.rows import Rows
from fastrl.types import UserError

SUFFIXES = (".hdf5", ".h5")
RANKS = {"observations": 2, "actions": 2, "rewards": 1, "terminals": 1, "timeouts": 1}


def read(path: Path, horizon: int | None) -> Rows:
    """The rows of a D4RL file; `horizon` stands in for `timeouts` where the file has none."""
    return rows_of(str(path), _arrays(path), horizon)


def rows_of(where: str, arrays: dict[str, np.ndarray], horizon: int | None) -> Rows:
    """The same from arrays by their key in a file, once they are checked."""
    arrays = checked(where, arrays)
    terminals = arrays["terminals"] == 1
    if "timeouts" in arrays:
        timeouts = arrays["timeouts"] == 1
    elif horizon is None:
        raise UserError(f"{where}: has no 'timeouts'; give the episode length (horizon) or a v2 file")
    else:
        timeouts = _timeouts(terminals, horizon)
    return _qlearning(where, arrays, terminals, timeouts)


def checked(where: str, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """As float32, with what must be there, finite numbers, flags of 0 and 1, and clipped actions in [-1, 1]."""
    for key in RANKS:
        if key not in arrays and key != "timeouts":
            raise UserError(
                f"{where}: has no '{key}'; such files hold observations, actions, rewards, terminals and timeouts"
            )
    arrays = {key: validate.numbers(where, key, array, RANKS.get(key, 2)) for key, array in arrays.items()}
    validate.same_rows(where, arrays, "observations")
    for key in arrays:
        check = validate.binary if key in ("terminals", "timeouts") else validate.finite
        check(where, key, arrays[key])
    arrays["actions"] = validate.unit_actions(where, "actions", arrays["actions"])
    return arrays


def _qlearning(where: str, arrays: dict[str, np.ndarray], terminals: np.ndarray, timeouts: np.ndarray) -> Rows:
    """Drops timed-out rows and the last row; `next_obs` is always the next row's observation.

    A kept row ends its trajectory where it is terminal or the row after it was a timeout.
    """
    kept = np.flatnonzero(~timeouts[:-1])
    if not kept.size:
        raise UserError(f"{where}: 'timeouts' leave no rows; store 1 only where an episode is cut")
    observations = arrays["observations"]
    return Rows(
        obs=observations[kept],
        action=arrays["actions"][kept],
        reward=arrays["rewards"][kept],
        terminal=terminals[kept],
        next_obs=observations[kept + 1],
        boundary=terminals[kept] | timeouts[kept + 1],
    )


def _timeouts(terminals: np.ndarray, horizon: int) -> np.ndarray:
    """[N] bool: the horizon-th row since the last end.

    D4RL's own loop starts to count at 1 after a terminal, which drops the last row but one and
    keeps the cut one, with the next episode's first observation; we count every episode from 0.
    """
    rows = np.arange(len(terminals))
    start = np.where(np.roll(terminals, 1), rows, 0)
    start[0] = 0
    step = rows - np.maximum.accumulate(start)
    return step % horizon == horizon - 1


def _arrays(path: Path) -> dict[str, np.ndarray]:
    """The file's arrays, as they are stored."""
    key, found = "", {}
    try:
        with h5py.File(path, "r") as file:
            for key in [key for key in RANKS if key in file]:  # `get` takes a damaged one for a missing one
                if isinstance(dataset := file[key], h5py.Dataset):
                    found[key] = hdf5.array(dataset)
    except (OSError, RuntimeError, ValueError, TypeError, KeyError, MemoryError) as error:
        what = f"'{key}'" if key else "the file"
        raise UserError(f"{path}: {what} is cut short or damaged; download it again") from error
    return found


def checksummed(path: Path) -> bool:
    """Whether every array of the file that is read has a checksum a chunk (fletcher32)."""
    with h5py.File(path, "r") as file:
        return all(file[key].fletcher32 for key in RANKS if key in file)


def check_new(target: Path) -> None:
    """Refuses a file that `write` could not make: before the work that fills it, not after."""
    try:
        there, folder = target.exists(), target.parent.is_dir()
    except OSError as error:
        raise UserError(f"{target}: cannot be written ({error}); choose another path") from error
    if there:
        raise UserError(f"{target} exists already: choose another path or remove it")
    if not folder:
        raise UserError(f"{target.parent} is no folder: create it first")
    if not os.access(target.parent, os.W_OK):
        raise UserError(f"{target.parent} cannot be written to: choose another path")


def write(path: str | os.PathLike[str], arrays: Mapping[str, np.ndarray]) -> None:
    """Writes D4RL's layout with checksums everywhere, whole or not at all; never over a file.

    HDF5 writes to memory, as a disk that is full would end the process. Since 1.10 (`v110`) its own records of shapes
    and places have checksums too.
    """
    target, image = Path(path), io.BytesIO()
    check_new(target)
    try:
        with h5py.File(image, "w", libver="v110") as file:
            for field, column in arrays.items():
                file.create_dataset(field, data=column, compression="gzip", shuffle=True, fletcher32=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=".") as folder:
            temporary = Path(folder) / target.name
            temporary.write_bytes(image.getbuffer())
            os.link(temporary, target)  # unlike a rename, this fails where a file has appeared
    except FileExistsError:
        raise UserError(f"{target} exists already: choose another path or remove it") from None
    except OSError as error:
        raise UserError(f"{target}: cannot be written ({error}); choose another path") from error
