import math

import numpy as np
import pytest
from scipy import stats

from fastrl import statistics


def test_bootstrap_agrees_with_an_independent_loop_and_with_scipy():
    x = np.random.default_rng(1).normal(3.0, 2.0, size=12)
    low, high = statistics.stratified_bootstrap(x, reps=4000)
    rng = np.random.default_rng(99)
    draws = [np.sort(rng.choice(x, 12))[3:9].mean() for _ in range(4000)]
    assert low == pytest.approx(np.percentile(draws, 2.5), abs=0.12)
    assert high == pytest.approx(np.percentile(draws, 97.5), abs=0.12)
    found = stats.bootstrap(
        (x,), lambda a, axis: stats.trim_mean(a, 0.25, axis=axis), method="percentile", rng=5, n_resamples=4000
    ).confidence_interval
    assert (low, high) == pytest.approx((found.low, found.high), abs=0.12)


def test_tasks_are_strata():
    """Two tasks far apart, no spread within: redrawing within tasks cannot move the IQM."""
    x = np.tile([0.0, 100.0], (6, 1))
    assert statistics.stratified_bootstrap(x) == pytest.approx((50.0, 50.0))


def test_deterministic_nested_and_undefined_for_one_run():
    x = np.random.default_rng(2).normal(size=(8, 3))
    assert statistics.stratified_bootstrap(x) == statistics.stratified_bootstrap(x)
    assert statistics.stratified_bootstrap(x) != statistics.stratified_bootstrap(x, seed=1)
    wide, narrow = statistics.stratified_bootstrap(x, level=0.99), statistics.stratified_bootstrap(x, level=0.5)
    assert wide[0] < narrow[0] < statistics.iqm(x) < narrow[1] < wide[1]
    assert all(math.isnan(edge) for edge in statistics.stratified_bootstrap(np.array([3.0])))
    assert all(math.isnan(edge) for edge in statistics.stratified_bootstrap(np.array([1.0, 2, 3, 4, np.nan])))


def test_the_interval_of_the_mean_is_as_wide_as_its_standard_error():
    x = np.random.default_rng(3).normal(size=(40, 1))
    low, high = statistics.stratified_bootstrap(x, reps=20000, statistic=statistics.mean)
    half = 1.96 * x.std() / math.sqrt(40)
    assert (low, high) == pytest.approx((x.mean() - half, x.mean() + half), abs=0.02)


def test_all_redraws_at_once_are_the_redraws_one_by_one():
    x = np.random.default_rng(5).normal(size=(7, 3))
    for statistic in (statistics.iqm, statistics.mean):
        slow = statistics.stratified_bootstrap(x, statistic=lambda table: statistic(table))
        assert statistics.stratified_bootstrap(x, statistic=statistic) == pytest.approx(slow, abs=1e-12)
    ends = statistics.stratified_bootstrap(x, statistic=lambda table: float(table.max()))
    assert ends[1] == x.max() > ends[0]
