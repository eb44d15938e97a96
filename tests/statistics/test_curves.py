import math

import numpy as np
import pytest

from fastrl import statistics
from fastrl.types import UserError


def test_a_profile_is_the_share_above_each_threshold():
    x = np.array([[0.0, 1.0], [0.5, 1.0], [0.5, 2.0], [1.0, 3.0]])
    found = statistics.performance_profile(x, [-1.0, 0.0, 0.5, 1.0, 3.0])
    assert found.value.tolist() == [1.0, 7 / 8, 5 / 8, 2 / 8, 0.0]
    assert found.low[0] == found.high[0] == 1.0  # no redraw of these runs says otherwise
    assert (found.low[1:4] < found.value[1:4]).all() and (found.value[1:4] < found.high[1:4]).all()
    assert found.high[2] == statistics.stratified_bootstrap(x > 0.5, statistic=statistics.mean)[1]


def test_a_curve_is_the_statistic_at_each_evaluation():
    x = np.random.default_rng(0).normal(size=(8, 3, 4)) + np.arange(4)
    steps = np.array([0, 100, 200, 300])
    found = statistics.sample_efficiency(x, steps)
    assert found.at is not x and found.at.tolist() == steps.tolist()
    assert found.value == pytest.approx([statistics.iqm(x[:, :, n]) for n in range(4)])
    assert (found.low[2], found.high[2]) == statistics.stratified_bootstrap(x[:, :, 2])
    means = statistics.sample_efficiency(x, steps, statistic=statistics.mean)
    assert means.value == pytest.approx(x.mean((0, 1))) and means.value != pytest.approx(found.value)


def test_wrong_shapes_and_what_is_not_finite():
    with pytest.raises(UserError, match=r"are not \[runs, tasks, 3\]"):
        statistics.sample_efficiency(np.zeros((4, 2, 5)), np.arange(3))
    found = statistics.performance_profile(np.array([1.0, np.nan, 2.0]), [0.0, 1.5])
    assert np.isnan(found.value).all() and np.isnan(found.low).all()
    one = statistics.performance_profile(np.array([1.0]), [0.0, 1.5])
    assert one.value.tolist() == [1.0, 0.0] and np.isnan(one.low).all()


def test_summary_of_a_rise_and_fall():
    returns = np.array([[0.0, 10, 4], [1, 11, 5], [2, 12, 6], [3, 13, 7]])
    found = statistics.summary(returns)
    assert found.final_mean == pytest.approx(5.5) and found.final_iqm == pytest.approx(5.5)
    assert found.best_index == 1 and found.best_iqm == pytest.approx(11.5)
    assert found.final_interval[0] < 5.5 < found.final_interval[1]
    assert found.best_interval == pytest.approx(tuple(6 + edge for edge in found.final_interval))


def test_a_summary_says_what_was_not_finite():
    found = statistics.summary(np.array([[1.0, np.nan], [2.0, 3.0]]))
    assert math.isnan(found.final_iqm) and found.best_index == 0 and found.best_iqm == 1.5
