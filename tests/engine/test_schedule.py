"""When a run evaluates, logs and looks into its agents: moments counted by hand, nothing is run but one tiny plan."""

import numpy as np
import pytest

from fastrl.engine.schedule import Schedule

pytestmark = pytest.mark.usefixtures("quick")


def moments(plan, number, what):
    schedule, phase = Schedule(plan), plan.phases[number]
    asked = {
        "evaluations": lambda done: schedule.evaluates(number, done),
        "probes": lambda n: schedule.probes(phase, n),
    }
    return [done for done in range(1, plan.iterations(phase) + 1) if asked[what](done)]


def test_evaluations_stand_closer_in_the_first_tenth_that_learns(plan_of):
    plan = plan_of("sac", warmup=20, steps=220, eval_every=50, switch_eval_every=4)
    assert [phase.steps for phase in plan.phases] == [20, 200]
    assert moments(plan, 0, "evaluations") == [20]
    assert moments(plan, 1, "evaluations") == [4, 5, 8, 12, 16, 20, 50, 100, 150, 200]
    plain = plan_of("sac", warmup=20, steps=220, eval_every=50)
    assert moments(plain, 1, "evaluations") == [5, 50, 100, 150, 200]


def test_a_policy_that_stays_is_evaluated_at_the_end_alone(plan_of):
    plan = plan_of("o2sac", eval_every=5)
    assert [phase.name for phase in plan.phases[:3]] == ["pretrain", "reevaluate", "align"]
    assert [moments(plan, n, "evaluations") for n in range(3)] == [[5, 10, 15, 20], [20], [5, 10, 15, 20]]


def test_every_moment_falls_between_two_calls_of_the_program(plan_of):
    plan = plan_of("sac", warmup=20, steps=220, eval_every=50, switch_eval_every=4, probe_every=30, chunk=50)
    schedule, phase = Schedule(plan), plan.phases[1]
    length = schedule.length(phase, 0)
    assert all(done % length == 0 for what in ("evaluations", "probes") for done in moments(plan, 1, what))
    assert moments(plan, 1, "probes") == [30, 60, 90, 120, 150, 180, 200]
    assert schedule.length(phase, 6) in (1, 2) and 50 % schedule.length(phase, 0) == 0


def test_several_environments_count_together(plan_of):
    plan = plan_of("sac", warmup=20, steps=220, eval_every=10, switch_eval_every=2, num_envs=2)
    assert plan.iterations(plan.phases[1]) == 100
    assert moments(plan, 1, "evaluations")[:4] == [1, 2, 4, 6]


def test_samples_are_played_beside_the_mode_and_their_steps_are_counted(plan_of, execute):
    plan = plan_of("sac", "probe-action", eval_sampled=True, eval_every=20)
    rows = [row for row in execute(plan).rows if row["kind"] == "eval"]
    plain = [row for row in execute(plan_of("sac", "probe-action", eval_every=20)).rows if row["kind"] == "eval"]
    for row, other in zip(rows, plain, strict=True):
        assert {name: row[name] for name in other if name != "eval_steps"} == {
            name: other[name] for name in other if name != "eval_steps"
        }
        assert not np.allclose(row["sampled_return"], row["return"])
        assert np.shape(row["sampled_return"]) == (2,)
        assert row["eval_steps"] > other["eval_steps"]
