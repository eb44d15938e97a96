"""Reads D4RL HDF5 files, and writes them.

One dataset a key at the root of the file, or below a group of it: observations [N, O], actions [N, A], rewards [N],
terminals [N], timeouts [N] (absent from old files), perhaps next_observations [N, O]. `infos/*` and `metadata/*` are
never read. Which rows stay, and what follows them: `fastrl.data.successors`.
"""

import io
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

import h5py
import numpy as np

from fastrl.data import hdf5, successors, validate
from fastrl.data.rows import Rows
from fastrl.data.successors import Successors
from fastrl.data.validate import Bounds
from fastrl.types import Spec, UserError

SUFFIXES = (".hdf5", ".h5")
RANKS = {"observations": 2, "actions": 2, "rewards": 1, "terminals": 1, "timeouts": 1, "next_observations": 2}
OPTIONAL = ("timeouts", "next_observations")
DAMAGED = (OSError, RuntimeError, ValueError, TypeError, KeyError, MemoryError)


def read(
    path: Path, group: str, horizon: int | None, which: Successors, bounds: Bounds | None, spec: Spec | None
) -> Rows:
    """The rows of a D4RL file, below `group`; `horizon` stands in for `timeouts` where the file has none."""
    return rows_of(str(path), _arrays(path, group), horizon, which, bounds, spec)


def rows_of(
    where: str,
    arrays: dict[str, np.ndarray],
    horizon: int | None,
    which: Successors,
    bounds: Bounds | None,
    spec: Spec | None,
    order: tuple[str, ...] = (),
) -> Rows:
    """The same for arrays by their key in a file, which are checked first; `bounds` are those of actions as stored.

    Other sizes than those of `spec` are refused; `order` is of the keys of a Dict observation.
    """
    losses = [validate.loss(key, arrays[key]) for key in ("observations", "actions", "rewards") if key in arrays]
    arrays = checked(where, arrays, bounds, spec, order)
    terminals, notes = arrays["terminals"] == 1, [loss for loss in losses if loss]
    if "timeouts" in arrays:
        timeouts = arrays["timeouts"] == 1
        if both := int((terminals & timeouts).sum()):
            notes.append(f"{both} rows are terminal and timed out at once; they count as terminal")
    elif which == "file":
        timeouts = np.zeros(len(terminals), bool)
    elif horizon is None:
        other = ", or --next-observations file" if "next_observations" in arrays else ""
        raise UserError(
            f"{where}: has no 'timeouts'; give the episode length (--horizon N, in Python horizon=N){other}"
        )
    else:
        timeouts = _timeouts(terminals, horizon)
    found = successors.resolve(where, arrays, terminals, timeouts, which)
    return found._replace(notes=(*notes, *found.notes))


def checked(
    where: str, arrays: dict[str, np.ndarray], bounds: Bounds | None, spec: Spec | None, order: tuple[str, ...]
) -> dict[str, np.ndarray]:
    """The arrays as float32, after checks: required keys, finite numbers, flags of 0 and 1. Actions are clipped."""
    for key in RANKS:
        if key not in arrays and key not in OPTIONAL:
            raise UserError(
                f"{where}: has no '{key}'; such files hold observations, actions, rewards, terminals and timeouts"
            )
    arrays = {key: validate.numbers(where, key, array, RANKS[key]) for key, array in arrays.items() if key in RANKS}
    validate.same_rows(where, arrays, "observations")
    for key in arrays:
        check = validate.binary if key in ("terminals", "timeouts") else validate.finite
        check(where, key, arrays[key])
    shapes = {key: arrays[key].shape for key in ("observations", "next_observations") if key in arrays}
    if len(set(shapes.values())) > 1:
        raise UserError(
            f"{where}: 'next_observations' has shape {shapes['next_observations']} but 'observations' has "
            f"{shapes['observations']}; store both alike"
        )
    validate.used(where, arrays)
    if spec is not None:
        validate.sizes(where, arrays["observations"].shape[1], arrays["actions"].shape[1], spec, order)
    arrays["actions"] = validate.unit_actions(where, "actions", arrays["actions"], bounds)
    return arrays


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


def _arrays(path: Path, group: str) -> dict[str, np.ndarray]:
    """The file's arrays, as they are stored."""
    key, found, hint = "", {}, ""
    try:
        with h5py.File(path, "r") as file:
            for key in RANKS:
                if isinstance(dataset := hdf5.find(file, f"{group}/{key}"), h5py.Dataset):
                    found[key] = hdf5.array(dataset)
            hint = "" if "observations" in found else _hint(path, file)
    except DAMAGED as error:
        what = f"'{key}'" if key else "the file"
        raise UserError(f"{path}: {what} is cut short or damaged; download it again") from error
    if hint:
        raise UserError(hint)
    return found


def _hint(path: Path, file: h5py.File) -> str:
    """The error line for a file that has no observations in the group that was named."""
    below: list[str] = []

    def look(name: str, node: h5py.Group | h5py.Dataset) -> None:
        if isinstance(node, h5py.Group) and isinstance(hdf5.find(node, "observations"), h5py.Dataset):
            below.append(name)

    file.visititems(look)  # hard links only
    if not below:
        held = ", ".join(list(file)[:6]) or "nothing"
        return (
            f"{path}: has no 'observations' there, only {held}; name the group that holds the arrays as {path}:/GROUP"
        )
    more = f" (one of {len(below)} such groups)" if len(below) > 1 else ""
    return f"{path}: has no 'observations' there, but its group '{below[0]}' has; name it as {path}:/{below[0]}{more}"


def checksummed(path: Path, group: str) -> bool:
    """Whether every array of the file that is read has a checksum a chunk (fletcher32)."""
    with h5py.File(path, "r") as file:
        found = [hdf5.find(file, f"{group}/{key}") for key in RANKS]
        return all(dataset.fletcher32 for dataset in found if isinstance(dataset, h5py.Dataset))


def check_new(target: Path) -> None:
    """Refuses a file that `write` could not make; called before the work that fills it."""
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
