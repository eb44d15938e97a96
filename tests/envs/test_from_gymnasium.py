import io
from functools import partial

import gymnasium
import jax
import numpy as np
import pytest

import fastrl
from fastrl import envs
from fastrl.envs import Rescale, Vector, host
from fastrl.envs.wrappers import ACTION_LIMIT
from fastrl.runs import digests
from fastrl.runs.progress import Progress
from fastrl.types import UserError

pytestmark = pytest.mark.usefixtures("quick")
PENDULUM = "gymnasium:Pendulum-v1"


@pytest.fixture(autouse=True)
def no_process_is_left():
    yield
    host.close()


class At(Progress):
    """Does something once this run has come to a step."""

    def __init__(self, step, act):
        super().__init__(io.StringIO())
        self.step, self.act = step, act

    def update(self, done, note=""):
        super().update(done, note)
        if done == self.step:
            self.act()


def rollout(vector, steps, key):
    """Every step of E copies: (episode's seed, obs, action, outcome), each [T, E, ...]."""

    def step(state, index):
        action_key, step_key = jax.random.split(jax.random.fold_in(key, index))
        action = jax.random.uniform(action_key, (vector.copies, 1), minval=-1)
        after, outcome = vector.step(step_key, state, action)
        return after, (state.env.env.name, state.obs, action, outcome)

    state = vector.reset(jax.random.fold_in(key, steps))
    return jax.lax.scan(step, state, np.arange(steps))[1]


def test_two_seeds_of_three_copies_do_what_gymnasium_does():
    vector = Vector(Rescale(envs.make(PENDULUM, horizon=15)), 3)
    keys = jax.random.split(jax.random.key(0), 2)
    found = jax.jit(jax.vmap(partial(rollout, vector, 40)))(keys)
    host.check()
    name, obs, action, outcome = (jax.tree.map(np.asarray, x) for x in found)
    env, seen = gymnasium.make("Pendulum-v1", max_episode_steps=15), set()
    for seed, copy in np.ndindex(2, 3):
        for t in range(40):
            if t % 15 == 0:
                seen.add(tuple(name[seed, t, copy]))
                here, _ = env.reset(seed=int(name[seed, t, copy, 0]))
            np.testing.assert_allclose(obs[seed, t, copy], here, atol=1e-5)
            control = 2 * np.clip(action[seed, t, copy], -ACTION_LIMIT, ACTION_LIMIT)
            here, reward, _, truncated, _ = env.step(control)
            np.testing.assert_allclose(outcome.step.obs[seed, t, copy], here, atol=1e-5)
            np.testing.assert_allclose(outcome.step.reward[seed, t, copy], reward, atol=1e-5)
            assert outcome.step.truncated[seed, t, copy] == truncated and not outcome.step.terminated[seed, t, copy]
    assert len(seen) == 18  # every episode has a seed of its own
    alone = jax.jit(partial(rollout, vector, 40))(keys[1])
    np.testing.assert_array_equal(np.asarray(alone[3].step.obs), outcome.step.obs[1])


def test_the_spec_is_gymnasiums(odd):
    spec = envs.make(PENDULUM).spec
    assert (spec.name, spec.obs_size, spec.action_size, spec.horizon) == (PENDULUM, 3, 1, 200)
    assert (spec.backend, spec.action_low, spec.action_high) == ("gymnasium", (-2.0,), (2.0,))
    env = envs.make(f"gymnasium:{odd}", end=2)
    assert (env.spec.obs_size, env.spec.horizon) == (3, 8)
    state, obs = env.reset(jax.random.key(0))
    ends = []
    for t in range(4):  # alphabetical: "early" is the time; a dead episode stands still
        assert obs[0] == (t if t < 3 else 0)
        state, step = env.step(jax.random.key(1), state, np.zeros(1, np.float32))
        obs, ends = step.obs, [*ends, bool(step.terminated)]
    assert ends == [False, True, False, False]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("Pendulm-v1", {}, "unknown Gymnasium environment 'Pendulm-v1'; did you mean 'Pendulum-v1'"),
        ("CartPole-v1", {}, r"acts in Discrete\(2\); only continuous actions, a Box"),
        ("Blackjack-v1", {}, "observes Tuple.* only a Box, or a Dict of Boxes"),
        ("Pendulum-v1", {"gravity": 1}, "cannot be made: .*gravity"),
        ("Pendulum-v1", {"timeout": 0}, "timeout is 0, it must be above 0"),
        ("Pendulum-v1", {"horizon": 0}, "horizon is 0"),
        (
            "no_such_module:Env-v0",
            {},
            "cannot be made: .*no_such_module.*; install what is missing, or add its folder to PYTHONPATH",
        ),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line(name, options, message):
    with pytest.raises(UserError, match=message) as caught:
        envs.make(f"gymnasium:{name}", **options)
    assert "\n" not in str(caught.value)


def test_whole_numbers_are_no_continuous_actions(odd):
    with pytest.raises(UserError, match="acts in whole numbers, a Box of int64; make it a Box of floats"):
        envs.make(f"gymnasium:{odd}", whole=True)


@pytest.mark.slow
def test_seeds_side_by_side_see_the_episodes_of_seeds_one_after_another(tiny):
    suited = {name: value for name, value in tiny.items() if name not in ("cql_actions", "pretrain_steps")}
    options = {**suited, "env": PENDULUM, "env_options": {"horizon": 10}, "eval_episodes": 3}
    one_by_one = fastrl.run("sac", **options)
    with jax.debug_key_reuse(False):  # a false alarm of the checker under vmap
        beside = fastrl.run("sac", **options, map_seeds="vmap")
    np.testing.assert_allclose(beside.returns[:, 0], one_by_one.returns[:, 0], rtol=1e-4)
    assert fastrl.evaluate(one_by_one.agent, PENDULUM, episodes=2, horizon=10).shape == (2, 2)
    assert not any(pool._workers for pool in host._pools)  # a run that is over leaves no process


@pytest.mark.slow
def test_a_run_that_a_simulator_ended_can_go_on(plan_of, execute, tmp_path, odd):
    """The chunk before the failure is saved, in the middle of episodes; the simulators play them again."""
    flag = tmp_path / "flag"
    env = envs.make(f"gymnasium:{odd}", fault="raise", flag=str(flag))
    options = {"checkpoint_minutes": 1000.0, "chunk": 2, "num_envs": 2, "warmup": 40, "steps": 80, "eval_episodes": 1}
    plan = plan_of("sac", env, data=None, **options)
    whole = execute(plan, tmp_path / "whole")
    with pytest.raises(UserError, match=r"step 3 of the episode of seed \d+, raised RuntimeError: out of fuel"):
        execute(plan, tmp_path / "broken", At(8, flag.touch))  # two copies, so four steps of the scan
    (saved,) = (tmp_path / "broken" / "checkpoints").iterdir()
    assert saved.name == "10"  # episodes have 8 steps: the third step of the second is the eleventh
    flag.unlink()
    resumed = execute(plan, tmp_path / "broken")
    assert digests.total(resumed.carry) == digests.total(whole.carry)
    assert (tmp_path / "broken" / "metrics.jsonl").read_text() == (tmp_path / "whole" / "metrics.jsonl").read_text()
