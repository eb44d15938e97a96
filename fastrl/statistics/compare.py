"""Two algorithms compared: by how much one scores more, and how often.

Runs are paired where run n of both had the same seed and the same pre-trained agent: what the seed decides is then in
both and cancels. Else every run of one is compared with every run of the other, as rliable does.
"""

import dataclasses

import numpy as np
from scipy import stats

from fastrl.errors import UserError
from fastrl.statistics.aggregate import iqm, mean
from fastrl.statistics.bootstrap import (
    NOWHERE,
    REPS,
    Interval,
    Statistic,
    of_each,
    percentiles,
    rows,
    stratified_bootstrap,
)
from fastrl.statistics.tables import finite, table, two


@dataclasses.dataclass(frozen=True)
class Comparison:
    """X compared with Y; the intervals have one level, 0.95 unless another was asked for."""

    paired: bool
    runs: tuple[int, int]  # of X and of Y, for each task; equal if paired
    mean: float  # difference of the means, X minus Y
    mean_interval: Interval
    iqm: float  # paired: the IQM of the differences; else the difference of the IQMs
    iqm_interval: Interval
    improvement: float  # probability that X scores more; ties count half
    improvement_interval: Interval


def probability_of_improvement(x: np.ndarray, y: np.ndarray) -> float:
    """Probability that a run of `x` [runs, tasks] scores more than one of `y` [other runs, tasks], ties counting half.

    It is the mean over the tasks of Mann and Whitney's U divided by the number of pairs of runs.
    """
    left, right = two(x, y)
    return float(_wins(left, right).mean()) if finite(left, right) else float("nan")


def improvement_interval(
    x: np.ndarray, y: np.ndarray, reps: int = REPS, seed: int = 0, level: float = 0.95
) -> Interval:
    """Interval of `probability_of_improvement`: the runs of both are redrawn, independently, within each task.

    (nan, nan) where one of them has one run or a number that is not finite. Where all runs of one lie above all of the
    other, every redraw says the same: the interval has no width, and with few runs that is no certainty.
    """
    left, right = two(x, y)
    if min(len(left), len(right)) < 2 or not finite(left, right):
        return NOWHERE
    wins, total = _wins(left, right), np.zeros(reps)
    first, second = _both(left, right, reps, seed)
    for task in range(left.shape[1]):
        total += (_counts(first[..., task]) @ wins[..., task] * _counts(second[..., task])).sum(1)
    return percentiles(total / wins.size, level)


def unpaired(x: np.ndarray, y: np.ndarray, reps: int = REPS, seed: int = 0, level: float = 0.95) -> Comparison:
    """Compares `x` [runs, tasks] with `y` [other runs, tasks], whose runs share nothing."""
    left, right = two(x, y)
    difference = lambda statistic: _difference(left, right, statistic, reps, seed, level)
    return Comparison(
        False,
        (len(left), len(right)),
        mean(left) - mean(right),
        difference(mean),
        iqm(left) - iqm(right),
        difference(iqm),
        probability_of_improvement(left, right),
        improvement_interval(left, right, reps, seed, level),
    )


def paired(x: np.ndarray, y: np.ndarray, reps: int = REPS, seed: int = 0, level: float = 0.95) -> Comparison:
    """Compares `x` with `y`, both [runs, tasks], of which row n is the same seed in both.

    The differences are redrawn within each task. The probability of improvement is the share of pairs in which x scores
    more; its interval is Clopper and Pearson's, so that a few pairs that agree are no certainty. A tie counts against
    its lower end and for its upper one. Over several tasks the interval is wide rather than narrow (Hoeffding 1956).
    """
    left, right = table(x), table(y)
    if left.shape != right.shape:
        raise UserError(f"pairs need the same runs and tasks, not {left.shape} and {right.shape}; or use unpaired")
    gain = left - right
    draw = lambda statistic: stratified_bootstrap(gain, reps, seed, level, statistic)
    above, ties = int((gain > 0).sum()), int((gain == 0).sum())
    known = finite(left, right)
    ends = (_share(above, gain.size, level)[0], _share(above + ties, gain.size, level)[1])
    return Comparison(
        True,
        (len(left), len(right)),
        mean(gain),
        draw(mean),
        iqm(gain),
        draw(iqm),
        (above + ties / 2) / gain.size if known else float("nan"),
        ends if known and len(gain) > 1 else NOWHERE,
    )


def _wins(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """[runs of x, runs of y, tasks]: 1 where x scores more, one half where they are alike, else 0."""
    return (x[:, None] > y[None]) + 0.5 * (x[:, None] == y[None])


def _counts(drawn: np.ndarray) -> np.ndarray:
    """How often each run is among those drawn [reps, runs]."""
    return (drawn[..., None] == np.arange(drawn.shape[1])).sum(1)


def _both(x: np.ndarray, y: np.ndarray, reps: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rows(rng, reps, *x.shape), rows(rng, reps, *y.shape)


def _difference(x: np.ndarray, y: np.ndarray, statistic: Statistic, reps: int, seed: int, level: float) -> Interval:
    """Interval of the difference of a statistic, where the runs of both are redrawn independently."""
    if min(len(x), len(y)) < 2 or not finite(x, y):
        return NOWHERE
    tasks = np.arange(x.shape[1])
    first, second = _both(x, y, reps, seed)
    return percentiles(of_each(statistic, x[first, tasks]) - of_each(statistic, y[second, tasks]), level)


def _share(count: int, total: int, level: float) -> Interval:
    found = stats.binomtest(count, total).proportion_ci(level, "exact")
    return float(found.low), float(found.high)
