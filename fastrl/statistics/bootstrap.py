"""Intervals of a table of scores by the stratified bootstrap: runs are redrawn within each task.

The interval is the percentile interval of Agarwal et al. 2021. It says where the number would lie had other seeds been
run on the same tasks, not what it would be on other tasks.
"""

from collections.abc import Callable

import numpy as np
from scipy import stats

from fastrl.statistics.aggregate import iqm, mean
from fastrl.statistics.tables import finite, table

Interval = tuple[float, float]
Statistic = Callable[[np.ndarray], float]
"""A number of a table [runs, tasks]."""
NOWHERE: Interval = (float("nan"), float("nan"))
REPS = 2000


def stratified_bootstrap(
    x: np.ndarray, reps: int = REPS, seed: int = 0, level: float = 0.95, statistic: Statistic = iqm
) -> Interval:
    """Percentile interval of a statistic of `x` [runs] or [runs, tasks]; runs are redrawn within a task.

    One run has no spread to draw from: (nan, nan), as with numbers that are not finite. The same arguments give the
    same interval.
    """
    found = table(x)
    runs, tasks = found.shape
    if runs < 2 or not finite(found):
        return NOWHERE
    drawn = found[rows(np.random.default_rng(seed), reps, runs, tasks), np.arange(tasks)]
    return percentiles(of_each(statistic, drawn), level)


def of_each(statistic: Statistic, drawn: np.ndarray) -> np.ndarray:
    """A statistic [reps] of each of `drawn` [reps, runs, tasks]; the common ones all at once."""
    if statistic is iqm:
        return stats.trim_mean(drawn.reshape(len(drawn), -1), 0.25, axis=1)
    if statistic is mean:
        return drawn.mean((1, 2))
    return np.array([statistic(each) for each in drawn])


def rows(rng: np.random.Generator, reps: int, runs: int, tasks: int) -> np.ndarray:
    """The runs [reps, runs, tasks] that are drawn, with replacement and for each task anew."""
    return rng.integers(runs, size=(reps, runs, tasks))


def percentiles(values: np.ndarray, level: float) -> Interval:
    """Between which of `values` [reps] the middle share `level` lies."""
    tail = 50.0 * (1.0 - level)
    low, high = np.percentile(values, [tail, 100.0 - tail])
    return float(low), float(high)
