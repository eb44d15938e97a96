"""What acts, in an environment of its own: how often and for how long the frozen agent rolls in."""

import jax
import jax.numpy as jnp
import numpy as np

from fastrl.engine import behaviours
from fastrl.types import Algorithm, Spec

SPEC = Spec("two", 1, 1, horizon=50)
CONSTANT = Algorithm(
    init=lambda key: jnp.float32(0.9),
    act=lambda state, obs, key, explore: jnp.full((*obs.shape[:-1], 1), state),
    update=None,
)
"""An agent is the number that it plays."""


def roll(behaviour, copies, steps, begin):
    """Actions [steps, copies] of one long episode each; the agent that came in plays 0.5, the learner -0.5."""
    memory = behaviours.began(behaviour, CONSTANT, jnp.float32(0.5), jax.random.key(1), copies, jnp.int32(begin))
    obs, never = jnp.zeros((copies, 1)), jnp.zeros(copies, bool)

    def step(memory, key):
        act_key, start_key = jax.random.split(key)
        action, each = behaviour.act(CONSTANT, jnp.float32(-0.5), memory, obs, act_key, SPEC)
        return behaviours.acted(behaviour, memory, each, never, start_key, jnp.int32(begin)), action[:, 0]

    return np.asarray(jax.lax.scan(step, memory, jax.random.split(jax.random.key(2), steps))[1])


def test_the_frozen_agent_rolls_in_for_a_geometric_time_and_never_comes_back():
    played = roll(behaviours.roll_in(0.5, 1_000, 0.9), 4_000, 60, 0) > 0
    lengths = played.sum(0)
    assert (np.diff(played.astype(int), axis=0) <= 0).all()  # once the learner acts it acts on
    began = lengths > 0
    assert abs(began.mean() - 0.5) < 0.03
    assert abs(lengths[began].mean() - 10.0) < 0.5  # 1 / (1 - 0.9)
    assert abs((lengths[began] > 5).mean() - 0.9**5) < 0.03


def test_the_probability_falls_to_zero_on_a_line():
    for begin, expected in ((250, 0.375), (500, 0.25), (1_000, 0.0), (2_000, 0.0)):
        began = (roll(behaviours.roll_in(0.5, 1_000, 0.9), 4_000, 1, begin) > 0).mean()
        assert abs(began - expected) < 0.03


def test_only_episodes_that_ended_start_anew():
    behaviour = behaviours.roll_in(1.0, 1_000, 1.0)
    memory = behaviours.Memory(jnp.float32(0.5), jnp.zeros(4, bool))
    done = jnp.array([True, False, True, False])
    after = behaviours.acted(behaviour, memory, memory.each, done, jax.random.key(0), jnp.int32(0))
    np.testing.assert_array_equal(after.each, done)
    assert float(after.known) == 0.5


def test_an_untrained_agent_acts_whatever_the_agent_is():
    memory = behaviours.began(behaviours.UNTRAINED, CONSTANT, jnp.float32(0.1), jax.random.key(0), 3, jnp.int32(0))
    action, _ = behaviours.UNTRAINED.act(
        CONSTANT, jnp.float32(-0.3), memory, jnp.zeros((3, 1)), jax.random.key(1), SPEC
    )
    np.testing.assert_allclose(action, 0.9)
