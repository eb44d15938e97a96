"""Checks on host arrays; each fails with one line: place, key, first bad row and the fix.

`where` is a file's path or the name of arrays in memory.
"""

import numpy as np

from fastrl.envs import spaces
from fastrl.types import Spec, UserError

Bounds = tuple[float | tuple[float, ...], float | tuple[float, ...]]
"""Least and most of actions as they are stored, one number or one a component."""

TOLERANCE = 1e-3  # actions may leave [-1, 1] by this much before they count as wrong
ACTION_LIMIT = 1.0 - 1e-5  # where they are clipped: the log-density of a tanh policy is infinite at +-1
LOSS = 1e-3  # of a column's own spread: a larger rounding error is said
UNUSED = 10  # rows of nothing but zeros at an end, from which they count as never written


def numbers(where: str, key: str, array: np.ndarray, rank: int) -> np.ndarray:
    """The array as float32 of that rank; `[M, 1]` passes for `[M]`."""
    if array.dtype.kind == "O":
        raise UserError(f"{where}: '{key}' holds Python objects; store it as one float32 array of numbers")
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


def loss(key: str, array: np.ndarray) -> str:
    """Which columns float32 does not hold, in a sentence; empty where it holds all. `array` is as it was stored."""
    if array.ndim == 0 or array.dtype.kind not in "iuf" or array.dtype.itemsize < 4 or array.dtype == np.float32:
        return ""
    exact = np.asarray(array, np.float64).reshape(len(array), -1)
    with np.errstate(over="ignore", invalid="ignore"):
        error = np.abs(exact - exact.astype(np.float32)).max(axis=0, initial=0.0)
        lost = np.flatnonzero(error > LOSS * exact.std(axis=0))
    if not lost.size:
        return ""
    columns = ", ".join(map(str, lost[:8])) + (", .." if lost.size > 8 else "")
    near = f"numbers near {np.abs(exact[:, lost[0]]).max():.3g} are rounded by up to {error[lost].max():.3g}"
    return f"float32 does not hold '{key}' in column {columns}: {near}; subtract an offset before they are stored"


def used(where: str, arrays: dict[str, np.ndarray]) -> None:
    """Refuses arrays of a buffer that was written in part: at least 10 last rows that are zero in every array."""
    written = np.zeros(len(arrays["observations"]), bool)
    for array in arrays.values():
        written |= (array != 0).reshape(len(array), -1).any(axis=1)
    rows = np.flatnonzero(written)
    first = int(rows[-1]) + 1 if rows.size else 0
    if len(written) - first >= UNUSED:
        raise UserError(
            f"{where}: every array is zero from row {first} to the end ({len(written) - first} rows); that part of "
            f"a buffer was never written: store the first {first} rows only"
        )


def sizes(where: str, obs: int, action: int, spec: Spec, order: tuple[str, ...] = ()) -> None:
    """Refuses observations or actions of other sizes than an environment's; `order` is of a Dict's keys."""
    for key, found, want in (("observations", obs, spec.obs_size), ("actions", action, spec.action_size)):
        if found != want:
            named = key == "observations" and order
            keys = f", or other keys of its Dict are meant (--dataset-order; now {', '.join(order)})" if named else ""
            raise UserError(
                f"{where}: {key} have size {found} but {spec.name} has {want}; this is a dataset of another task{keys}"
            )


def unit_actions(where: str, key: str, array: np.ndarray, bounds: Bounds | None = None) -> np.ndarray:
    """Actions clipped to +-(1 - 1e-5), after a check that they lie in [-1, 1] within 1e-3.

    `bounds` are those of the actions as they are stored, where it is not +-1: they are mapped from there.
    """
    if bounds is not None:
        low, high = (np.asarray(bound, np.float64) for bound in bounds)
        outside = ((array < low - TOLERANCE * (high - low)) | (array > high + TOLERANCE * (high - low))).any(axis=1)
        if outside.any():
            row = int(np.argmax(outside))
            raise UserError(
                f"{where}: '{key}' leaves the bounds {low.tolist()} to {high.tolist()} at row {row}: "
                f"{array[row].tolist()}; correct the file, or name the bounds that it was recorded with"
            )
        array = spaces.to_unit(array, low, high)
    good = (np.abs(array) <= 1.0 + TOLERANCE).all(axis=1)
    if not good.all():
        row = int(np.argmin(good))
        worst = array[row][np.argmax(np.abs(array[row]))]
        raise UserError(
            f"{where}: '{key}' is {worst:g} at row {row}, outside [-1, 1]; "
            "rescale the actions to [-1, 1], or say where they lie: --actions environment (its bounds), and for "
            "fastrl datasets --actions LOW,HIGH"
        )
    return np.clip(array, -ACTION_LIMIT, ACTION_LIMIT)
