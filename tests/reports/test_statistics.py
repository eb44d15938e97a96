import math

import numpy as np
import pytest
from scipy import stats

from fastrl.reports import statistics


def test_iqm_is_the_mean_of_the_middle_half():
    x = np.array([100.0, 1, 2, 3, 4, 5, 6, -50])
    assert statistics.iqm(x) == pytest.approx((2 + 3 + 4 + 5) / 4)
    table = np.random.default_rng(0).normal(size=(10, 4))
    middle = np.sort(table.ravel())[10:30]
    assert statistics.iqm(table) == pytest.approx(middle.mean())
    assert statistics.iqm(np.array([1.0, 2, 9])) == pytest.approx(4.0)  # below 4 the mean


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


def test_a_number_that_is_not_finite_is_never_trimmed_away():
    for bad in (np.nan, np.inf):
        assert math.isnan(statistics.iqm(np.array([1.0, 2, 3, 4, bad])))
        assert math.isnan(statistics.stratified_bootstrap(np.array([1.0, 2, 3, 4, bad]))[0])
    found = statistics.summary(np.array([[1.0, np.nan], [2.0, 3.0]]))
    assert math.isnan(found.final_iqm) and found.best_index == 0 and found.best_iqm == 1.5


def test_summary_of_a_rise_and_fall():
    returns = np.array([[0.0, 10, 4], [1, 11, 5], [2, 12, 6], [3, 13, 7]])
    found = statistics.summary(returns)
    assert found.final_mean == pytest.approx(5.5) and found.final_iqm == pytest.approx(5.5)
    assert found.best_index == 1 and found.best_iqm == pytest.approx(11.5)
    assert found.final_interval[0] < 5.5 < found.final_interval[1]
    assert found.best_interval == pytest.approx(tuple(6 + edge for edge in found.final_interval))
