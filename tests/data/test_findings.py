"""What is said of a dataset and what is refused: each odd kind, and that ordinary data are none of them."""

import dataclasses

import h5py
import numpy as np
import pytest

from fastrl.data import datasets, findings
from fastrl.data.datasets import Dataset
from fastrl.types import Spec, UserError

LENGTH = 25


def walk(episodes=8, rows=LENGTH):
    """A point on a plane by D4RL's keys; every row has its true next observation."""
    rng, parts = np.random.default_rng(0), []
    for _ in range(episodes):
        action = rng.uniform(-1, 1, (rows, 2))
        place = rng.normal(size=2) * 3 + np.concatenate([np.zeros((1, 2)), 0.1 * action.cumsum(0)])
        parts.append((place[:-1], action, -np.abs(place[1:, 0]), np.arange(rows) == rows - 1, place[1:]))
    obs, action, reward, last, following = (np.concatenate(column) for column in zip(*parts, strict=True))
    columns = {"observations": obs, "actions": action, "rewards": reward, "terminals": 0 * last, "timeouts": last}
    return columns | {"next_observations": following}


def load(tmp_path, columns, **options):
    with h5py.File(tmp_path / "d.hdf5", "w") as file:
        for key, value in columns.items():
            file[key] = value
    return datasets.load(tmp_path / "d.hdf5", **options)


def plain(**changes):
    return {k: v for k, v in walk().items() if k != "next_observations"} | changes


def test_ordinary_data_are_left_alone(tmp_path):
    data = load(tmp_path, walk())
    assert data.rows == 8 * (LENGTH - 1) and findings.said(data) == []
    whole = load(tmp_path, walk(), next_observations="file")
    assert whole.rows == 8 * LENGTH and findings.said(whole) == [] and whole.boundary.sum() == 8
    np.testing.assert_allclose(whole.next_obs, walk()["next_observations"].astype("f"))


def test_what_is_legal_but_rarely_meant_is_said(tmp_path):
    still = plain(rewards=np.zeros(200), timeouts=np.zeros(200), actions=walk()["actions"] * [1, 0])
    lines = findings.said(load(tmp_path, still))
    for line, part in zip(lines, ["every reward is 0", "no episode ends", "action 1 never changes"], strict=True):
        assert part in line and str(tmp_path) in line


def test_successors_that_contradict_the_next_row_are_counted_and_refused(tmp_path):
    order = np.random.default_rng(1).permutation(200)
    shuffled = {k: v[order] for k, v in walk().items()}
    late = walk() | {"timeouts": np.roll(walk()["timeouts"], 3)}
    fifth = {k: v[::5] for k, v in walk().items()}
    for columns, count in (
        (shuffled, "in 185 of 191 rows"),
        (late, "in 7 of 191 rows"),
        (fifth, "in 39 of 39 rows"),
    ):
        with pytest.raises(UserError, match=count + ".*--next-observations file") as caught:
            load(tmp_path, columns)
        assert "\n" not in str(caught.value)
    data = load(tmp_path, shuffled, next_observations="file")
    assert data.rows == 200 and data.reading == ("next_observations=file",)
    np.testing.assert_allclose(data.next_obs, shuffled["next_observations"].astype("f"))
    assert any("no trajectory can be followed" in line for line in findings.said(data))
    with pytest.raises(UserError, match="no trajectory can be followed; Monte-Carlo returns need whole trajectories"):
        findings.check_followed(data)
    findings.check_followed(load(tmp_path, walk(), next_observations="file"))
    with pytest.raises(UserError, match="has no 'next_observations' to take; leave --next-observations out"):
        load(tmp_path, plain(), next_observations="file")
    rounded = walk() | {"next_observations": walk()["next_observations"] * (1 + 1e-7)}
    assert load(tmp_path, rounded).rows == 192


def test_a_terminal_counts_where_a_row_is_timed_out_too(tmp_path):
    data = load(tmp_path, plain(terminals=walk()["timeouts"]))
    assert data.rows == 200 and (data.mask == 0).sum() == 8 == data.boundary.sum()
    assert data.notes == ("8 rows are terminal and timed out at once; they count as terminal",)


def test_the_only_success_stays_where_it_is_the_last_row(tmp_path):
    success = plain(rewards=np.arange(200) == 199, terminals=np.arange(200) == 199)
    success["timeouts"] = success["timeouts"] & (np.arange(200) != 199)
    data = load(tmp_path, success).without_tail()
    assert data.reward[-1] == 1 and data.mask[-1] == 0 and data.boundary[-1]


def test_a_buffer_that_was_written_in_part_is_refused(tmp_path):
    def unused(rows):
        return {k: np.concatenate([v, np.zeros((rows, *v.shape[1:]), v.dtype)]) for k, v in plain().items()}

    with pytest.raises(
        UserError, match=r"every array is zero from row 200 to the end \(50 rows\).*first 200 rows only"
    ):
        load(tmp_path, unused(50))
    assert load(tmp_path, unused(9)).rows == 8 * (LENGTH - 1) + 8  # a robot may rest at its origin


def test_what_float32_does_not_hold_is_said_by_column(tmp_path):
    clock = walk()["observations"] + np.array([1.7e9, 0.0])
    (line,) = load(tmp_path, plain(observations=clock)).notes
    assert line.startswith(
        "float32 does not hold 'observations' in column 0: numbers near 1.7e+09 are rounded by up to "
    )
    counts = np.arange(200)[:, None] + [0, 1 << 40]
    (line,) = load(tmp_path, plain(observations=counts)).notes
    assert "in column 1" in line


@pytest.mark.parametrize(("values", "shown"), [((0, 1), "0, 1"), ((-1, 1), "-1, 1"), ((-1, 0, 1), "-1, 0, 1")])
def test_whole_number_actions_are_said(tmp_path, values, shown):
    actions = np.random.default_rng(0).choice(values, (200, 1))
    (line,) = findings.said(load(tmp_path, plain(actions=actions)))
    assert f"every action is a whole number ({shown})" in line


def test_a_time_limit_stored_as_a_terminal_is_said(tmp_path):
    columns = plain(terminals=walk()["timeouts"], timeouts=np.zeros(200))
    (line,) = findings.said(load(tmp_path, columns))
    assert f"all 8 episodes end as terminal after exactly {LENGTH} steps" in line
    columns["terminals"] = np.arange(200) % 30 == 29  # not of one length, as the last one is open
    columns["terminals"][100] = True
    assert findings.said(load(tmp_path, columns)) == []
    every = plain(terminals=np.ones(200), timeouts=np.zeros(200))  # AntMaze's runs of terminals
    assert findings.said(load(tmp_path, every)) == []


def test_actions_in_the_environments_own_bounds_are_said_and_rescaled(tmp_path):
    spec = Spec("valve", 2, 2, 100, action_low=0.1, action_high=0.7)
    raw = np.random.default_rng(0).uniform(0.1, 0.7, (200, 2))
    line = findings.raw_actions(load(tmp_path, plain(actions=raw)), spec)
    assert "no action leaves valve's own bounds, 0.1 to 0.7" in line and "--actions environment" in line
    data = load(tmp_path, plain(actions=raw), actions=(0.1, 0.7))
    kept = np.arange(200) % LENGTH != LENGTH - 1
    np.testing.assert_allclose(data.action, ((raw - 0.4) / 0.3)[kept], atol=2e-5)
    assert data.reading == ("actions=[0.1, 0.7]",) and findings.raw_actions(data, spec) == ""
    unit = load(tmp_path, plain())
    assert findings.raw_actions(unit, spec) == ""  # they leave the bounds
    assert findings.raw_actions(unit, Spec("wide", 2, 2, 100, action_low=-2.0, action_high=2.0)) == ""
    assert findings.raw_actions(load(tmp_path, plain(actions=raw)), Spec("unit", 2, 2, 100)) == ""
    wide = load(tmp_path, plain(actions=raw * 4 - 1.6), actions=((-2.0, -2.0), (2.0, 2.0)))
    np.testing.assert_allclose(wide.action, (raw * 2 - 0.8)[kept], atol=2e-5)
    with pytest.raises(UserError, match=r"leaves the bounds .* at row \d+: .*correct the file"):
        load(tmp_path, plain(), actions=(0.1, 0.7))
    with pytest.raises(UserError, match="the environment's bounds are not known here"):
        load(tmp_path, plain(), actions="environment")


def test_arrays_whose_rows_jump_are_said():
    columns = walk()
    given = [columns[key] for key in ("observations", "actions", "rewards")]
    following = columns["next_observations"].copy()
    following[[3, 9]] += 1
    data = Dataset.from_arrays(*given, np.ones(200), following, columns["timeouts"], name="mine")
    assert findings.said(data) == ["mine: 2 of 200 rows end no episode and are not followed by their successor"]
    calm = dataclasses.replace(data, notes=())
    assert findings.said(calm) == []
