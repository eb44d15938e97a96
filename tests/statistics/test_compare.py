import math

import numpy as np
import pytest
from scipy import stats

from fastrl import statistics
from fastrl.types import UserError

X = np.array([[1.0, 5.0], [2.0, 6.0], [3.0, 7.0], [4.0, 8.0]])
Y = np.array([[0.0, 9.0], [2.0, 9.0], [5.0, 9.0]])


def test_probability_of_improvement_by_hand_and_by_mann_and_whitney():
    first = (1 + 1.5 + 2 + 2) / 12  # of the first task; 2 against 2 counts one half; in the second y always wins
    assert statistics.probability_of_improvement(X, Y) == pytest.approx(first / 2)
    assert statistics.probability_of_improvement(Y, X) == pytest.approx(1 - first / 2)
    assert statistics.probability_of_improvement(X, X) == 0.5
    x, y = np.random.default_rng(0).integers(0, 9, size=(2, 30)).astype(float)
    u = stats.mannwhitneyu(x, y[:20]).statistic
    assert statistics.probability_of_improvement(x, y[:20]) == pytest.approx(u / 600)


def test_the_interval_agrees_with_an_independent_loop():
    rng = np.random.default_rng(1)
    x, y = rng.normal(0.5, size=(9, 2)).round(1), rng.normal(size=(6, 2)).round(1)
    draws = []
    for _ in range(3000):
        pairs = [rng.choice(x[:, k], 9)[:, None] - rng.choice(y[:, k], 6) for k in (0, 1)]
        draws.append(np.mean([(each > 0).mean() + (each == 0).mean() / 2 for each in pairs]))
    low, high = statistics.improvement_interval(x, y, reps=4000)
    assert (low, high) == pytest.approx(tuple(np.percentile(draws, [2.5, 97.5])), abs=0.025)


def test_pairs_show_what_the_spread_over_seeds_hides():
    rng = np.random.default_rng(2)
    seeds = rng.normal(0, 10, size=12)  # what the seed decides is in both
    x, y = seeds + 1 + rng.normal(0, 0.3, size=12), seeds + rng.normal(0, 0.3, size=12)
    paired, unpaired = statistics.paired(x, y), statistics.unpaired(x, y)
    assert paired.paired and not unpaired.paired and paired.runs == unpaired.runs == (12, 12)
    assert paired.mean == pytest.approx(unpaired.mean) == pytest.approx(np.mean(x - y))
    assert paired.mean_interval[0] > 0 > unpaired.mean_interval[0]
    assert paired.iqm == pytest.approx(np.sort(x - y)[3:9].mean())
    assert unpaired.iqm == pytest.approx(np.sort(x)[3:9].mean() - np.sort(y)[3:9].mean())
    assert paired.improvement == 1.0 and paired.improvement_interval[0] > 0.7
    assert unpaired.improvement < 0.7 and unpaired.improvement_interval[0] < 0.5
    assert paired.mean_interval == statistics.stratified_bootstrap(x - y, statistic=statistics.mean)


def test_unpaired_intervals_of_the_mean_are_as_wide_as_welchs():
    rng = np.random.default_rng(6)
    x, y = rng.normal(0, 2, size=(40, 1)), rng.normal(1, 3, size=(50, 1))
    found = statistics.unpaired(x, y, reps=3000)
    half = 1.96 * math.sqrt(x.var() / 40 + y.var() / 50)
    centre = x.mean() - y.mean()
    assert found.mean_interval == pytest.approx((centre - half, centre + half), abs=0.08)


def test_a_few_pairs_that_agree_are_no_certainty():
    found = statistics.paired(np.array([1.0, 2, 3, 4]), np.zeros(4))
    assert found.improvement == 1.0 and found.improvement_interval == pytest.approx((0.025**0.25, 1.0))
    ties = statistics.paired(np.array([1.0, 0, 0, -1]), np.zeros(4))
    assert ties.improvement == 0.5
    ends = stats.binomtest(1, 4).proportion_ci().low, stats.binomtest(3, 4).proportion_ci().high
    assert ties.improvement_interval == pytest.approx(ends)


def test_one_run_or_a_number_that_is_not_finite_has_no_interval():
    one = statistics.unpaired(np.array([1.0]), np.array([0.0, 2.0]))
    assert one.mean == 0.0 and one.improvement == 0.5
    assert all(math.isnan(end) for end in (*one.mean_interval, *one.iqm_interval, *one.improvement_interval))
    assert math.isnan(statistics.paired(np.array([1.0]), np.array([0.0])).improvement_interval[0])
    for compare in (statistics.paired, statistics.unpaired):
        bad = compare(np.array([1.0, np.nan]), np.array([0.0, 2.0]))
        assert all(math.isnan(x) for x in (bad.mean, bad.iqm, bad.improvement, *bad.improvement_interval))


def test_what_cannot_be_compared_is_one_line():
    with pytest.raises(UserError, match="2 tasks and the other 3"):
        statistics.unpaired(np.zeros((4, 2)), np.zeros((4, 3)))
    with pytest.raises(UserError, match="or use unpaired"):
        statistics.paired(np.zeros((4, 2)), np.zeros((3, 2)))
