"""Gymnasium's own checks of one environment, their equivalents for copies, and loops written apart from ours."""

import json
import warnings

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env, data_equivalence
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.wrappers.vector import RecordEpisodeStatistics

import fastrl
from fastrl.types import Spec, Step, UserError

E = 4


class Walk:
    """A random walk from a random place: it terminates beyond 1.5, and pays what was done."""

    spec = Spec("a walk/of mine", obs_size=2, action_size=1, horizon=5, action_low=-2.0, action_high=3.0)

    def reset(self, key):
        place = jax.random.uniform(key, (2,), minval=-1.0)
        return place, place

    def step(self, key, state, action):
        after = state + 0.5 * action + jax.random.normal(key, (2,)) * 0.1
        return after, Step(after, action[0], jnp.abs(after[0]) > 1.5, jnp.bool_(False))


@pytest.fixture(scope="module")
def many():
    return fastrl.to_gymnasium(Walk(), E)


@pytest.fixture(scope="module")
def at_once():
    return fastrl.to_gymnasium(Walk(), E, autoreset="same_step")


@pytest.fixture(scope="module")
def single():
    return fastrl.to_gymnasium(Walk())


def played(env, actions, seed=7):
    """Rows (obs, reward, terminated, truncated, info) of a seeded reset and steps."""
    rows = [(env.reset(seed=seed)[0], None, None, None, {})]
    return rows + [env.step(action) for action in actions]


def sampled(steps, copies=E, seed=0):
    return np.random.default_rng(seed).uniform(-2, 3, (steps, copies, 1)).astype(np.float32)


@pytest.mark.parametrize(
    ("name", "options"),
    [("pointmaze-umaze", {}), ("gymnax:Pendulum-v1", {"horizon": 9}), ("probe-truncation", {}), (Walk(), {})],
)
def test_gymnasiums_checker_passes_one_environment(name, options):
    env = fastrl.to_gymnasium(name, **options)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        check_env(env)
    known = ("value is -infinity", "value is infinity", "symmetric and normalized")  # as with Gymnasium's own
    assert [str(w.message) for w in caught if not any(words in str(w.message) for words in known)] == []
    assert env.reset(seed=1)[0].dtype == np.float32


def test_a_spec_makes_the_same_environment_in_another_process():
    env = fastrl.to_gymnasium("probe-termination", horizon=3)
    text = env.spec.to_json()
    assert "probe-termination" in json.loads(text)["kwargs"]["env"]
    again = gymnasium.make(gymnasium.envs.registration.EnvSpec.from_json(text))
    again.reset(seed=0)
    ends = [again.step(np.zeros(1, np.float32))[2:4] for _ in range(3)]
    assert ends == [(False, False), (False, False), (False, True)]


def test_copies_have_gymnasiums_spaces(many):
    assert isinstance(many, VectorEnv) and many.num_envs == E
    assert many.metadata["autoreset_mode"] == AutoresetMode.NEXT_STEP
    assert many.single_observation_space == gymnasium.spaces.Box(-np.inf, np.inf, (2,), np.float32)
    assert many.single_action_space == gymnasium.spaces.Box(-2, 3, (1,), np.float32)
    assert many.observation_space.shape == (E, 2) and many.action_space.shape == (E, 1)
    obs, info = many.reset(seed=0)
    assert obs in many.observation_space and info == {}
    out = many.step(many.action_space.sample())
    for array, dtype in zip(out[:4], (np.float32, np.float32, np.bool_, np.bool_), strict=True):
        assert isinstance(array, np.ndarray) and array.dtype == dtype and len(array) == E
        array[:] = 0  # the caller's own
    assert out[0] in many.observation_space


def test_seeds_name_episodes(many, single):
    """Gymnasium's checks of determinism; copy i with seed s is one environment with seed s + i."""
    actions = sampled(4)
    first = played(many, actions)
    assert data_equivalence(first, played(many, actions), exact=True)
    assert not np.allclose(first[0][0], many.reset(seed=8)[0])
    many.reset(seed=123)
    following = many.reset()[0]
    many.reset(seed=123)
    np.testing.assert_array_equal(many.reset()[0], following)
    seeds = [9, None, 7, 2**70]
    listed = many.reset(seed=seeds)[0]
    np.testing.assert_array_equal(listed[[0, 2]], first[0][0][[2, 0]])
    for copy in range(E):
        alone = played(single, actions[:, copy], seed=7 + copy)
        for row, (obs, reward, terminated, truncated, _) in enumerate(alone):
            np.testing.assert_allclose(first[row][0][copy], obs, atol=1e-6)
            if row:
                assert [first[row][at][copy] for at in (1, 2, 3)] == [pytest.approx(reward), terminated, truncated]
            if terminated or truncated:
                break


@pytest.mark.parametrize("mode", ["next", "same"])
def test_every_row_is_the_environments_own_step(mode, many, at_once):
    """The walk written down again; and resets come where Gymnasium wants them, at the start from within [-1, 1]."""
    env, same = (at_once, True) if mode == "same" else (many, False)
    actions = sampled(40)
    rows = played(env, actions, seed=3)
    noise, starts, ends, ended, elapsed = [], [], 0, np.zeros(E, bool), np.zeros(E, int)
    for time, action in enumerate(actions):
        before, (obs, reward, terminated, truncated, info) = rows[time][0], rows[time + 1]
        done, reached = terminated | truncated, obs.copy()
        assert set(info) == ({"final_obs", "_final_obs", "final_info", "_final_info"} if same and done.any() else set())
        for copy in np.flatnonzero(done & same):
            assert info["_final_obs"].tolist() == info["_final_info"].tolist() == done.tolist()
            assert [final is not None for final in info["final_obs"]] == done.tolist()
            reached[copy] = info["final_obs"][copy]
            assert np.abs(obs[copy]).max() <= 1
        run = np.ones(E, bool) if same else ~ended
        elapsed = np.where(run, elapsed + 1, 0)
        noise.append((reached - before - 0.5 * action)[run].ravel())
        starts += [(obs[copy], (reached - before - 0.5 * action)[copy]) for copy in np.flatnonzero(done & same)]
        np.testing.assert_array_equal(reward, np.where(run, action[:, 0], 0))
        np.testing.assert_array_equal(terminated, run & (np.abs(reached[:, 0]) > 1.5))
        np.testing.assert_array_equal(truncated, run & (elapsed == 5) & ~terminated)
        assert np.abs(obs[~run]).max(initial=0) <= 1
        ends, ended, elapsed = ends + done.sum(), done, np.where(done & same, 0, elapsed)
    noises = np.concatenate(noise)
    assert ends > 20 and 0.08 < noises.std() < 0.12 and np.abs(noises).max() < 0.6
    assert len(np.unique(noises)) == len(noises), "the keys differ from step to step and from copy to copy"
    if same:
        start, last = np.array(starts).swapaxes(0, 1).reshape(2, -1)
        assert abs(np.corrcoef(start, last)[0, 1]) < 0.4, "a reset draws apart from the step before it"


def test_a_loop_over_episodes_counts_what_gymnasiums_wrapper_counts(many):
    """The loop of Stable-Baselines and CleanRL: rows until N episodes are over, the reset's row left out."""
    env = RecordEpisodeStatistics(many)
    env.reset(seed=0)
    returns, lengths, episodes, pays, ended = np.zeros(E), np.zeros(E, int), [], [], np.zeros(E, bool)
    for action in sampled(30, seed=5):
        _, reward, terminated, truncated, info = env.step(action)
        returns, lengths = np.where(ended, 0, returns + reward), np.where(ended, 0, lengths + 1)
        ended = terminated | truncated
        if ended.any():
            np.testing.assert_array_equal(info["_episode"], ended)
            pays += info["episode"]["r"][ended].tolist()
            assert info["episode"]["l"][ended].tolist() == lengths[ended].tolist()
        episodes += returns[ended].tolist()
    assert len(episodes) == env.episode_count > 15
    np.testing.assert_allclose(pays, episodes, rtol=1e-5)


def test_a_compiled_task_is_stepped_as_it_is_and_clips_like_mujoco():
    """Against the task's own functions; a control beyond its limits is the limit, as in C."""
    env, ours = fastrl.to_gymnasium("pointmaze-umaze", 2), fastrl.make("pointmaze-umaze")

    @jax.jit
    @jax.vmap
    def step(obs, action):
        return ours.step(jax.random.key(0), ours.from_physics(obs[:2], obs[2:])[0], action)[1].obs

    obs, _ = env.reset(seed=0)
    for action in np.array([[[0.3, -1], [5, 0]], [[1, 1], [-0.5, 0]]], np.float32):
        expected = step(obs, np.clip(action, -1, 1))
        obs = env.step(action)[0]
        np.testing.assert_allclose(obs, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("args", "options", "match"),
    [
        (("hoper",), {}, "unknown environment 'hoper': did you mean 'hopper'"),
        (("probe-action", 0), {}, "num_envs is 0; it must be a whole number of at least 1, or None"),
        (("probe-action", 2), {"autoreset": "off"}, "autoreset is 'off'; it must be one of next_step, same_step"),
        (("probe-action",), {"render": True}, "has no option 'render'"),
        ((Walk(), 2), {"horizon": 3}, r"options \(horizon\) are for environments by name"),
    ],
)
def test_what_cannot_be_made_is_one_line(args, options, match):
    with pytest.raises(UserError, match=match):
        fastrl.to_gymnasium(*args, **options)


def test_what_cannot_be_done_is_one_line(many, single):
    for env in (many, single):
        with pytest.raises(UserError, match=r"reset takes no options here, but it was given 'goal'"):
            env.reset(options={"goal": 1})
        env.reset(seed=0)
        with pytest.raises(UserError, match=r"actions have shape \(3,\); this environment's have"):
            env.step(np.zeros(3))
    with pytest.raises(UserError, match="3 seeds for 4 environments"):
        many.reset(seed=[1, 2, 3])
    for env in (fastrl.to_gymnasium(Walk()), fastrl.to_gymnasium(Walk(), 2)):
        with pytest.raises(ResetNeeded):
            env.step(env.action_space.sample())
        env.close()
