"""Statistics over seeds as the field reports them (Agarwal et al. 2021, "Deep RL at the Edge").

They are computed with NumPy on the host; the same arrays give the same numbers.
"""

import dataclasses

import numpy as np
from scipy import stats

Interval = tuple[float, float]


@dataclasses.dataclass(frozen=True)
class Summary:
    """What S seeds reached; intervals are stratified bootstrap intervals of the IQM."""

    final_mean: float
    final_iqm: float
    final_interval: Interval
    best_iqm: float  # the largest IQM over the evaluations
    best_interval: Interval
    best_index: int  # which evaluation that was


def iqm(x: np.ndarray) -> float:
    """Interquartile mean over all of `x` [runs] or [runs, tasks]; below 4 numbers the plain mean.

    NaN if a number is not finite: trimming would hide it.
    """
    table = np.asarray(x, np.float64)
    return float(stats.trim_mean(table, 0.25, axis=None)) if np.isfinite(table).all() else float("nan")


def stratified_bootstrap(x: np.ndarray, reps: int = 2000, seed: int = 0, level: float = 0.95) -> Interval:
    """Percentile interval of the IQM of `x` [runs] or [runs, tasks]; runs are redrawn within a task.

    One run has no spread to draw from: (nan, nan), as with numbers that are not finite.
    """
    table = np.asarray(x, np.float64)
    table = table[:, None] if table.ndim == 1 else table
    runs, tasks = table.shape
    if runs < 2 or not np.isfinite(table).all():
        return float("nan"), float("nan")
    rows = np.random.default_rng(seed).integers(runs, size=(reps, runs, tasks))
    drawn = table[rows, np.arange(tasks)].reshape(reps, runs * tasks)
    centres = stats.trim_mean(drawn, 0.25, axis=1)
    tail = 50.0 * (1.0 - level)
    low, high = np.percentile(centres, [tail, 100.0 - tail])
    return float(low), float(high)


def summary(returns: np.ndarray) -> Summary:
    """Summary of `returns` [S, evals]."""
    centres = [iqm(column) for column in returns.T]
    best = int(np.argmax(np.nan_to_num(centres, nan=-np.inf)))
    return Summary(
        final_mean=float(np.mean(returns[:, -1])),
        final_iqm=centres[-1],
        final_interval=stratified_bootstrap(returns[:, -1]),
        best_iqm=centres[best],
        best_interval=stratified_bootstrap(returns[:, best]),
        best_index=best,
    )
