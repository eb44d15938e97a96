"""Effects, intervals and verdicts against numbers worked out by hand, and quantities read from a made-up log."""

import numpy as np
import pytest

from fastrl.experiments import claims
from fastrl.experiments import quantities as q
from fastrl.experiments.claims import Claim


def evaluation(phase, step, online, offline, values):
    return {"kind": "eval", "phase": phase, "step": step, "online": online, "offline": offline, "return": values}


def probe(phase, step, online, offline, values):
    return {"kind": "probe", "phase": phase, "step": step, "online": online, "offline": offline, "offline/q": values}


LOG = [
    evaluation("pretrain", 50, 0, 50, [1.0, 2.0]),
    evaluation("pretrain", 100, 0, 100, [2.0, 4.0]),
    probe("pretrain", 100, 0, 100, [5.0, 5.0]),
    evaluation("warmup", 10, 10, 100, [4.0, 4.0]),
    probe("warmup", 10, 10, 100, [6.0, 5.0]),
    evaluation("finetune", 10, 20, 100, [0.0, 1.0]),
    probe("finetune", 10, 20, 100, [2.0, 1.0]),
    evaluation("finetune", 20, 30, 100, [6.0, 3.0]),
    probe("finetune", 20, 30, 100, [4.0, 2.0]),
    evaluation("finetune", 40, 50, 100, [8.0, 5.0]),
]


def test_quantities_of_a_log():
    steps, values = q.evaluations(LOG)
    assert steps.tolist() == [0, 10, 20, 30, 50]
    np.testing.assert_array_equal(values, [[2, 4, 0, 6, 8], [4, 4, 1, 3, 5]])
    assert q.seeds(LOG) == 2
    np.testing.assert_allclose(q.before(LOG), [3, 4])
    np.testing.assert_allclose(q.final(LOG), [8, 5])
    np.testing.assert_allclose(q.gain(LOG), [5, 1])
    np.testing.assert_allclose(q.dip(LOG), [-3, -3])
    areas = [3 * 10 + 2 * 10 + 3 * 10 + 7 * 20, 4 * 10 + 2.5 * 10 + 2 * 10 + 4 * 20]
    np.testing.assert_allclose(q.average(LOG), np.array(areas) / 50)
    np.testing.assert_allclose(q.rise("offline/q")(LOG), [4 - 6, 2 - 5])
    np.testing.assert_allclose(q.early("offline/q")(LOG), [2 - 6, 1 - 5])
    np.testing.assert_allclose(q.level("offline/q")(LOG), [3, 1.5])
    steps, values = q.series(LOG, "offline/q")
    assert steps.tolist() == [0, 10, 20, 30] and values.shape == (2, 4)


def test_a_phase_of_a_log():
    steps, values = q.inside(LOG, "finetune")
    assert steps.tolist() == [0, 10, 20, 40]
    np.testing.assert_array_equal(values, [[4, 0, 6, 8], [4, 1, 3, 5]])
    np.testing.assert_allclose(q.phase("finetune")(LOG), [14 / 3, 3])
    np.testing.assert_allclose(q.change("finetune")(LOG), [2 / 3, -1])


def test_a_student_interval_of_paired_differences():
    mean, low, high = claims.interval(np.array([1.0, 2.0, 3.0, 4.0, 5.0]))
    half = 2.7764451 * np.sqrt(2.5) / np.sqrt(5)  # t(0.975, 4) of the tables
    np.testing.assert_allclose((mean, low, high), (3, 3 - half, 3 + half), rtol=1e-6)
    assert claims.interval(np.array([3.0])) == (3.0, -np.inf, np.inf)


def test_the_interval_covers_the_truth_as_often_as_it_says():
    random = np.random.default_rng(0)
    inside = 0
    for _ in range(2_000):
        _, low, high = claims.interval(random.normal(size=5))
        inside += low <= 0 <= high
    assert abs(inside / 2_000 - 0.95) < 0.02


@pytest.mark.parametrize(
    ("low", "high", "margin", "expected"),
    [
        (0.1, 0.5, 0.0, "holds"),
        (-0.5, -0.1, 0.0, "does not hold"),
        (0.0, 0.0, 0.0, "does not hold"),
        (-0.1, 0.5, 0.0, "not decided"),
        (-0.1, 0.5, 0.2, "holds"),
        (-0.5, 0.1, 0.2, "not decided"),
        (-0.5, -0.3, 0.2, "does not hold"),
        (-np.inf, np.inf, 0.0, "not decided"),
    ],
)
def test_verdicts(low, high, margin, expected):
    assert claims.verdict(low, high, margin) == expected


def test_a_claim_is_paired_by_seed_and_leaves_frozen_seeds_out():
    constant = lambda values: lambda rows: np.asarray(values[rows[0]["arm"]], float)
    values = {"mine": [1.0, 2.0, np.nan, 4.0], "other": [0.5, 1.0, 1.0, 2.5]}
    arms = {name: [{"arm": name}] for name in values}
    found = claims.examine(Claim("more", constant(values), "mine", "other"), "task", arms)
    assert found.seeds == 3
    np.testing.assert_allclose(found.effect, (0.5 + 1.0 + 1.5) / 3)
    less = claims.examine(Claim("less", constant(values), "mine", "other", sign=-1), "task", arms)
    np.testing.assert_allclose([less.effect, less.low, less.high], [-found.effect, -found.high, -found.low])
    share = claims.examine(Claim("kept", constant(values), "mine", "other", margin=0.1, share=True), "task", arms)
    np.testing.assert_allclose(share.margin, 0.1 * 1.25)
