"""AntMaze's scripted data of an ant that slides where it is sent, and one short collection with the true ant."""

import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from fastrl.collect import walkers
from fastrl.collect.collect import collect
from fastrl.data import datasets, export, rules
from fastrl.envs.antmaze import MAZES, compile_ant
from fastrl.envs.grid import MAZES as SMALL
from fastrl.envs.simulator import Physics, Simulator
from fastrl.types import UserError

SPEED = 0.4  # m a step
HORIZON, COPIES, STEPS = 120, 4, 1200


def sliding(simulator, state, control):
    """Where the first two numbers of the action point, walls or not."""
    after = Physics(state.qpos.at[:2].add(SPEED * control[:2]), state.qvel, state.warmstart)
    return after, after


def steer(qpos, qvel, direction, key):
    return jnp.concatenate([direction, jnp.zeros(6)])


STEERED = walkers.antmaze(steer, noise=0.0)


@pytest.fixture(scope="module")
def slide(quick):
    """`collect` with that ant instead of MuJoCo's."""

    def run(name, steps=STEPS, horizon=HORIZON, copies=COPIES, player=STEERED, **more):
        arguments = {"steps": steps, "copies": copies, "options": {"horizon": horizon}}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Simulator, "step", sliding)
            return collect(name, player, **arguments, **more)

    return run


@pytest.fixture(scope="module")
def umaze(slide):
    return slide("antmaze-umaze", seed=1)


def cells_of(places):
    return np.round(places[:, ::-1] / 4).astype(int) + 1


def test_episodes_last_the_horizon_and_a_copys_rows_end_with_one(umaze):
    ends = [row for row in range(STEPS) if row % 300 in (119, 239, 299)]
    np.testing.assert_array_equal(np.flatnonzero(umaze["timeouts"]), ends)
    same = (umaze["next_observations"][:-1] == umaze["observations"][1:]).all(1)
    np.testing.assert_array_equal(same, ~umaze["timeouts"][:-1])
    np.testing.assert_array_equal(np.c_[umaze["infos/qpos"], umaze["infos/qvel"]], umaze["observations"])
    starts = umaze["observations"][[0, *(row + 1 for row in ends[:-1])]]
    assert np.abs(starts[:, :2]).max() <= 0.1001 and len(np.unique(starts, axis=0)) == len(ends)


def test_rewards_are_for_the_mean_of_the_evaluations_goals(umaze):
    at_goal = np.hypot(umaze["next_observations"][:, 0] - 0.75, umaze["next_observations"][:, 1] - 8.75) <= 0.5
    np.testing.assert_array_equal(umaze["rewards"], at_goal)
    np.testing.assert_array_equal(umaze["terminals"], at_goal)
    assert 20 < at_goal.sum() < STEPS - 400
    assert (at_goal[1:] & at_goal[:-1]).any(), "runs of terminals: no episode ends at a goal"


def test_the_file_is_read_as_d4rls_and_keeps_every_step_at_the_goal_terminal(umaze, tmp_path):
    export.save_d4rl(umaze, tmp_path / "antmaze.hdf5")
    data = datasets.load(tmp_path / "antmaze.hdf5")
    goal = umaze["terminals"]
    kept = ~umaze["timeouts"] | goal
    assert data.rows == kept.sum() == STEPS - 12 + (umaze["timeouts"] & goal).sum()
    np.testing.assert_array_equal(data.next_obs[~goal[kept]], umaze["next_observations"][kept & ~goal])
    np.testing.assert_array_equal(data.mask, 1.0 - umaze["terminals"][kept])
    np.testing.assert_array_equal(rules.antmaze(data).boundary, data.boundary)


def test_goals_are_reached_within_free_cells_by_the_shortest_way(slide):
    rows = slide("antmaze-medium-diverse", steps=6000, horizon=200, copies=30)
    assert walkers.reached(rows, 0.5) == 1.0
    places = rows["next_observations"][:, :2].reshape(30, 200, 2)
    goals = rows["infos/goal"].reshape(30, 200, 2)
    assert (goals == goals[:, :1]).all()
    maze = SMALL["medium"]
    for episode, goal, start in zip(places, goals[:, :1], rows["observations"][::200, :2]):
        cells = cells_of(np.r_[start[None], episode])
        assert not maze.walls[tuple(cells.T)].any()
        way = maze.distances(tuple(cells_of(goal)[0]))
        assert len(np.unique(cells, axis=0)) == 1 + way[tuple(cells[0])]


@pytest.mark.parametrize(
    ("name", "starts", "goals"),
    [
        ("antmaze-umaze", [(1, 1)], [(3, 1)]),
        ("antmaze-umaze-diverse", "any", "any"),
        ("antmaze-medium-play", "any", [(2, 6), (5, 1), (6, 5), (6, 6)]),
        ("antmaze-large-play", "any", [(1, 6), (3, 5), (3, 10), (5, 2), (7, 4), (7, 6), (7, 9)]),
    ],
)
def test_kinds_differ_in_starts_and_goals(slide, name, starts, goals):
    rows = slide(name, steps=3000, horizon=2, copies=300)
    free = set(map(tuple, MAZES[name.split("-")[1]].free.tolist()))
    begins, ends = rows["observations"][::2, :2], rows["infos/goal"][::2]
    assert set(map(tuple, cells_of(begins))) == (free if starts == "any" else set(starts))
    assert set(map(tuple, cells_of(ends))) == (free if goals == "any" else set(goals))
    beside = begins - 4 * (cells_of(begins)[:, ::-1] - 1)
    low, high = (0, 1) if starts == "any" else (-0.1, 0.1)
    assert low <= beside.min() < low + 0.05 and high - 0.05 < beside.max() <= high + 1e-5
    beside = ends - 4 * (cells_of(ends)[:, ::-1] - 1)
    assert 0 <= beside.min() < 0.1 and 1.4 < beside.max() <= 1.5001 and np.abs(beside.mean(0) - 0.75).max() < 0.05
    assert (rows["infos/goal"][1::2] == ends).all()


def test_ultras_goals_are_free_cells():
    starts, goals = walkers.ends_of("antmaze-ultra-play", MAZES["ultra"])
    assert len(starts) == len(MAZES["ultra"].free) and len(set(goals.tolist())) == 21


def test_a_seed_is_a_data_set_and_noise_is_added(slide, umaze):
    again = slide("antmaze-umaze", seed=1)
    for field, column in umaze.items():
        np.testing.assert_array_equal(again[field], column)
    other = slide("antmaze-umaze", seed=2)
    assert not np.array_equal(other["observations"], umaze["observations"])
    noisy = slide("antmaze-umaze", player=walkers.antmaze(lambda qpos, qvel, direction, key: jnp.ones(8)))["actions"]
    assert noisy.max() == 1 and 0.45 < (noisy == 1).mean() < 0.55
    assert abs(np.std(np.r_[noisy[noisy < 1], 2 - noisy[noisy < 1]]) - 0.2) < 0.01


def test_the_share_of_episodes_that_reached_their_goal():
    places = np.array([[0, 0], [3, 0.4], [9, 9], [1, 1], [5, 5], [0, 0]], float)
    goals = np.array([[3, 0], [3, 0], [3, 0], [0, 1], [5, 5], [0, 0]], float)
    arrays = {
        "next_observations": np.c_[places, places],
        "infos/goal": goals,
        "timeouts": np.array([False, False, True, True, True, False]),
    }
    assert walkers.reached(arrays, 0.5) == pytest.approx(2 / 3)
    assert walkers.reached(arrays, 0.3) == pytest.approx(1 / 3)
    assert walkers.reached(arrays, 1.0) == 1.0


def test_bad_requests_are_answered():
    with pytest.raises(UserError, match="probe-constant is no AntMaze"):
        collect("probe-constant", STEERED, steps=10)
    with pytest.raises(UserError, match="leave out the option physics='gymnasium'"):
        collect("antmaze-umaze", STEERED, steps=10, options={"physics": "gymnasium"})


@pytest.mark.slow
def test_the_true_ants_rows_are_cs_steps(quick):
    def stagger(qpos, qvel, direction, key):
        return 0.5 * jnp.ones(8) * direction[0] + 0.1 * qvel[6:]

    rows = collect("antmaze-umaze-diverse", walkers.antmaze(stagger), steps=20, copies=2, options={"horizon": 6})
    np.testing.assert_array_equal(np.flatnonzero(rows["timeouts"]), [5, 9, 15, 19])
    model = compile_ant(MAZES["umaze"], "d4rl")
    model.opt.iterations, model.opt.ls_iterations = 100, 50
    data = mujoco.MjData(model)
    for row in range(20):
        mujoco.mj_resetData(model, data)
        data.qpos[:], data.qvel[:] = rows["infos/qpos"][row], rows["infos/qvel"][row]
        data.ctrl[:] = rows["actions"][row]
        mujoco.mj_step(model, data, 5)
        np.testing.assert_allclose(rows["next_observations"][row], np.r_[data.qpos, data.qvel], atol=2e-3)
