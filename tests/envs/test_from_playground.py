"""The adapter on a stand-in of the library, which is large and not always installed; and on the library where it is."""

import importlib.machinery
import importlib.util
import subprocess
import sys
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from brax.envs import State
from ml_collections import ConfigDict

import fastrl
from fastrl.envs.wrappers import Timed
from fastrl.types import Spec, UserError

INSTALLED = importlib.util.find_spec("mujoco_playground") is not None


class Robot:
    """Counts its steps, is done above 2.5 and writes to the dicts that it is given, as Playground's tasks do."""

    action_size = 1

    def __init__(self, config):
        self.config = config

    def reset(self, rng):
        place, info = jax.random.uniform(rng), {"rng": rng, "steps": jnp.int32(0)}
        return State(place, self.observe(place), jnp.zeros(()), jnp.zeros(()), {"reward/place": jnp.zeros(())}, info)

    def step(self, state, action):
        place = state.pipeline_state + action[0]
        state.info["steps"] += 1
        state.metrics["reward/place"] = place
        done = (place > 2.5).astype(float)
        return state.replace(pipeline_state=place, obs=self.observe(place), reward=self.config.scale * place, done=done)

    def observe(self, place):
        if self.config.eyes:
            return {"pixels": jnp.zeros((8, 8, 3))}
        return {"state": place[None], "privileged_state": jnp.stack([place, place])}


@pytest.fixture
def library(monkeypatch):
    """A `mujoco_playground` with one task that is there and one whose model cannot be cloned."""
    fake = types.ModuleType("mujoco_playground")
    fake.__spec__ = importlib.machinery.ModuleSpec("mujoco_playground", None)
    fake.registry = types.SimpleNamespace(
        ALL_ENVS=("RobotWalk", "FarAway"),
        dm_control_suite=types.SimpleNamespace(ALL_ENVS=("RobotWalk",)),
        get_default_config=lambda name: ConfigDict(
            {"impl": "warp", "episode_length": 12, "action_repeat": 1, "scale": 1.0, "eyes": False}
        ),
    )

    def load(name, config):
        if name == "FarAway":
            raise subprocess.CalledProcessError(128, ["git", "clone"])
        return Robot(config)

    fake.registry.load = load
    monkeypatch.setitem(sys.modules, "mujoco_playground", fake)
    return fake


def test_the_state_is_observed_and_an_end_is_no_time_limit(library):
    env = fastrl.make("playground:RobotWalk")
    assert env.spec == Spec("playground:RobotWalk", 1, 1, 12, backend="playground jax")
    state, obs = env.reset(jax.random.key(0))
    ends = []
    for _ in range(3):
        before = jax.tree.map(np.array, state)
        after, step = env.step(jax.random.key(1), state, jnp.ones(1))
        assert jax.tree.all(jax.tree.map(np.array_equal, before, jax.tree.map(np.array, state))), "left as it was"
        assert jax.tree.structure(after) == jax.tree.structure(state)
        np.testing.assert_allclose(step.obs, obs + 1)
        np.testing.assert_allclose(step.reward, obs[0] + 1)
        state, obs = after, step.obs
        ends.append((bool(step.terminated), bool(step.truncated)))
    assert ends[0] == (False, False) and ends[2] == (True, False) and state.env.info["steps"] == 3
    fastrl.envs.check(env)


def test_an_action_is_repeated_and_the_limit_counts_the_agents_steps(library):
    env = fastrl.make("playground:RobotWalk", obs="privileged_state", action_repeat=3, scale=2.0)
    assert (env.spec.obs_size, env.spec.horizon) == (2, 4)
    state, obs = env.reset(jax.random.key(0))
    for step in range(4):
        state, out = env.step(jax.random.key(1), state, jnp.full(1, 0.1))
        np.testing.assert_allclose(out.obs, obs + 0.3, rtol=1e-6)
        np.testing.assert_allclose(out.reward, 2 * (3 * obs[0] + 0.6), rtol=1e-6)
        assert bool(out.truncated) == (step == 3) and not out.terminated
        obs = out.obs


@pytest.mark.parametrize(
    ("name", "options", "match"),
    [
        ("RobotWlk", {}, "unknown playground environment 'RobotWlk'; did you mean 'RobotWalk'"),
        ("RobotWalk", {"impl": "wrap"}, "unknown implementation of MJX 'wrap'; did you mean 'warp'"),
        ("RobotWalk", {"impl": "warp"}, "impl=warp needs an NVIDIA GPU and jax runs on cpu here; leave it out"),
        ("RobotWalk", {"obs": "sate"}, r"observes .*, state \(1,\), not 'sate'; choose one, as in .* obs=state"),
        ("RobotWalk", {"scal": 2.0}, "has no such option, or no such value of it: KeyError: .*scale"),
        ("RobotWalk", {"scale": "big"}, "has no such option, or no such value of it: TypeError"),
        ("RobotWalk", {"eyes": True}, r"observes pixels \(8, 8, 3\), not 'state'"),
        ("RobotWalk", {"eyes": True, "obs": "pixels"}, r"observes an array of shape \(8, 8, 3\); only vectors"),
        ("FarAway", {}, r"cannot be made with impl=jax \(the first time, .* GitHub\): CalledProcessError"),
    ],
)
def test_what_cannot_be_made_is_one_line(library, name, options, match):
    with pytest.raises(UserError, match=match) as caught:
        fastrl.make(f"playground:{name}", **options)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(INSTALLED, reason="MuJoCo Playground is installed")
def test_where_it_is_missing_the_extra_is_named():
    with pytest.raises(UserError, match=r"playground:CartpoleBalance needs .* pip install 'fastrl\[playground\]'"):
        fastrl.make("playground:CartpoleBalance")


@pytest.mark.slow
@pytest.mark.skipif(not INSTALLED, reason="MuJoCo Playground is not installed")
def test_every_step_is_playgrounds_to_the_bit():
    """Both from the library's state, in one program, which rounds both alike."""
    ours = fastrl.make("playground:CartpoleBalance")
    assert ours.spec == Spec("playground:CartpoleBalance", 5, 1, 1000, backend="playground jax")
    from mujoco_playground import registry

    theirs = registry.load("CartpoleBalance", config_overrides={"impl": "jax"})

    def step(state, action):
        _, got = ours.step(jax.random.key(0), Timed(state, jnp.int32(0)), action)
        state = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.result_type(leaf)), theirs.step(state, action))
        return state, ((got.obs, got.reward, got.terminated), (state.obs, state.reward, state.done > 0))

    def run():
        state = theirs.reset(jax.random.PRNGKey(0))
        return ours.reset(jax.random.key(0))[1], state.obs, jax.lax.scan(step, state, actions)[1]

    actions = jax.random.uniform(jax.random.key(7), (30, 1), minval=-1, maxval=1)
    with jax.numpy_rank_promotion("allow"):
        first, their_first, (got, expected) = jax.jit(run)()
    np.testing.assert_array_equal(first, their_first)
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_array_equal(a, b)
    assert got[1].min() > 0.5 and got[1].max() <= 1
