import math
import subprocess
import sys

import numpy as np
import pytest
from scipy import stats

import fastrl
from fastrl import statistics
from fastrl.types import UserError

TABLE = np.array([[0.0, 10.0, 4.0], [1.0, 20.0, 9.0]])


def test_iqm_is_the_mean_of_the_middle_half():
    x = np.array([100.0, 1, 2, 3, 4, 5, 6, -50])
    assert statistics.iqm(x) == pytest.approx((2 + 3 + 4 + 5) / 4)
    table = np.random.default_rng(0).normal(size=(10, 4))
    middle = np.sort(table.ravel())[10:30]
    assert statistics.iqm(table) == pytest.approx(middle.mean())
    assert statistics.iqm(np.array([1.0, 2, 9])) == pytest.approx(4.0)  # below 4 the mean


def test_mean_and_median_are_taken_over_the_means_of_the_tasks():
    assert statistics.mean(TABLE) == pytest.approx((0.5 + 15 + 6.5) / 3)
    assert statistics.median(TABLE) == pytest.approx(6.5) and np.median(TABLE) == 6.5
    assert statistics.median(TABLE * [[1.0], [2.0]]) == pytest.approx(11.0) and np.median(TABLE * [[1.0], [2.0]]) == 7.0
    assert statistics.median(TABLE[:, 1]) == pytest.approx(15.0)


def test_the_optimality_gap_clips_what_exceeds_the_target():
    assert statistics.optimality_gap(np.array([0.5, 0.9, 3.0])) == pytest.approx((0.5 + 0.1 + 0) / 3)
    assert statistics.optimality_gap(TABLE, target=10) == pytest.approx((10 + 0 + 6 + 9 + 0 + 1) / 6)


def test_a_number_that_is_not_finite_is_never_trimmed_away():
    for bad in (np.nan, np.inf):
        x = np.array([1.0, 2, 3, 4, bad])
        for statistic in (statistics.iqm, statistics.mean, statistics.median, statistics.optimality_gap):
            assert math.isnan(statistic(x))


def test_other_shapes_are_one_line():
    with pytest.raises(UserError, match=r"choose one evaluation, for example scores\[:, :, -1\]"):
        statistics.iqm(np.zeros((3, 2, 5)))
    with pytest.raises(UserError, match=r"\(0,\)"):
        statistics.mean(np.zeros(0))


def test_it_is_reached_from_the_package_and_needs_no_jax():
    assert fastrl.statistics is statistics
    code = "import sys, fastrl; fastrl.statistics.iqm([1.0]); sys.exit(bool({'jax', 'matplotlib'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_mean_agrees_with_scipys_trimmed_mean_of_nothing():
    x = np.random.default_rng(4).normal(size=(6, 5))
    assert statistics.mean(x) == pytest.approx(stats.trim_mean(x, 0.0, axis=None))
