import io
import types

import jax
import numpy as np
import pytest

from fastrl.collect import collect as collecting
from fastrl.collect import columns, players, walkers
from fastrl.collect.collect import collect
from fastrl.data import datasets, export
from fastrl.envs.grid import MAZES
from fastrl.runs.progress import Progress
from fastrl.types import UserError

OPTIONS = {"frame_skip": 4, "horizon": 150}


@pytest.fixture(scope="module")
def scripted():
    return collect("pointmaze-medium", walkers.pointmaze(max_distance=7), steps=4000, seed=1, options=OPTIONS)


def test_scripted_data_reaches_the_goal_from_cells_within_reach(scripted):
    ends = scripted["terminals"] | scripted["timeouts"]
    assert not (scripted["terminals"] & scripted["timeouts"]).any()
    np.testing.assert_array_equal(scripted["rewards"], scripted["terminals"])
    assert scripted["terminals"].sum() > 10 and scripted["timeouts"].sum() > 10
    maze = MAZES["medium"]
    starts = scripted["observations"][1:][ends[:-1]]
    row, column = np.floor(4 - starts[:, 1]).astype(int), np.floor(starts[:, 0] + 4).astype(int)
    distance = maze.distances(maze.goal)[row, column]
    assert distance.min() >= 0 and distance.max() == 7
    reached = scripted["next_observations"][scripted["terminals"]][:, :2]
    assert np.linalg.norm(reached - maze.centre(maze.goal), axis=1).max() <= 0.4501


def test_rows_follow_one_another_until_an_episode_ends(scripted):
    ends = scripted["terminals"] | scripted["timeouts"]
    same = (scripted["next_observations"][:-1] == scripted["observations"][1:]).all(1)
    np.testing.assert_array_equal(same, ~ends[:-1])
    physics = np.concatenate([scripted["infos/qpos"], scripted["infos/qvel"]], 1)
    np.testing.assert_array_equal(physics, scripted["observations"])
    assert np.abs(scripted["actions"]).max() <= 1


def test_a_seed_is_a_data_set(scripted):
    player = walkers.pointmaze(max_distance=7)
    again = collect("pointmaze-medium", player, steps=50, seed=1, options=OPTIONS)
    np.testing.assert_array_equal(again["observations"], scripted["observations"][:50])
    other = collect("pointmaze-medium", player, steps=50, seed=2, options=OPTIONS)
    assert not np.array_equal(other["observations"], again["observations"])


def test_random_actions_fill_the_range_of_an_agent():
    rows = collect("probe-termination", players.uniform(), steps=200)
    assert rows["actions"].min() < -0.9 and rows["actions"].max() > 0.9
    np.testing.assert_array_equal(np.flatnonzero(rows["terminals"]), np.arange(4, 200, 5))
    assert "infos/qpos" not in rows and not rows["timeouts"].any()


def test_actions_are_the_agents_own_whatever_the_bounds_and_a_run_reads_them(tmp_path):
    rows = collect(
        "gymnax:Pendulum-v1", players.uniform(), steps=50
    )  # torque in [-2, 2], 3 / (m l^2) dt = 0.15 of it a step
    _, sin, speed = rows["observations"].T
    torque = (rows["next_observations"][:, 2] - speed - 0.75 * sin) / 0.15
    assert 0.9 < np.abs(rows["actions"]).max() <= 1
    np.testing.assert_allclose(torque, 2 * rows["actions"][:, 0], atol=1e-3)
    export.save_d4rl(rows, tmp_path / "d.hdf5")
    read = datasets.load(tmp_path / "d.hdf5").action
    np.testing.assert_allclose(read, rows["actions"][: len(read)], atol=2e-5)  # clipped to 1 - 1e-5


def test_pieces_change_nothing_and_say_how_far_it_is(monkeypatch):
    lines = io.StringIO()
    rows = collect("probe-delayed", players.uniform(), steps=502, copies=2, progress=Progress(lines))
    assert lines.getvalue().startswith("collect: 502 steps\n")
    monkeypatch.setattr(columns, "PARTS", 1)
    done = []
    monkeypatch.setattr(Progress, "update", lambda self, steps: done.append(steps))
    whole = collect("probe-delayed", players.uniform(), steps=502, copies=2, progress=Progress(lines))
    assert done == [502] and whole.keys() == rows.keys()
    for field, column in whole.items():
        np.testing.assert_array_equal(column, rows[field])


def test_a_policys_rows_stand_copy_by_copy_with_an_end_at_each():
    def act(obs, key):
        return 0.5 * jax.numpy.ones((len(obs), 1))

    rows = collect("probe-truncation", players.policy(act), steps=36, copies=2)
    np.testing.assert_allclose(rows["actions"], 0.5, atol=1e-6)
    np.testing.assert_array_equal(np.flatnonzero(rows["timeouts"]), [4, 9, 14, 17, 22, 27, 32, 35])
    noisy = collect("probe-truncation", players.policy(act, noise=0.1), steps=36, copies=2)
    assert 0.05 < noisy["actions"].std() < 0.15
    with pytest.raises(UserError, match="multiple of the number of environments"):
        collect("probe-truncation", players.uniform(), steps=35, copies=2)


def test_bad_requests_are_answered():
    with pytest.raises(UserError, match="probe-constant is no PointMaze"):
        collect("probe-constant", walkers.pointmaze(), steps=10)
    with pytest.raises(UserError, match="one environment, not 2"):
        collect("pointmaze-umaze", walkers.pointmaze(), steps=10, copies=2)
    with pytest.raises(UserError, match="noise is -1, it must be 0 or more"):
        players.policy(lambda obs, key: obs, noise=-1)
    with pytest.raises(UserError, match="at least 1"):
        collect("probe-constant", players.uniform(), steps=0)
    with pytest.raises(UserError, match="one evaluation goal"):
        collect("pointmaze-umaze", walkers.pointmaze(), steps=5, options={"goal": "random", "start_distance": 1})


def test_a_simulator_that_is_lost_is_no_data(monkeypatch):
    env = collecting.make("probe-truncation")

    def step(key, state, action):
        after, out = env.step(key, state, action)
        return after, out._replace(obs=out.obs / 0.0)

    broken = types.SimpleNamespace(spec=env.spec, reset=env.reset, step=step, env=env.env)
    monkeypatch.setattr(collecting, "make", lambda name: broken)
    with pytest.raises(UserError, match="no longer finite after row 0; try another seed"):
        collect("probe-truncation", players.uniform(), steps=3)
