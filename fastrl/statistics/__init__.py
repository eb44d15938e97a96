"""Statistics over seeds and tasks as the field reports them (Agarwal et al. 2021), from arrays, without jax.

Scores are arrays [runs] or [runs, tasks]; a run is a seed. The same arguments give the same numbers.
"""

from fastrl.statistics.aggregate import iqm, mean, median, optimality_gap
from fastrl.statistics.arrays import Scores, load, save
from fastrl.statistics.bootstrap import Interval, Statistic, stratified_bootstrap
from fastrl.statistics.compare import (
    Comparison,
    improvement_interval,
    paired,
    probability_of_improvement,
    unpaired,
)
from fastrl.statistics.curves import Curve, Summary, performance_profile, sample_efficiency, summary

__all__ = [
    "Comparison",
    "Curve",
    "Interval",
    "Scores",
    "Statistic",
    "Summary",
    "improvement_interval",
    "iqm",
    "load",
    "mean",
    "median",
    "optimality_gap",
    "paired",
    "performance_profile",
    "probability_of_improvement",
    "sample_efficiency",
    "save",
    "stratified_bootstrap",
    "summary",
    "unpaired",
]
