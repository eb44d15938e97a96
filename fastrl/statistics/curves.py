"""Curves of scores with their intervals: performance profiles, sample efficiency, and what several seeds reached."""

import dataclasses

import numpy as np

from fastrl.errors import UserError
from fastrl.statistics.aggregate import iqm, mean
from fastrl.statistics.bootstrap import REPS, Interval, Statistic, stratified_bootstrap
from fastrl.statistics.tables import table


@dataclasses.dataclass(frozen=True)
class Curve:
    """A number at each of N places, with the ends of its interval; all [N]."""

    at: np.ndarray
    value: np.ndarray
    low: np.ndarray  # NaN where there is one run only
    high: np.ndarray


@dataclasses.dataclass(frozen=True)
class Summary:
    """What S seeds reached; intervals are stratified bootstrap intervals of the IQM."""

    final_mean: float
    final_iqm: float
    final_interval: Interval
    best_iqm: float  # the largest IQM over the evaluations
    best_interval: Interval
    best_index: int  # which evaluation that was


def performance_profile(
    x: np.ndarray, thresholds: np.ndarray, reps: int = REPS, seed: int = 0, level: float = 0.95
) -> Curve:
    """The share of the runs of `x` [runs] or [runs, tasks] that score more than each of `thresholds` [N].

    It is Agarwal et al.'s score distribution: where one algorithm's curve lies above another's everywhere, its scores
    are larger at every quantile.
    """
    found, at = table(x), np.asarray(thresholds, np.float64)
    above = [np.where(np.isfinite(found), found > threshold, np.nan) for threshold in at]
    ends = [stratified_bootstrap(each, reps, seed, level, mean) for each in above]
    low, high = np.array(ends).T
    return Curve(at, np.array([mean(each) for each in above]), low, high)


def sample_efficiency(
    x: np.ndarray,
    steps: np.ndarray,
    statistic: Statistic = iqm,
    reps: int = REPS,
    seed: int = 0,
    level: float = 0.95,
) -> Curve:
    """A statistic of `x` [runs, tasks, N] at each of N evaluations, which were after `steps` [N] environment steps.

    A redraw takes whole runs, so that the curve's intervals belong together.
    """
    found, at = np.asarray(x, np.float64), np.asarray(steps)
    if found.ndim != 3 or at.shape != found.shape[2:]:
        raise UserError(f"scores {found.shape} are not [runs, tasks, {at.size}], one for each of the steps {at.shape}")
    tables = np.moveaxis(found, 2, 0)
    low, high = np.array([stratified_bootstrap(each, reps, seed, level, statistic) for each in tables]).T
    return Curve(at, np.array([statistic(each) for each in tables]), low, high)


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
