"""Environments that keep the protocol pass; each of many that break it in one place is told where."""

import dataclasses

import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fastrl.envs import Rescale, check, make
from fastrl.types import Spec, Step, UserError

pytestmark = pytest.mark.usefixtures("quick")

GOOD = [
    *("probe-action", "probe-constant", "probe-delayed", "probe-termination", "probe-truncation"),
    *("pointmaze-umaze", "gymnax:Pendulum-v1", "gymnax:PointRobot-misc"),
    pytest.param("gymnax:MountainCarContinuous-v0", marks=pytest.mark.slow),
    pytest.param("brax:inverted_pendulum", marks=pytest.mark.slow),
]


@pytest.mark.parametrize("name", GOOD)
def test_what_keeps_the_protocol_passes(name):
    check(make(name))


SPEC = Spec("slide", obs_size=2, action_size=1, horizon=20)


@dataclasses.dataclass(eq=False)
class Slide:
    """A point pushed along a line; the episode ends where the line does. Keeps the protocol."""

    spec: Spec = SPEC

    def reset(self, key):
        state = {"x": jax.random.uniform(key), "time": jnp.int32(0)}
        return state, self.observe(state)

    def step(self, key, state, action):
        state = {"x": state["x"] + 0.3 * jnp.abs(action[0]), "time": state["time"] + 1}
        return state, Step(self.observe(state), -state["x"], state["x"] > 2, jnp.bool_(False))

    def observe(self, state):
        return jnp.stack([state["x"], state["time"] / 10])

    def changed(self, key, state, action, **fields):
        state, step = Slide.step(self, key, state, action)
        return state, step._replace(**{name: change(getattr(step, name)) for name, change in fields.items()})


class WrongSize(Slide):
    def observe(self, state):
        return jnp.stack([state["x"], state["x"], state["x"]])


class WholeNumbers(Slide):
    def observe(self, state):
        return jnp.stack([state["time"], state["time"]])


class NoStep(Slide):
    def step(self, key, state, action):
        state, step = super().step(key, state, action)
        return state, step.obs, step.reward, step.terminated


class RewardVector(Slide):
    def step(self, key, state, action):
        return self.changed(key, state, action, reward=lambda reward: reward[None])


class FloatEnd(Slide):
    def step(self, key, state, action):
        return self.changed(key, state, action, terminated=lambda ended: ended.astype(float))


class BothEnds(Slide):
    def step(self, key, state, action):
        state, step = super().step(key, state, action)
        return state, step._replace(truncated=step.terminated)


class ClockOfFloats(Slide):
    def step(self, key, state, action):
        state, step = super().step(key, state, action)
        return {**state, "time": state["time"] * 1.0}, step


class MoreState(Slide):
    def step(self, key, state, action):
        state, step = super().step(key, state, action)
        return {**state, "last": action}, step


class PythonNumber(Slide):
    def reset(self, key):
        state, obs = super().reset(key)
        return {**state, "time": 0}, obs


class PythonIf(Slide):
    def step(self, key, state, action):
        if state["x"] > 1:
            return super().step(key, state, -action)
        return super().step(key, state, action)


class HiddenDice(Slide):
    dice = np.random.default_rng(0)

    def reset(self, key):
        state, obs = super().reset(key)
        return state, obs + self.dice.normal()


class HiddenClock(Slide):
    clock = 0

    def step(self, key, state, action):
        self.clock += 1
        return self.changed(key, state, action, reward=lambda reward: reward + self.clock)


class InPlace(Slide):
    def step(self, key, state, action):
        after, step = super().step(key, state, action)
        state.update(after)
        return after, step


class NotANumber(Slide):
    def step(self, key, state, action):
        return self.changed(key, state, action, reward=lambda reward: jnp.sqrt(reward + 0.5))


class ResetsItself(Slide):
    def step(self, key, state, action):
        state, step = super().step(key, state, action)
        fresh, obs = self.reset(key)
        state = jax.tree.map(lambda new, old: jnp.where(step.terminated, new, old), fresh, state)
        return state, step._replace(obs=jnp.where(step.terminated, obs, step.obs))


class ResetsToItsStart(Slide):
    """The start is kept in the state, as brax's auto-reset does."""

    def reset(self, key):
        state, obs = super().reset(key)
        return {**state, "start": obs}, obs

    def step(self, key, state, action):
        after, step = super().step(key, state, action)
        obs = jnp.where(step.terminated, state["start"], step.obs)
        return {**after, "start": state["start"]}, step._replace(obs=obs)


class LimitTerminates(Slide):
    """For those that come so far."""

    def step(self, key, state, action):
        state, step = super().step(key, state, 0.15 * action + 0.2 * (action > 0.9))
        return state, step._replace(terminated=step.terminated | (state["time"] >= self.spec.horizon))


class StartsNowhere(Slide):
    def reset(self, key):
        state, obs = super().reset(key)
        return state, obs * jnp.nan


class PythonBool(Slide):
    def step(self, key, state, action):
        state, step = super().step(key, state, action)
        return state, step._replace(truncated=False)


class CopiesLeak(Slide):
    """Every copy but the first is paid what the one before it is."""

    def leak(self, reward):
        return np.append(reward[:1], reward[:-1]) if reward.ndim else reward

    def step(self, key, state, action):
        def behind(reward):
            shape = jax.ShapeDtypeStruct((), jnp.float32)
            return jax.pure_callback(self.leak, shape, reward, vmap_method="broadcast_all")

        return self.changed(key, state, action, reward=behind)


class CopiesShare(CopiesLeak):
    def leak(self, reward):
        return np.broadcast_to(reward.mean(), reward.shape)


class DiceOfTheHost(CopiesLeak):
    dice = np.random.default_rng(0)

    def leak(self, reward):
        return (reward + 1e-5 * self.dice.normal()).astype(np.float32)


class MoreAmongOthers(CopiesLeak):
    """The same whatever the others do, and another alone."""

    def leak(self, reward):
        return (1 + reward.ndim) * reward


class OwnError(CopiesLeak):
    def leak(self, reward):
        raise ValueError("no such wind")


class BelowFailure(Slide):
    """Pays 0 or -1 and does not say so."""

    def __init__(self):
        super().__init__(dataclasses.replace(SPEC, sparse=True))

    def step(self, key, state, action):
        return self.changed(key, state, action, reward=lambda reward: jnp.where(reward < -1, 0.0, -1.0))


class RestartsAlways(Slide):
    def restart(self, key, state, obs, done):
        return self.reset(key)


class RestartIsSomethingElse(Slide):
    def restart(self):
        """Of the motor."""


BROKEN = [
    (WrongSize, r"reset's obs has shape \(3,\), not \(2,\) \(spec.obs_size\)"),
    (WholeNumbers, "reset's obs is int32, not float32; convert it with .astype"),
    (NoStep, r"step does not return \(state, Step\); return state, fastrl.Step\("),
    (RewardVector, r"step's reward has shape \(1,\), not \(\)"),
    (FloatEnd, "step's terminated is float32, not bool"),
    (BothEnds, "terminated and truncated are both true at step"),
    (ClockOfFloats, r"step turns state\['time'\] from int32\[\] into float32\[\]; a scan needs both alike"),
    (MoreState, "step turns a state of .* into one of .*; return the structure that reset returns"),
    (PythonNumber, r"reset's state\['time'\] is the Python int 0; make it an array"),
    (PythonIf, "tracing step fails with TracerBoolConversionError .*; use jnp, lax.cond"),
    (HiddenDice, "reset gives two results for the same arguments, .*; draw from the key alone"),
    (HiddenClock, "step gives two results for the same arguments"),
    (InPlace, "step changes the state that it was given"),
    (NotANumber, "reward is not finite at step"),
    (ResetsItself, "ends an episode with an observation of a new one"),
    (ResetsToItsStart, "ends an episode with an observation of a new one"),
    (LimitTerminates, "every episode that comes to step 20, spec.horizon, terminates there; leave the time limit"),
    (StartsNowhere, "reset's obs is not finite; start"),
    (PythonBool, r"step's \['truncated'\] is the Python bool False; make it an array"),
    (CopiesLeak, "step gives two results for the same arguments, asked twice among other copies; .* share nothing"),
    (CopiesShare, "step gives two results for the same arguments, asked twice among other copies"),
    (DiceOfTheHost, "step gives two results for the same arguments, asked twice among other copies"),
    (MoreAmongOthers, "step gives two results for the same arguments, alone and compiled among copies"),
    (OwnError, r"step fails with JaxRuntimeError \(ValueError: no such wind\)"),
    (BelowFailure, "reward is -1 at step 1, below spec.failure_reward, 0; make that"),
    (RestartsAlways, "restart resets where it should not, or not where it should; let restart"),
    (RestartIsSomethingElse, "which is called for reset, fails with TypeError"),
]


def test_the_environment_that_the_broken_ones_are_made_of_passes():
    check(Slide())


@pytest.mark.parametrize(("broken", "match"), BROKEN, ids=[broken.__name__ for broken, _ in BROKEN])
def test_a_breach_is_one_line_with_its_place_and_fix(broken, match):
    with pytest.raises(UserError, match=match) as caught:
        check(broken())
    assert str(caught.value).startswith("slide: ") and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"obs_size": 0}, "spec.obs_size is 0"),
        ({"action_low": (-1.0, -1.0)}, r"have shapes \(2,\) and \(\); give one number, or 1"),
        ({"action_high": -1.0}, "every action is fixed, low equals high; leave the agent one"),
        ({"action_high": -2.0}, "action 0 has bounds -1 to -2; make low the lower one"),
        ({"action_high": float("nan")}, "action 0 has bounds -1 to nan"),
        ({"action_high": float("inf")}, "action 0 of 1 has no bounds and cannot be scaled"),
        ({"action_low": -3.4e38, "action_high": 3.4e38}, "action 0 of 1 has no bounds and cannot be scaled"),
    ],
)
def test_a_spec_that_cannot_be_is_one_line(changes, match):
    """By `check`, and by what every run acts through."""
    for use in (check, Rescale) if "obs_size" not in changes else (check,):
        with pytest.raises(UserError, match=match):
            use(Slide(dataclasses.replace(SPEC, **changes)))


def test_an_action_with_one_number_to_choose_may_have_fixed_ones():
    spec = dataclasses.replace(SPEC, action_size=2, action_low=(-1.0, 3.0), action_high=(1.0, 3.0))
    check(Slide(spec))


def test_the_reset_inside_gymnaxs_step_is_found():
    """The library's own `step`, taken at its word."""
    env, params = gymnax.make("Pendulum-v1")

    class Taken(Slide):
        def reset(self, key):
            obs, state = env.reset_env(key, params)
            return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.result_type(leaf)), state), obs

        def step(self, key, state, action):
            obs, state, reward, terminated, _, _ = env.step(key, state, action, params)
            return state, Step(obs, reward, terminated, jnp.bool_(False))

    spec = Spec("slide", 3, 1, 200, action_low=-2.0, action_high=2.0)
    with pytest.raises(UserError, match="step 200 ends an episode with an observation of a new one"):
        check(Taken(spec))
