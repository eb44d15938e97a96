import numpy as np
import pytest

from fastrl.benchmarks import compare
from fastrl.errors import UserError

STEADY = [10.0, 10.1, 9.9, 10.05, 9.95]


def scaled(by):
    return [by * value for value in STEADY]


def test_what_is_clear_is_told():
    assert compare.judge(scaled(0.8), STEADY, "ms", -1).words == "faster"
    assert compare.judge(scaled(1.2), STEADY, "ms", -1).words == "slower"
    assert compare.judge(scaled(0.8), STEADY, "env steps / s", 1).words == "slower"
    assert compare.judge(scaled(1.2), STEADY, "env steps / s", 1).words == "faster"
    assert compare.judge(scaled(0.8), STEADY, "MB", -1).words == "less"
    assert compare.judge([40] * 5, [40] * 5, "kernels", -1).words == "the same"
    assert compare.judge([41] * 5, [40] * 5, "kernels", -1).words == "more"


def test_noise_is_not_told():
    noisy = [10.0, 14.0, 8.0, 12.0, 9.0]
    assert compare.judge([11.0, 9.5, 13.0, 8.5, 10.5], noisy, "ms", -1).words == "cannot tell"


def test_few_launches_tell_nothing():
    found = compare.judge(scaled(0.1)[:4], STEADY, "ms", -1)
    assert found.words == "cannot tell: fewer than 5 launches" and found.ratio == pytest.approx(0.09995, rel=0.01)
    assert compare.judge(scaled(0.1), STEADY[:4], "ms", -1).words.startswith("cannot tell")


def test_zeros_are_compared_without_a_ratio():
    assert compare.judge([0] * 5, [0] * 5, "copies", -1).words == "the same"
    assert compare.judge([1] * 5, [0] * 5, "copies", -1).words == "cannot tell"


def test_the_ratio_and_what_could_be_seen():
    found = compare.judge(scaled(0.8), STEADY, "ms", -1)
    assert found.ratio == pytest.approx(0.8)
    assert found.low < 0.8 < found.high
    assert 0.002 < found.smallest < 0.02  # launches within 1 % show differences of about that


def test_of_equal_sides_few_are_told_apart():
    random = np.random.default_rng(1)
    sides = [random.normal(10, 1, size=(2, 5)) for _ in range(200)]
    told = [compare.judge(*map(list, side), "ms", -1).words != "cannot tell" for side in sides]
    assert 0 < np.mean(told) < 0.12


def launches(made, values, **fields):
    return [made({"utc": f"2026-01-01T00:00:0{n}Z"}, milliseconds=value, **fields) for n, value in enumerate(values)]


def test_the_table_has_a_verdict_for_each_figure(made):
    text = compare.table(launches(made, scaled(0.8)), launches(made, STEADY))
    row = next(line for line in text.splitlines() if "`milliseconds`" in line)
    assert row.startswith("| learner | small | `milliseconds` | 10 (5) | 8 (5) | ms | 0.800 | ")
    assert row.endswith(" | faster |")
    assert next(line for line in text.splitlines() if "`gflops`" in line).endswith("| the same |")
    assert "not launched by turns" not in text


def test_other_machines_get_no_verdict(made):
    new = [line | {"provenance": line["provenance"] | {"processor": "Other"}} for line in launches(made, scaled(0.8))]
    text = compare.table(new, launches(made, STEADY))
    assert "No verdict: the new lines are of Other, avx2, 2 cores, the old ones of Made-up 7, avx2, 2 cores." in text
    row = next(line for line in text.splitlines() if "`milliseconds`" in line)
    assert "| 0.800 |" in row and row.endswith("| none: other machine |") and "faster" not in text


def test_sides_that_were_not_by_turns_are_said(made):
    old = [line | {"provenance": line["provenance"] | {"utc": "2025-01-01"}} for line in launches(made, STEADY)]
    assert "not launched by turns" in compare.table(launches(made, scaled(0.8)), old)


def test_two_checkouts_in_one_file(made):
    lines = launches(made, scaled(0.8)) + launches(made, STEADY, checkout="abc")
    assert compare.wanted(lines, []) and not compare.wanted(launches(made, STEADY), [])
    assert "| faster |" in compare.table(lines, [])
    with pytest.raises(UserError, match="2 other checkouts"):
        compare.table([*lines, made(checkout="def")], [])


def test_nothing_in_common_is_one_line(made):
    with pytest.raises(UserError, match="no figure in common"):
        compare.table([made(workload="antmaze")], [made()])
