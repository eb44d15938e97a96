"""Every recipe runs from start to end, and one that is stopped in its last phase goes on to the same bits."""

import dataclasses
import io

import numpy as np
import pytest

from fastrl.engine.run import Driver, Interrupted
from fastrl.recipes.table import RECIPES
from fastrl.runs.preempt import StopRequest
from fastrl.runs.progress import Progress

pytestmark = pytest.mark.usefixtures("quick")


def finished(plan, path, stop_at=None):
    """The outcome of a run in a folder; with `stop_at` (phase, step) a signal asks it to leave there."""
    driver = Driver(plan, path, Progress(io.StringIO()), StopRequest())
    plain = driver._save

    def save(number, carry, end):
        if stop_at == (number, int(carry.step)):
            driver.stop.requested = 15
        plain(number, carry, end)

    driver._save = save
    try:
        return driver.run()
    finally:
        driver.record.log.close()


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_stopped_run_ends_in_the_bits_of_one_that_was_not(recipe, plan_of, leaves_of, tmp_path):
    plan = plan_of(recipe, probe_every=10, chunk=10)
    whole = finished(plan, tmp_path / "whole")
    last = len(plan.phases) - 1
    middle = plan.iterations(plan.phases[last]) // 2
    with pytest.raises(Interrupted):
        finished(dataclasses.replace(plan, checkpoint_minutes=0.0), tmp_path / "stopped", (last, middle))
    resumed = finished(plan, tmp_path / "stopped")
    one, other = leaves_of(whole.carry), leaves_of(resumed.carry)
    assert one.keys() == other.keys()
    assert [path for path in one if not np.array_equal(one[path], other[path], equal_nan=True)] == []
    assert repr(whole.rows) == repr(resumed.rows)
    assert {row["kind"] for row in whole.rows} >= {"train", "eval"}
