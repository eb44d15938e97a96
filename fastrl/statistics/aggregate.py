"""One number for a table of scores [runs, tasks]: interquartile mean, mean, median, optimality gap.

They are those of Agarwal et al. 2021, "Deep Reinforcement Learning at the Edge of the Statistical Precipice". Each
takes [runs] or [runs, tasks] and is NaN where a score is not finite, as to trim or to clip that score would hide it.
"""

import numpy as np
from scipy import stats

from fastrl.statistics.tables import finite, table


def iqm(x: np.ndarray) -> float:
    """Interquartile mean over all of `x` [runs] or [runs, tasks]; below 4 numbers the plain mean.

    A quarter of the numbers, rounded down, is left out at each end.
    """
    found = table(x)
    return float(stats.trim_mean(found, 0.25, axis=None)) if finite(found) else float("nan")


def mean(x: np.ndarray) -> float:
    """Mean over the tasks of the mean over the runs of `x` [runs] or [runs, tasks]."""
    found = table(x)
    return float(found.mean(0).mean()) if finite(found) else float("nan")


def median(x: np.ndarray) -> float:
    """Median over the tasks of the mean over the runs of `x` [runs, tasks]; of one task it is that mean."""
    found = table(x)
    return float(np.median(found.mean(0))) if finite(found) else float("nan")


def optimality_gap(x: np.ndarray, target: float = 1.0) -> float:
    """By how much `x` [runs] or [runs, tasks] falls short of `target` on average; what exceeds it counts as it.

    The target has the scores' unit: 1 for scores of which 1 is an expert's, 100 for D4RL's.
    """
    found = table(x)
    return float(target - np.minimum(found, target).mean()) if finite(found) else float("nan")
