"""The figures of rliable 1.2.0 (NumPy 2.4.6, SciPy 1.17.1, arch 7.2.0) on the arrays below.

They were made in an environment of its own: after `np.random.seed(7)`, `library.get_interval_estimates({"x": X}, lambda
x: np.array([f(x)]), reps=...)` with f one of `metrics.aggregate_*`, the same with the pair (X, Y) and
`metrics.probability_of_improvement`, `library.create_performance_profile({"x": X}, TAUS, reps=500)`, and for Z f =
`lambda z: np.array([metrics.aggregate_iqm(z[..., n]) for n in range(5)])`. rliable redraws with NumPy's global random
numbers, which are frozen; the same redraws must give the same interval, not a near one.
"""

import numpy as np
import pytest

from fastrl import statistics
from fastrl.statistics import bootstrap, compare

_DRAW = np.random.RandomState(0)
X = _DRAW.uniform(0, 1.2, (10, 4)).round(2)
Y = _DRAW.uniform(0, 1.0, (7, 4)).round(2)
Z = _DRAW.uniform(0, 1.0, (6, 3, 5)).round(2)
TAUS = np.array([0.0, 0.25, 0.5, 0.75, 1.0, 1.25])
FIGURES = {  # of X, its interval with 500 redraws, with 50,000, and of Y
    "iqm": (0.726, (0.6259, 0.8205749999999999), (0.6225, 0.8265), 0.32857142857142857),
    "mean": (0.6892499999999999, (0.5888562500000001, 0.7749062499999999), (0.59275, 0.784), 0.37714285714285717),
    "median": (0.7055, (0.5997125, 0.8052625000000001), (0.5895, 0.812), 0.4035714285714286),
    "optimality_gap": (0.331, (0.25385625000000006, 0.42319375), (0.2455, 0.42025), 0.6228571428571429),
}
CURVE = [0.67, 0.506, 0.527, 0.512, 0.424]
CURVE_LOW, CURVE_HIGH = [0.524, 0.32, 0.38, 0.4, 0.229], [0.748, 0.687, 0.665, 0.65, 0.634]  # with 50,000


@pytest.fixture
def theirs(monkeypatch):
    """Replaces our redraws by rliable's: the global generator, in each redraw one array after the other."""

    def redraw(*shapes):
        state = np.random.RandomState(7)
        drawn = [[state.choice(shape[0], shape) for shape in shapes] for _ in range(500)]
        queue = [np.array(each) for each in zip(*drawn, strict=True)]
        given = lambda rng, reps, runs, tasks: queue.pop(0) if len(shapes) > 1 else queue[0]
        for module in (bootstrap, compare):
            monkeypatch.setattr(module, "rows", given)

    return redraw


@pytest.mark.parametrize("name", FIGURES)
def test_aggregates_and_their_intervals(theirs, name):
    statistic, (value, exact, long, other) = getattr(statistics, name), FIGURES[name]
    assert statistic(X) == pytest.approx(value, abs=1e-12) and statistic(Y) == pytest.approx(other, abs=1e-12)
    own = statistics.stratified_bootstrap(X, reps=5000, statistic=statistic)
    assert own == pytest.approx(long, abs=0.008)  # other redraws
    theirs(X.shape)
    assert statistics.stratified_bootstrap(X, reps=500, statistic=statistic) == pytest.approx(exact, abs=1e-12)


def test_the_gap_to_another_target():
    assert statistics.optimality_gap(X, 0.5) == pytest.approx(0.067)


def test_probability_of_improvement(theirs):
    assert statistics.probability_of_improvement(X, Y) == pytest.approx(0.7517857142857143, abs=1e-12)
    assert statistics.probability_of_improvement(Y, X) == pytest.approx(0.24821428571428572, abs=1e-12)
    assert statistics.probability_of_improvement(X, X) == 0.5
    theirs(X.shape, Y.shape)
    found = statistics.improvement_interval(X, Y, reps=500)
    assert found == pytest.approx((0.6321428571428571, 0.8642857142857143), abs=1e-12)


def test_performance_profile(theirs):
    theirs(X.shape)
    found = statistics.performance_profile(X, TAUS, reps=500)
    assert found.value == pytest.approx([1.0, 0.85, 0.775, 0.425, 0.175, 0.0], abs=1e-12)
    assert found.low == pytest.approx([1.0, 0.75, 0.65, 0.275, 0.075, 0.0], abs=1e-12)
    assert found.high == pytest.approx([1.0, 0.925, 0.875, 0.55, 0.275, 0.0], abs=1e-12)


def test_sample_efficiency():
    """rliable redraws each evaluation by itself, we redraw whole runs: at each evaluation that is the same."""
    found = statistics.sample_efficiency(Z, np.arange(5), reps=10_000)
    assert found.value == pytest.approx(CURVE, abs=1e-12)
    assert found.low == pytest.approx(CURVE_LOW, abs=0.012) and found.high == pytest.approx(CURVE_HIGH, abs=0.012)
