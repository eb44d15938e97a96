"""Reads D4RL HDF5 files as D4RL's `qlearning_dataset` does. Knows nothing of training.

One dataset a key at the root of the file: observations [N, O], actions [N, A], rewards [N],
terminals [N], timeouts [N] (absent from old files). `infos/*`, `metadata/*` and `next_observations`
are never read.
"""

import hashlib
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np

from fastrl.data import validate
from fastrl.types import UserError

SUPPORTED = "give the path of a D4RL HDF5 file"


class Rows(NamedTuple):
    """What `qlearning_dataset` keeps of a file, and where its trajectories end."""

    obs: np.ndarray  # [M, O]
    action: np.ndarray  # [M, A]
    reward: np.ndarray  # [M]
    terminal: np.ndarray  # [M] bool
    next_obs: np.ndarray  # [M, O]
    boundary: np.ndarray  # [M] bool


def digest(path: Path) -> str:
    """The sha256 of a file's bytes, after a check that there is a readable, non-empty file."""
    if not path.exists():
        raise UserError(f"{path}: no such dataset; {SUPPORTED}")
    if not path.is_file():
        raise UserError(f"{path}: is a directory; {SUPPORTED}")
    try:
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); {SUPPORTED}") from error
    if path.stat().st_size == 0:
        raise UserError(f"{path}: is empty; download it again")
    return sha256


def read(path: Path, horizon: int | None) -> Rows:
    """The rows of a D4RL file; `horizon` stands in for `timeouts` where the file has none."""
    where = str(path)
    arrays = _arrays(path)
    validate.same_rows(where, arrays, "observations")
    for key in ("observations", "actions", "rewards"):
        validate.finite(where, key, arrays[key])
    for key in ("terminals", "timeouts"):
        if key in arrays:
            validate.binary(where, key, arrays[key])
    arrays["actions"] = validate.unit_actions(where, "actions", arrays["actions"])
    terminals = arrays["terminals"] == 1
    if "timeouts" in arrays:
        timeouts = arrays["timeouts"] == 1
    elif horizon is None:
        raise UserError(f"{where}: has no 'timeouts'; give the episode length (horizon) or a v2 file")
    else:
        timeouts = _timeouts(terminals, horizon)
    return _qlearning(where, arrays, terminals, timeouts)


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
    """The file's arrays as float32, checked for presence and rank."""
    if not h5py.is_hdf5(path):
        raise UserError(f"{path}: is not an HDF5 file; {SUPPORTED}")
    ranks = {"observations": 2, "actions": 2, "rewards": 1, "terminals": 1, "timeouts": 1}
    key = ""
    try:
        with h5py.File(path, "r") as file:
            found = {}
            for key in ranks:
                dataset = file.get(key)
                if isinstance(dataset, h5py.Dataset):
                    found[key] = np.asarray(dataset[()])
    except (OSError, RuntimeError, ValueError, TypeError, KeyError, MemoryError) as error:
        what = f"'{key}'" if key else "the file"
        raise UserError(f"{path}: {what} is cut short or damaged; download it again") from error
    for key in ranks:
        if key not in found and key != "timeouts":
            raise UserError(
                f"{path}: has no '{key}'; D4RL files hold observations, actions, rewards, terminals and timeouts"
            )
    return {k: validate.numbers(str(path), k, array, ranks[k]) for k, array in found.items()}
