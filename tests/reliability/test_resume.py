"""The benchmark of SIGTERM, on a command that stands in."""

import random

import pytest

from fastrl.benchmarks.reliability import resume


@pytest.mark.parametrize(("fault", "processes"), [("", 1), ("deaf", 1), ("drifts", 1)])
def test_stops_are_counted_and_a_fault_is_noticed(fault, processes, command, tmp_path):
    command(fault)
    expected = resume.whole("wsrl", tmp_path, processes)
    case = resume.interrupted("wsrl", tmp_path, processes, 0, random.Random(0))
    case = resume.judged(case, expected)
    assert [each["phase"] for each in case["stops"]] == ["pretrain", "warmup", "finetune"]
    assert all(each["inside"] and each["saved"] > each["row"] for each in case["stops"])
    counts = resume.counted([case])
    assert case["ok"] is (fault == "") and counts["stops"] == 3
    assert counts["exit_code_143"] == (0 if fault == "deaf" else 3)
    assert counts["different_ends"] == (fault == "drifts")


def test_one_process_of_a_job_that_ends_otherwise_is_noticed():
    end = {"carry": "a", "agent": "b", "log": "c"}
    case = {"processes": 2, "stops": [{"inside": True, "codes": [143, 143]}], "end": end}
    assert resume.judged(case, end)["ok"]
    assert not resume.judged(case, {**end, "agent": "other"})["ok"]
    assert not resume.judged({**case, "stops": [{"inside": True, "codes": [143, 1]}]}, end)["ok"]
