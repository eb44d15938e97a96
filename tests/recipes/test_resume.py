"""Every recipe runs from start to end, and one that was killed in its last phase goes on to the same bits."""

import io
import shutil

import numpy as np
import pytest

from fastrl.engine.run import Driver
from fastrl.recipes.table import RECIPES
from fastrl.runs.preempt import StopRequest
from fastrl.runs.progress import Progress

pytestmark = pytest.mark.usefixtures("quick")


def finished(plan, path, copy_at=None):
    """The outcome of a run in a folder; at `copy_at` (phase, step) it is saved, and the folder copied to `killed`."""
    driver = Driver(plan, path, Progress(io.StringIO()), StopRequest())
    plain = driver._save

    def save(number, carry, end):
        plain(number, carry, end)
        if copy_at == (number, int(carry.step)):
            driver._checkpoint(number, carry, len(driver.record.rows))
            shutil.copytree(path, path.with_name("killed"))

    driver._save = save
    try:
        return driver.run()
    finally:
        driver.record.log.close()


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_killed_run_ends_in_the_bits_of_one_that_was_not(recipe, plan_of, unevaluated, leaves_of, tmp_path):
    plan = unevaluated(plan_of(recipe))
    last = len(plan.phases) - 1
    middle = plan.iterations(plan.phases[last]) // 2
    whole = finished(plan, tmp_path / "whole", (last, middle))
    resumed = finished(plan, tmp_path / "killed")
    one, other = leaves_of(whole.carry), leaves_of(resumed.carry)
    assert one.keys() == other.keys()
    assert [path for path in one if not np.array_equal(one[path], other[path], equal_nan=True)] == []
    assert repr(whole.rows) == repr(resumed.rows)
    assert {row["phase"] for row in whole.rows if row["kind"] == "train"} == {phase.name for phase in plan.phases}
