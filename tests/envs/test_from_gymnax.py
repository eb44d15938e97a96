import io

import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fastrl
from fastrl.envs.wrappers import Timed
from fastrl.runs.progress import Progress
from fastrl.types import UserError

TASKS = ["Pendulum-v1", "MountainCarContinuous-v0", "Reacher-misc", "Swimmer-misc", "PointRobot-misc"]


@pytest.fixture(scope="module", autouse=True)
def ranks():
    """The library itself, stepped directly, promotes ranks."""
    with jax.numpy_rank_promotion("allow"):
        yield


@pytest.mark.parametrize("identity", TASKS)
def test_every_step_is_gymnaxs_to_the_bit(identity):
    """Same keys, same actions; the library's `step` splits off the key of its auto-reset first."""
    ours = fastrl.make(f"gymnax:{identity}")
    theirs, params = gymnax.make(identity)
    assert ours.spec.horizon == params.max_steps_in_episode
    space = theirs.action_space(params)
    assert (ours.spec.obs_size, ours.spec.action_size) == (theirs.observation_space(params).shape[0], *space.shape)
    np.testing.assert_array_equal(np.float32(ours.spec.action_high), np.broadcast_to(space.high, space.shape))
    np.testing.assert_array_equal(np.float32(ours.spec.action_low), np.broadcast_to(space.low, space.shape))

    def step(state, index):
        """Both from the library's state, in one program, which rounds both alike."""
        key, _ = jax.random.split(jax.random.fold_in(jax.random.key(3), index))
        _, got = ours.step(key, Timed(state, index), actions[index])
        key = jax.random.fold_in(jax.random.key(3), index)
        _, state, reward, terminated, _, info = theirs.step(key, state, actions[index], params)
        return strong(state), ((got.obs, got.reward, got.terminated), (info["final_observation"], reward, terminated))

    _, first = ours.reset(jax.random.key(0))
    expected_first, state = theirs.reset(jax.random.key(0), params)
    np.testing.assert_array_equal(first, expected_first)
    actions = jax.random.uniform(jax.random.key(7), (20, ours.spec.action_size), minval=-1.5, maxval=1.5)
    _, (got, expected) = jax.jit(lambda: jax.lax.scan(step, strong(state), jnp.arange(20)))()
    for a, b in zip(got, expected):
        np.testing.assert_array_equal(a, b.reshape(a.shape))


def strong(tree):
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.result_type(leaf)), tree)


def test_the_end_is_before_the_reset_and_the_time_limit_truncates():
    """Full throttle up the hill terminates; the library's own `obs` is a fresh start by then."""
    ours = fastrl.make("gymnax:MountainCarContinuous-v0", horizon=200)
    state, obs = ours.reset(jax.random.key(0))
    step = jax.jit(ours.step)
    for _ in range(200):
        state, out = step(jax.random.key(1), state, jnp.sign(obs[1:]))
        obs = out.obs
        if out.terminated:
            break
    assert out.terminated and not out.truncated and obs[0] >= 0.45
    assert state.env.position == obs[0]

    pendulum = fastrl.make("gymnax:Pendulum-v1", horizon=3)
    state, obs = pendulum.reset(jax.random.key(0))
    ends = []
    for _ in range(3):
        before = state
        state, out = jax.jit(pendulum.step)(jax.random.key(1), state, jnp.zeros(1))
        ends.append((bool(out.terminated), bool(out.truncated)))
    assert ends == [(False, False), (False, False), (False, True)]
    assert abs(state.env.theta - before.env.theta) < 0.5


def test_the_librarys_own_time_limit_is_not_in_the_way():
    env = fastrl.make("gymnax:Reacher-misc", horizon=150)  # the library resets after 100
    state, _ = env.reset(jax.random.key(0))

    def step(state, index):
        state, out = env.step(jax.random.fold_in(jax.random.key(1), index), state, jnp.zeros(2))
        return state, (out.terminated, out.truncated, state.env.time)

    _, (terminated, truncated, time) = jax.jit(lambda: jax.lax.scan(step, state, jnp.arange(150)))()
    assert not terminated.any() and np.flatnonzero(truncated).tolist() == [149] and time[-1] == 150


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("gymnax:CartPole-v1", "acts in Discrete.*; only continuous actions, a Box of floats"),
        ("gymnax:Pendulum-v2", "unknown gymnax environment 'Pendulum-v2'; did you mean 'Pendulum-v1'"),
        ("gymax:Pendulum-v1", "unknown prefix of an environment 'gymax'; did you mean 'gymnax'"),
    ],
)
def test_what_cannot_be_made_is_one_line(name, match):
    with pytest.raises(UserError, match=match) as caught:
        fastrl.make(name)
    assert "\n" not in str(caught.value)


def test_a_task_that_cannot_be_built_is_one_line(monkeypatch):
    def offline(identity):
        raise OSError("no\nnetwork")

    monkeypatch.setattr(gymnax, "make", offline)
    with pytest.raises(UserError, match="gymnax:MNISTBandit-bsuite cannot be made: OSError: no network"):
        fastrl.make("gymnax:MNISTBandit-bsuite")


@pytest.mark.slow
def test_a_run_on_a_gymnax_task(tiny, quick):
    options = {name: value for name, value in tiny.items() if name not in ("cql_actions", "pretrain_steps")}
    run = fastrl.run("sac", env="gymnax:Pendulum-v1", progress=Progress(io.StringIO()), **options)
    assert run.agent.spec.name == "gymnax:Pendulum-v1"
    assert (run.returns < -50).all() and (run.returns > -2000).all()  # 200 raw steps of at most -16.3
