"""What simulators of users do wrong is told in the words that mend it, by `check` as by a run."""

import sys

import jax
import numpy as np
import pytest

from fastrl import envs
from fastrl.envs import Rescale, Vector, check, host, worker
from fastrl.types import UserError

USERS = """
import gymnasium, numpy as np
from gymnasium.spaces import Box, Dict

class Good(gymnasium.Env):
    observation_space = Box(-10, 10, (2, 2), np.float32)
    action_space = Box(np.array([[-1, 0.1], [0, -2]]), np.array([[1, 0.1], [1, 2]]), dtype=np.float64)

    def reset(self, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros((2, 2)), {}

    def step(self, action):
        assert self.action_space.contains(action), action
        return action, np.array([[action.sum()]]), np.array([False]), 0, {}

def answers(**changes):
    def step(self, action):
        return tuple({**dict(zip("abcde", Good.step(self, action))), **changes}.values())
    return type("Answers", (Good,), {"step": step})

class OldReset(Good):
    def reset(self, seed=None, options=None):
        return super().reset(seed=seed)[0]

class NoSeed(Good):
    def reset(self):
        return np.zeros((2, 2)), {}

class SeedAlone(Good):
    def reset(self, seed=None):
        return np.zeros((2, 2)), {}

class OldStep(Good):
    def step(self, action):
        return action, 0.0, False, {}

class Bare(Good):
    def step(self, action):
        assert action.shape == (7,)

class Later(Good):
    time = 0
    def step(self, action):
        self.time += 1
        if self.time == 4:
            raise RuntimeError("motor\\nburnt")
        return super().step(action)

class Inner(Good):
    def __init__(self):
        if "fastrl" not in __import__("sys").modules:  # as one that only the user's own script registers
            gymnasium.make("Nowhere-v0")

class Dice(Good):
    def reset(self, seed=None, options=None):
        return np.random.uniform(-1, 1, (2, 2)), {}

class Keys(Good):
    observation_space = Dict({"a": Box(-1, 1, (2,)), "b": Box(-1, 1, (1,))})
    def reset(self, seed=None, options=None):
        return {"a": np.zeros(2)}, {}

class NoSpace(gymnasium.Env):
    pass

class Unsaid(Good):
    def __init__(self):
        raise NotImplementedError

class Leaves(Good):
    def __init__(self):
        raise SystemExit(3)

ANSWERS = {
    "RewardVector": answers(b=np.zeros(2)), "RewardNone": answers(b=None), "RewardNan": answers(b=np.nan),
    "FlagNone": answers(c=None), "FlagVector": answers(d=np.zeros(2, bool)), "FlagText": answers(c="no"),
    "FlagHalf": answers(d=0.5), "Size": answers(a=np.zeros(3)), "Nothing": answers(a=None),
    "Ragged": answers(a=[[1.0], [1.0, 2.0]]), "Endless": answers(a=np.full((2, 2), 1e39)),
}
CLASSES = [value for value in globals().values() if isinstance(value, type) and issubclass(value, gymnasium.Env)]
for name, kind in {**{kind.__name__: kind for kind in CLASSES}, **ANSWERS}.items():
    gymnasium.register(name + "-v0", entry_point=kind, max_episode_steps=8)
"""
WRONG = [
    (
        "OldReset",
        "returned one ndarray from reset, not 2; let reset take seed=None and .* return obs, info",
    ),
    ("NoSeed", "raised TypeError: .*unexpected keyword argument 'seed'; let reset take seed=None and options=None"),
    (
        "SeedAlone",
        "raised TypeError: .*unexpected keyword argument 'options'; let reset take seed=None and",
    ),
    ("OldStep", "returned 4 values from step, not 5; let step return obs, reward, terminated, truncated, info"),
    ("RewardVector", r"returned an array of shape \(2,\) as reward from step; let reward be one number"),
    ("RewardNone", "returned None as reward from step; let reward be one number"),
    ("RewardNan", "returned the reward nan, which is not finite"),
    ("FlagNone", "returned None as terminated from step; let terminated be True or False"),
    ("FlagVector", r"returned an array of shape \(2,\) as truncated from step; let truncated be True or False"),
    ("FlagText", "returned 'no' as terminated from step; let terminated be True or False"),
    ("FlagHalf", "returned 0.5 as truncated from step; let truncated be True or False"),
    ("Size", "returned an observation of 3 numbers, and its space has 4; let reset and step return what obs"),
    ("Nothing", "returned an observation None, not an array of numbers; let reset and step"),
    ("Ragged", r"returned an observation \[\[1.0\], \[1.0, 2.0\]\], not an array of numbers"),
    ("Endless", "returned an observation, which is not finite"),
    ("Keys", "returned an observation without 'b', which is in its space"),
    ("Bare", r"raised AssertionError at line 4\d of users.py, `assert action.shape == \(7,\)`; mend the simulator"),
]
PROCESSES = [
    WRONG[1],
    WRONG[4],
    ("Later", "raised RuntimeError: motor burnt; mend the simulator"),
    ("Inner", "raised NameNotFound: .*; register it in a module, and name that too: gymnasium:MODULE:ID"),
]


@pytest.fixture(scope="module", autouse=True)
def users(tmp_path_factory, quick):
    folder = tmp_path_factory.mktemp("users")
    (folder / "users.py").write_text(USERS)
    sys.path.insert(0, str(folder))
    yield
    sys.path.remove(str(folder))
    host.close()


class Link:
    """The end of a socket that asks one reset, then one step of a simulator."""

    def __init__(self, name):
        actions = np.zeros((1, 4), np.float32)
        self.asked = [(sys.path, (None, f"users:{name}-v0", {})), [(0, 5, actions[:0])], [(0, None, actions)]]

    def recv(self):
        return self.asked.pop(0)

    def send(self, answer):
        self.answer = answer


@pytest.mark.parametrize(("name", "message"), WRONG, ids=[name for name, _ in WRONG])
def test_what_is_wrong_is_told_with_the_mend(name, message):
    link = Link(name)
    worker.serve(link)
    number, what, mend = link.answer
    assert number == 0
    with pytest.raises(UserError, match=message):
        raise UserError(f"{what}; {mend}")
    assert "\n" not in what + mend


@pytest.mark.parametrize(("name", "message"), PROCESSES, ids=[name for name, _ in PROCESSES])
def test_check_and_a_run_tell_the_same_error_first(name, message):
    told = []
    for use in (check, act):
        with pytest.raises(UserError, match=message) as caught:
            use(envs.make(f"gymnasium:users:{name}-v0"))
        told.append(str(caught.value))
    assert told[0].partition(", r")[2].partition("episode")[0] == told[1].partition(", r")[2].partition("episode")[0]


def act(env):
    """Without a check: steps, then the host is asked, as the engine does."""
    state, _ = env.reset(jax.random.key(0))
    for step in range(5):
        state, _ = env.step(jax.random.key(step), state, np.zeros(4, np.float32))
    jax.block_until_ready(state)
    host.check()


def test_chance_that_no_seed_decides_is_told_in_gymnasiums_words():
    with pytest.raises(UserError, match=r"reset gives two results for the same arguments, .* self.np_random"):
        check(envs.make("gymnasium:users:Dice-v0"))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("NoSpace", "cannot be made: AttributeError: .*observation_space.*; mend it"),
        ("Unsaid", r"cannot be made: NotImplementedError at line \d+ of users.py, `raise NotImplementedError`; mend"),
        ("Leaves", "cannot be made: SystemExit: 3; mend it"),
    ],
)
def test_why_it_cannot_be_made_is_said(name, message):
    with pytest.raises(UserError, match=message):
        envs.make(f"gymnasium:users:{name}-v0")


def test_matrices_arrays_of_one_element_and_fixed_actions_are_used():
    env = envs.make("gymnasium:users:Good-v0")
    assert (env.spec.obs_size, env.spec.action_low, env.spec.action_high) == (4, (-1, 0.1, 0, -2), (1, 0.1, 1, 2))
    check(env)
    vector = Vector(Rescale(env), 1)
    state, _ = vector.step(jax.random.key(1), vector.reset(jax.random.key(0)), np.zeros((1, 4), np.float32))
    host.check()
    np.testing.assert_allclose(state.obs, [[0, 0.1, 0.5, 0]], atol=1e-6)
    np.testing.assert_allclose(state.episode_return, 0.6, atol=1e-6)
