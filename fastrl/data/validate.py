"""Checks on host arrays; each fails with one line: place, key, first bad row and the fix.

Knows no file format and no dataset; `where` is a file's path or the name of arrays in memory.
"""

import numpy as np

from fastrl.types import UserError

TOLERANCE = 1e-3  # actions may leave [-1, 1] by this much before they count as wrong
ACTION_LIMIT = 1.0 - 1e-5  # where they are clipped: the log-density of a tanh policy is infinite at +-1


def numbers(where: str, key: str, array: np.ndarray, rank: int) -> np.ndarray:
    """The array as float32 of that rank; `[M, 1]` passes for `[M]`."""
    if array.dtype.kind not in "biuf":
        raise UserError(f"{where}: '{key}' holds {array.dtype}, not numbers; store it as float32")
    if rank == 1 and array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != rank or 0 in array.shape[1:]:
        want = "[rows]" if rank == 1 else "[rows, size]"
        raise UserError(f"{where}: '{key}' has shape {array.shape}; store it as {want}")
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(array, dtype=np.float32)


def same_rows(where: str, arrays: dict[str, np.ndarray], first: str) -> None:
    """Every array has as many rows as `arrays[first]`, and at least one."""
    rows = len(arrays[first])
    if rows == 0:
        raise UserError(f"{where}: '{first}' has no rows; collect or download the data again")
    for key, array in arrays.items():
        if len(array) != rows:
            raise UserError(
                f"{where}: '{key}' has {len(array)} rows but '{first}' has {rows}; store one row a step in each"
            )


def finite(where: str, key: str, array: np.ndarray) -> None:
    """No NaN and no infinity."""
    with np.errstate(invalid="ignore"):
        total = array.sum(dtype=np.float64)
    if np.isfinite(total):  # one NaN or infinity would show in the sum
        return
    rows = np.isfinite(array.reshape(len(array), -1)).all(axis=1)
    raise UserError(f"{where}: '{key}' is not finite at row {np.argmin(rows)}; remove that episode")


def binary(where: str, key: str, array: np.ndarray) -> None:
    """Zeros and ones only."""
    good = (array == 0) | (array == 1)
    if not good.all():
        row = int(np.argmin(good))
        raise UserError(f"{where}: '{key}' is {array[row]:g} at row {row}; store 0 or 1")


def unit_actions(where: str, key: str, array: np.ndarray) -> np.ndarray:
    """Actions clipped to +-(1 - 1e-5), after a check that they lie in [-1, 1] within 1e-3."""
    good = (np.abs(array) <= 1.0 + TOLERANCE).all(axis=1)
    if not good.all():
        row = int(np.argmin(good))
        worst = array[row][np.argmax(np.abs(array[row]))]
        raise UserError(f"{where}: '{key}' is {worst:g} at row {row}, outside [-1, 1]; rescale the actions to [-1, 1]")
    return np.clip(array, -ACTION_LIMIT, ACTION_LIMIT)
