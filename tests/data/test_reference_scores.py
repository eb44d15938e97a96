"""The measured references: complete, in order, and met again by a measurement of a few episodes."""

import dataclasses
import json

import jax
import numpy as np
import pytest
from scipy import stats

from fastrl.collect import references as measuring
from fastrl.data import references, scores
from fastrl.envs import make, names
from fastrl.types import UserError

TABLE = references.table()


def test_the_table_has_every_locomotion_task_and_the_mazes():
    assert {"hopper", "halfcheetah", "walker2d", "ant", "antmaze-umaze"} <= set(TABLE)
    assert {f"pointmaze-{layout}" for layout in ("umaze", "medium", "large")} <= set(TABLE)
    assert set(TABLE) <= set(measuring.names())


@pytest.mark.parametrize("name", TABLE)
def test_experts_are_above_random_and_intervals_hold_their_means(name):
    row = TABLE[name]
    assert row.env == name and row.expert.low > row.random.high
    for end in (row.random, row.expert):
        assert end.low <= end.mean <= end.high and end.episodes >= 100 and end.who
    assert "mujoco" in row.made and "commit" in row.made
    assert references.parsed(json.loads(json.dumps(dataclasses.asdict(row)))) == row


@pytest.mark.parametrize(
    ("env", "options", "name"),
    [
        ("hopper", {}, "D4RL score"),
        ("gymnasium:HalfCheetah-v4", {}, "D4RL score"),
        ("walker2d", {"version": "v4"}, "D4RL score"),
        ("walker2d", {}, "normalised score"),
        ("gymnasium:Walker2d-v5", {}, "normalised score"),
        ("ant", {}, "normalised score"),
        ("pointmaze-medium", {}, "normalised score"),
        ("pointmaze-medium", {"frame_skip": 4}, None),
        ("hopper", {"horizon": 100}, None),
        ("antmaze-large-diverse", {}, "D4RL score"),
        ("antmaze-umaze", {"physics": "d4rl"}, "D4RL score"),
        ("antmaze-umaze", {"physics": "gymnasium"}, None),
        ("brax:hopper", {}, None),
        ("probe-action", {}, None),
    ],
)
def test_what_a_run_is_scored_by(env, options, name):
    found = references.scale(env, options)
    assert (found.name if found else None) == name


def test_the_kinds_of_an_antmaze_are_one_task():
    assert references.measured_as("antmaze-umaze-diverse") == references.measured_as("antmaze-umaze") == "antmaze-umaze"
    assert references.measured_as("antmaze-medium-diverse") == "antmaze-medium-play" in measuring.names()
    assert set(map(references.measured_as, names())) >= set(measuring.names())


def test_scores_are_0_at_random_and_100_at_the_expert():
    row, d4rl = TABLE["pointmaze-umaze"], scores.TASKS["hopper"]
    ours = references.scale("pointmaze-umaze", {})
    np.testing.assert_allclose(ours.of(np.array([row.random.mean, row.expert.mean])), [0, 100])
    np.testing.assert_allclose(references.scale("hopper", {}).of(np.array(d4rl)), [0, 100])


def test_intervals_against_scipy():
    values = np.array([3.0, 5.0, 4.5, 7.0])
    found = references.measured(values, "x", shares=False)
    expected = stats.t.interval(0.95, 3, values.mean(), stats.sem(values))
    np.testing.assert_allclose((found.low, found.high), expected)
    for successes in (0, 3, 20):
        shares = references.measured(np.arange(20) < successes, "x", shares=True)
        wilson = stats.binomtest(successes, 20).proportion_ci(method="wilson")
        np.testing.assert_allclose((shares.low, shares.high), wilson, atol=1e-6)


def test_a_row_is_met_again_by_a_measurement():
    known, now = TABLE["pointmaze-umaze"], measuring.measure("pointmaze-umaze", episodes=20)
    for before, after in ((known.random, now.random), (known.expert, now.expert)):
        assert after.low <= before.high and before.low <= after.high and after.who == before.who
    assert now.expert.mean == 1.0


@pytest.mark.parametrize(("name", "episodes", "match"), [("kitchen-mixed", 5, "no expert"), ("ant", 1, "at least 2")])
def test_what_cannot_be_measured_is_one_line(name, episodes, match):
    with pytest.raises(UserError, match=match):
        measuring.measure(name, episodes)


def test_an_expert_sees_the_state_and_so_the_goal():
    env = measuring.Open(make("pointmaze-umaze"))
    key_reset, key_step = jax.random.split(jax.random.key(0))
    state, (seen, obs) = env.reset(key_reset)
    assert seen is state and obs.shape == (4,) and seen.env.goal.shape == (2,)
    after, step = env.step(key_step, state, np.zeros(2))
    assert step.obs[0] is after and step.obs[1].shape == (4,)
