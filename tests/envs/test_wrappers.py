import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fastrl.envs import Rescale, TimeLimit, Vector, make
from fastrl.types import Spec, Step


@dataclasses.dataclass(frozen=True)
class Counter:
    """Counts up from a random start; terminates at `end`; the action goes into the obs."""

    spec: Spec
    end: int = 3

    def reset(self, key):
        start = jax.random.uniform(key)
        return jnp.stack([start, 0.0]), jnp.stack([start, 0.0])

    def step(self, key, state, action):
        state = state + jnp.stack([0.0, 1.0])
        obs = jnp.stack([action[0], state[1]])
        return state, Step(obs, state[1], state[1] >= self.end, jnp.bool_(False))


def rollout(env, copies, steps, key):
    """Steps with action 0; returns the states (before each step) and the outcomes, [T, E, ...]."""
    vector = Vector(env, copies)

    def step(state, i):
        key = jax.random.fold_in(run, i)
        after, outcome = vector.step(key, state, jnp.zeros((copies, 1)))
        return after, (state, outcome)

    start, run = jax.random.split(key)
    return jax.jit(lambda: jax.lax.scan(step, vector.reset(start), jnp.arange(steps))[1])()


@pytest.mark.parametrize("copies", [1, 3])
def test_auto_reset_keeps_the_final_observation_and_the_statistics(key, copies):
    env = Counter(Spec("counter", 2, 1, 10))
    state, outcome = rollout(env, copies, 7, key)
    assert outcome.step.obs.shape == (7, copies, 2)
    for e in range(copies):
        np.testing.assert_array_equal(outcome.done[:, e], [0, 0, 1, 0, 0, 1, 0])
        np.testing.assert_array_equal(outcome.step.obs[:, e, 1], [1, 2, 3, 1, 2, 3, 1])
        np.testing.assert_array_equal(state.obs[:, e, 1], [0, 1, 2, 0, 1, 2, 0])
        np.testing.assert_array_equal(outcome.episode_length[:, e], [1, 2, 3, 1, 2, 3, 1])
        np.testing.assert_array_equal(outcome.episode_return[:, e], [1, 3, 6, 1, 3, 6, 1])
    starts = np.array(state.obs[[0, 3, 6], :, 0]).ravel()
    assert len(set(starts.tolist())) == starts.size, "every reset of every copy draws anew"


@pytest.mark.parametrize("copies", [1, 2])
def test_a_truncation_is_no_termination(key, copies):
    _, cut = rollout(make("probe-truncation"), copies, 6, jax.random.key(1))
    np.testing.assert_array_equal(cut.step.truncated[:, 0], [0, 0, 0, 0, 1, 0])
    assert not cut.step.terminated.any()
    _, ended = rollout(make("probe-termination"), copies, 6, key)
    np.testing.assert_array_equal(ended.step.terminated[:, 0], [0, 0, 0, 0, 1, 0])
    assert not ended.step.truncated.any()


def test_a_termination_at_the_horizon_stays_a_termination(key):
    _, outcome = rollout(make("probe-termination", horizon=5), 1, 5, key)
    assert outcome.step.terminated[4, 0] and not outcome.step.truncated[4, 0]


def test_seeds_under_vmap_do_what_each_does_alone():
    env = Counter(Spec("counter", 2, 1, 10))

    def run(key):
        return rollout(env, 2, 7, key)[0].obs

    together = jax.vmap(run)(jax.random.split(jax.random.key(0), 3))
    for alone, obs in zip(jax.random.split(jax.random.key(0), 3), together):
        np.testing.assert_array_equal(obs, run(alone))


def test_a_restart_of_its_own_sees_which_copies_are_done(key):
    """It goes through the wrappers, and is told; who has none gets a reset."""
    asked = []

    class Frugal(Counter):
        def restart(self, key, state, obs, done):
            jax.debug.callback(lambda done: asked.append(int(done.sum())), done, ordered=False)
            start, first = self.reset(key)
            return jnp.where(done, start, state), jnp.where(done, first, obs)

    spec = Spec("counter", 2, 1, 10)
    kinds = ((Frugal, key), (Counter, jax.random.clone(key)))
    with_own, plain = (rollout(Rescale(TimeLimit(kind(spec), 2)), 1, 7, key) for kind, key in kinds)
    jax.effects_barrier()
    assert asked == [1, 1, 1]  # of 7 steps, 3 ended an episode
    jax.tree.map(np.testing.assert_array_equal, with_own, plain)


def test_the_environment_is_traced_once_for_a_whole_scan(key):
    traces = []

    class Counted(Counter):
        def step(self, key, state, action):
            traces.append(1)
            return super().step(key, state, action)

    rollout(Counted(Spec("counter", 2, 1, 10)), 3, 50, key)
    assert len(traces) == 1


def test_rescale_clips_and_maps_to_the_bounds(key):
    spec = Spec("counter", 2, 1, 10, action_low=(-0.5,), action_high=(2.0,))
    env = Rescale(Counter(spec))
    assert (env.spec.action_low, env.spec.action_high) == (-1.0, 1.0)
    state, _ = env.reset(key)
    for action, expected in [(0.0, 0.75), (0.5, 1.375), (-7.0, -0.5 + 1.25e-5), (7.0, 2 - 1.25e-5)]:
        _, step = env.step(jax.random.key(1), state, jnp.array([action]))
        np.testing.assert_allclose(step.obs[0], expected, atol=1e-6)
