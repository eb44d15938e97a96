"""A sentence of a paper, put to the test: its effect with a 95 % interval, paired over seeds, and a verdict."""

import dataclasses
from collections.abc import Mapping
from typing import Literal

import numpy as np
from scipy import stats

from fastrl.experiments.quantities import Quantity, Rows

Verdict = Literal["holds", "does not hold", "not decided"]


@dataclasses.dataclass(frozen=True)
class Claim:
    """`quantity` of the arm `better` is greater than that of `other` (None: than 0), or at least not less by `margin`.

    With a margin of 0 the claim is one of a difference; above 0 it says that nothing is lost.
    """

    sentence: str
    quantity: Quantity
    better: str  # the arm
    other: str | None = None
    sign: int = 1  # -1: the claim is that it is smaller
    margin: float = 0.0  # in units of the quantity
    share: bool = False  # the margin is a share of the other arm's mean


@dataclasses.dataclass(frozen=True)
class Effect:
    """What was found of a claim on one task."""

    claim: str
    task: str
    seeds: int
    effect: float  # mean over seeds of the difference that the claim says is positive
    low: float
    high: float
    margin: float
    verdict: Verdict


def examine(claim: Claim, task: str, arms: Mapping[str, Rows]) -> Effect:
    """The claim on one task, whose runs' logs are given by arm; seeds that froze in either arm are left out."""
    mine = claim.quantity(arms[claim.better])
    theirs = np.zeros_like(mine) if claim.other is None else claim.quantity(arms[claim.other])
    count = min(len(mine), len(theirs))
    difference = claim.sign * (mine[:count] - theirs[:count])
    kept = np.isfinite(difference)
    margin = claim.margin * (abs(float(np.nanmean(theirs))) if claim.share else 1.0)
    mean, low, high = interval(difference[kept])
    return Effect(claim.sentence, task, int(kept.sum()), mean, low, high, margin, verdict(low, high, margin))


def interval(difference: np.ndarray) -> tuple[float, float, float]:
    """Mean and 95 % Student interval of paired differences [S]; without a spread to measure it is unbounded.

    A percentile bootstrap of five numbers covers the truth four times in five; Student's interval keeps its word where
    the differences are near to normal.
    """
    if len(difference) < 2:
        return (float(difference.mean()) if len(difference) else float("nan")), -np.inf, np.inf
    mean, error = float(difference.mean()), float(difference.std(ddof=1)) / np.sqrt(len(difference))
    half = float(stats.t.ppf(0.975, len(difference) - 1)) * error
    return mean, mean - half, mean + half


def verdict(low: float, high: float, margin: float) -> Verdict:
    """`holds` if all of the interval is above -margin (0 if it is a difference), `does not hold` if none is."""
    if low > -margin:
        return "holds"
    return "does not hold" if high <= -margin else "not decided"
