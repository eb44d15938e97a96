import subprocess
import sys
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import fastrl
from fastrl.envs.from_brax import Brax
from fastrl.envs.wrappers import Timed
from fastrl.types import Spec, UserError

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from brax import envs as brax_envs


@pytest.mark.slow
def test_every_step_is_braxs_to_the_bit_without_a_reset():
    """Both from the library's state, in one program, which rounds both alike."""
    ours = fastrl.make("brax:inverted_pendulum")
    assert ours.spec == Spec("brax:inverted_pendulum", 4, 1, 1000, backend="brax generalized")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = brax_envs.get_environment("inverted_pendulum", backend="generalized")

    def step(state, index):
        _, got = ours.step(jax.random.key(0), Timed(state.replace(metrics={}), index), actions[index])
        state = theirs.step(state, actions[index])
        state = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.result_type(leaf)), state)
        return state, ((got.obs, got.reward, got.terminated), (state.obs, state.reward, state.done > 0))

    def run():
        state = theirs.reset(jax.random.key(0))
        return ours.reset(jax.random.key(0))[1], state.obs, jax.lax.scan(step, state, jnp.arange(steps))[1]

    steps = 60
    actions = jax.random.uniform(jax.random.key(7), (steps, 1), minval=-1, maxval=1)
    with jax.numpy_rank_promotion("allow"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        first, their_first, (got, expected) = jax.jit(run)()
    np.testing.assert_array_equal(first, their_first)
    for a, b in zip(got, expected):
        np.testing.assert_array_equal(a, b)
    end = int(np.argmax(got[2]))
    assert got[2][end] and np.abs(got[0][end + 1] - first).max() > 0.1, "it falls, and goes on from there"


@pytest.mark.parametrize(
    ("name", "options", "match"),
    [
        ("brax:antt", {}, "unknown brax environment 'antt'; did you mean 'ant'"),
        ("brax:ant", {"backend": "sprng"}, "unknown brax backend 'sprng'; did you mean 'spring'"),
        (
            "brax:swimmer",
            {"backend": "mjx"},
            "cannot be made on backend 'mjx': ValueError: Unsupported backend: mjx.",
        ),
        ("brax:ant", {"bakend": "spring"}, "no option 'bakend': did you mean 'backend'"),
    ],
)
def test_what_cannot_be_made_is_one_line(name, options, match):
    with pytest.raises(UserError, match=match):
        fastrl.make(name, **options)


def test_a_task_that_brax_cannot_step_is_one_line():
    """With jax 0.10.2, brax 0.14.2's swimmer asks for an argument that `jnp.clip` has no longer."""

    class Broken:
        def step(self, state, action):
            raise TypeError("clip() got an unexpected\nkeyword argument 'a_min'")

    env = Brax(Spec("brax:swimmer", 4, 1, 1000, backend="brax generalized"), Broken())
    state = brax_envs.State(None, jnp.zeros(4), jnp.zeros(()), jnp.zeros(()))
    with pytest.raises(
        UserError, match=r"brax:swimmer cannot be stepped on brax generalized: TypeError: clip\(\) got an unexpect"
    ):
        env.step(jax.random.key(0), state, jnp.zeros(1))


@pytest.mark.slow
def test_neither_warnings_nor_chatter_reach_the_terminal():
    code = "import fastrl; fastrl.make('brax:inverted_pendulum'); fastrl.make('gymnax:Pendulum-v1')"
    result = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_an_eager_step_leaves_the_state_it_was_given_alone():
    """brax writes metrics in place; ours has none to write to."""
    env = fastrl.make("brax:inverted_pendulum", backend="spring")
    state, _ = jax.eval_shape(env.reset, jax.random.key(0))
    assert state.env.metrics == {}
    after, step = jax.eval_shape(env.step, jax.random.key(0), state, jnp.zeros(1))
    assert jax.tree.structure(after) == jax.tree.structure(state) and step.terminated.dtype == bool
