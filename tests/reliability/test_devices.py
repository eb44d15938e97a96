"""The benchmark of devices, on a command that stands in."""

import pytest

from fastrl.benchmarks.reliability import common, devices


@pytest.mark.parametrize("fault", ["", "devices"])
def test_moves_are_counted_and_a_fault_is_noticed(fault, command, tmp_path):
    command(fault)
    common.done(common.command("wsrl", tmp_path, tmp_path / "alone", seeds=devices.SEEDS), tmp_path)
    case = devices.way("wsrl", tmp_path, (1, 2), common.end(tmp_path / "alone"))
    assert [(each["devices"], each["code"]) for each in case["stops"]] == [(1, 143)] and case["stops"][0]["saved"] > 0
    assert case["ok"] is all(case["same"].values()) is (fault == "")


@pytest.mark.parametrize("fault", ["", "seeds"])
def test_other_seeds_must_be_refused_and_leave_the_folder_alone(fault, command, tmp_path):
    command()
    out = tmp_path / "run"
    common.done(common.command("wsrl", tmp_path, out, seeds=devices.SEEDS), tmp_path)
    command(fault)
    found = {(each["what"], each["seeds"]): each["ok"] for each in devices.seeds(tmp_path, out)}
    assert found.pop(("resume", 2)) is found.pop(("resume", 4)) is (fault == "")
    assert len(found) == 3 and all(found.values())
