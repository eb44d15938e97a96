"""What a table of scores is: an array [runs, tasks] of float64, with at least one number in it."""

import numpy as np

from fastrl.errors import UserError


def table(scores: np.ndarray) -> np.ndarray:
    """`scores` as [runs, tasks]; an array [runs] is one task's. Any other shape is a `UserError`."""
    found = np.asarray(scores, np.float64)
    if found.ndim == 3:
        raise UserError(
            f"scores {found.shape} are [runs, tasks, evaluations]; choose one evaluation, for example scores[:, :, -1]"
        )
    if found.ndim not in (1, 2) or not found.size:
        raise UserError(f"scores have the shape {found.shape}; give [runs] or [runs, tasks] with a number in it")
    return found[:, None] if found.ndim == 1 else found


def finite(*tables: np.ndarray) -> bool:
    """Whether all numbers are finite. Where one is not, every result is NaN: to trim it away would hide it."""
    return all(bool(np.isfinite(each).all()) for each in tables)


def two(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The tables of two algorithms, which have the same tasks."""
    left, right = table(x), table(y)
    if left.shape[1] != right.shape[1]:
        raise UserError(f"one algorithm has {left.shape[1]} tasks and the other {right.shape[1]}; give both the same")
    return left, right
