import fcntl
import subprocess
import sys
import time

import gymnasium
import numpy as np
import pytest

from fastrl.envs import host
from fastrl.envs.host import Pool
from fastrl.types import UserError

ACTIONS = np.random.default_rng(0).uniform(-1, 1, (2, 8, 1)).astype(np.float32)
NAMES = np.array([[5, 0], [6, 1]])


@pytest.fixture
def pool(odd):
    made = Pool("odd", (None, odd, {}), width=6, timeout=30.0)
    yield made
    made.close()


def ask(pool, names, plays, actions):
    return pool(np.concatenate([names, np.broadcast_to(plays, (len(names), 1))], 1), actions)


@pytest.fixture(scope="module")
def truth(odd):
    """What Gymnasium itself shows after each of 8 actions of both episodes [2, 9, 6]."""
    rows = []
    for (seed, _), actions in zip(NAMES, ACTIONS):
        env = gymnasium.make(odd, max_episode_steps=-1, disable_env_checker=True)
        obs, _ = env.reset(seed=int(seed))
        shown = [[*obs["early"], *obs["late"], 0, 0, 0]]
        for action in actions:
            obs, reward, terminated, truncated, _ = env.step(action)
            shown.append([*obs["early"], *obs["late"], reward, terminated, truncated])
        rows.append(shown)
    return np.array(rows, np.float32)


def test_episodes_are_gymnasiums(pool, truth):
    for plays in range(9):
        np.testing.assert_array_equal(ask(pool, NAMES, plays, ACTIONS), truth[:, plays])


def test_an_answer_depends_on_the_question_alone(pool, truth):
    """Asked again, out of order, of another branch, of new processes: the same episode, the same answer."""
    for plays in (3, 4, 4, 2, 7):
        np.testing.assert_array_equal(ask(pool, NAMES, plays, ACTIONS), truth[:, plays])
    other = ACTIONS.copy()
    other[:, 6] = 0.5
    branch = ask(pool, NAMES, 7, other)
    assert (branch[:, 1:] != truth[:, 7, 1:]).any()
    np.testing.assert_array_equal(ask(pool, NAMES, 8, ACTIONS), truth[:, 8])  # goes on from 7 actions, not from `other`
    pool.close()
    np.testing.assert_array_equal(ask(pool, NAMES, 5, ACTIONS), truth[:, 5])
    both = ask(pool, NAMES[[0, 0]], 6, np.stack([ACTIONS[0], other[0]]))  # the same episode twice in a batch
    np.testing.assert_array_equal(both[0], truth[0, 6])


def test_rows_with_nothing_to_do_cost_nothing(pool, truth):
    shown = ask(pool, NAMES, [[-1], [4]], ACTIONS)
    np.testing.assert_array_equal(shown, [np.zeros(6), truth[1, 4]])
    assert sum(worker.count for worker in pool._workers) == 1


def test_simulators_are_shared_out_and_used_again(pool):
    for round in range(3):
        names = np.stack([np.arange(4), np.full(4, round)], 1)
        for plays in range(9):
            ask(pool, names, plays, ACTIONS[[0, 1, 0, 1]])
    counts = [worker.count for worker in pool._workers]
    assert sum(counts) == 4 and max(counts) - min(counts) <= 1
    assert all(worker.running == 0 for worker in pool._workers)


def test_episodes_left_before_their_end_do_not_pile_up(pool, monkeypatch):
    monkeypatch.setattr(host, "MOST", 3)
    for number in range(6):
        ask(pool, np.array([[number, 0]]), 1, ACTIONS[:1])
    assert sum(worker.count for worker in pool._workers) == 3


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("raise", r"odd: copy 1, step 3 of the episode of seed 6, raised RuntimeError: out of fuel; mend .*--resume\)"),
        ("nan", "copy 1, step 3 of the episode of seed 6, returned an observation, which is not finite; bound it"),
        ("exit", "step 3 of the episode of seed 6, ended its process with exit code 7"),
        ("hang", r"step 3 of the episode of seed 6, took more than 0.5 s a step; raise the timeout"),
        ("shape", "step 3 .*, returned an observation 'late' of 3 numbers, and its space has 2"),
    ],
)
def test_a_failure_is_told_in_one_line(odd, fault, message):
    pool = Pool("odd", (None, odd, {"fault": fault}), width=6, timeout=30.0)
    ask(pool, NAMES, 2, ACTIONS)
    pool.timeout = 0.5
    shown = ask(pool, NAMES, [[-1], [3]], ACTIONS)  # a callback cannot raise
    assert np.isnan(shown[:, :4]).all() and (shown[:, 4:] == 1).all()
    assert not pool._workers
    with pytest.raises(UserError, match=message) as caught:
        host.check()
    assert "\n" not in str(caught.value)
    host.check()  # told once
    pool.timeout = 30.0
    assert np.isfinite(ask(pool, NAMES, 2, ACTIONS)).all()  # other processes, the same episode
    host.close()


def test_an_episode_played_again_has_the_time_of_all_its_steps(odd):
    pool = Pool("odd", (None, odd, {"pause": 0.1}), width=6, timeout=30.0)
    ask(pool, NAMES, 1, ACTIONS)
    pool.timeout = 0.4
    assert np.isfinite(ask(pool, NAMES, 8, -ACTIONS)).all()  # 0.8 s
    pool.close()


HELD = """
import fcntl, os, time
import gymnasium
from gymnasium.spaces import Box

class Held(gymnasium.Env):
    observation_space = action_space = Box(-1, 1, (1,))

    def __init__(self, path):
        self.file = open(path, "w")
        fcntl.flock(self.file, fcntl.LOCK_EX)

    def reset(self, seed=None, options=None):
        os.fork()  # a simulator's own process, which holds the file too
        time.sleep(60)
"""
ASKS = """
import sys
import numpy as np
from fastrl.envs.host import Pool
Pool("held", (sys.argv[1], "Held", {"path": sys.argv[2]}), 4, 60.0)(np.zeros((1, 3), int), np.zeros((1, 1, 1)))
"""


def held(file):
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(file, fcntl.LOCK_UN)
    return False


def soon(condition):
    end = time.monotonic() + 20
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return condition()


def test_no_process_outlives_its_pool_or_a_killed_parent(tmp_path):
    script, lock = tmp_path / "held.py", tmp_path / "lock"
    script.write_text(HELD)
    with lock.open("w") as file:
        parent = subprocess.Popen([sys.executable, "-c", ASKS, str(script), str(lock)])
        assert soon(lambda: held(file))
        parent.kill()
        parent.wait()
        assert soon(lambda: not held(file)), "a simulator that hangs, and what it started"
        pool = Pool("held", (str(script), "Held", {"path": str(lock)}), 4, 3.0)
        pool(np.zeros((1, 3), int), np.zeros((1, 1, 1)))
        assert soon(lambda: not held(file)), "after a failure"
    with pytest.raises(UserError, match="took more than 3 s a step"):
        host.check()
