"""An independent NumPy (float64) forward pass of every network, and transitions to try it on."""

import dataclasses
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fastrl.algorithms import rows
from fastrl.algorithms.group import Group
from fastrl.types import Clock, Spec, Transition

OBS, ACT = 3, 2


def to64(tree):
    return jax.tree.map(lambda x: np.asarray(x, np.float64), tree)


def trunk(params, x):
    for i in range(sum(name.startswith("dense_") for name in params)):
        x = x @ params[f"dense_{i}"]["kernel"] + params[f"dense_{i}"]["bias"]
        if f"norm_{i}" in params:
            x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)
            x = x * params[f"norm_{i}"]["scale"] + params[f"norm_{i}"]["bias"]
        x = np.maximum(x, 0)
    return x


def critic(params, obs, action):
    """Q [N, B], one critic at a time."""
    x = np.concatenate([obs, action], -1)
    values, head = [], params["head"]
    for n in range(params["trunk"]["dense_0"]["bias"].shape[0]):
        own = jax.tree.map(lambda leaf: leaf[n], params["trunk"])
        m = min(n, head["bias"].shape[0] - 1)
        values.append(trunk(own, x) @ head["kernel"][m] + head["bias"][m])
    return np.stack(values)


def value(params, obs):
    return trunk(params["trunk"], obs) @ params["head"]["kernel"] + params["head"]["bias"]


def actor(params, obs):
    """Mean and std [B, A] of std = exp or uniform."""
    x = trunk(params["trunk"], obs)
    mean = x @ params["mean"]["kernel"] + params["mean"]["bias"]
    uniform = "log_std" in params
    raw = params["log_std"] if uniform else x @ params["spread"]["kernel"] + params["spread"]["bias"]
    return mean, np.clip(np.exp(raw) * np.ones_like(mean), 1e-5, 10)


def gaussian(mean, std, x):
    return (-0.5 * ((x - mean) / std) ** 2 - np.log(std * np.sqrt(2 * np.pi))).sum(-1)


def squashed(mean, std, x):
    """Action and log density of the pre-tanh x; the plain formula, no stable one."""
    action = np.tanh(x)
    return action, gaussian(mean, std, x) - np.log(1 - action**2).sum(-1)


def wide(tree):
    """In float64 on the device, where it is enabled."""
    return jax.tree.map(lambda x: x.astype(jnp.float64) if x.dtype == jnp.float32 else x, tree)


def adam(param, grad, first, second, count, rate):
    first, second = 0.9 * first + 0.1 * grad, 0.999 * second + 0.001 * grad**2
    step = (first / (1 - 0.9**count)) / (np.sqrt(second / (1 - 0.999**count)) + 1e-8)
    return param - rate * step


def slope(function, params, grads, scale=1e-8):
    """(numerical, claimed) derivative of function(params) along a random direction of all parameters."""
    random = np.random.default_rng(0)
    leaves, tree = jax.tree.flatten(to64(params))
    direction = [random.normal(size=x.shape) for x in leaves]
    move = lambda sign: jax.tree.unflatten(tree, [x + sign * scale * d for x, d in zip(leaves, direction)])
    numerical = (function(move(1)) - function(move(-1))) / (2 * scale)
    return numerical, sum((d * g).sum() for d, g in zip(direction, jax.tree.leaves(to64(grads))))


def run(function, *args, piece=None):
    """The compiled function's result, its rows split at `piece`.

    A compiled program does not know how its rows were split when it was traced, so that each is a function of its own.
    """
    with rows.pieces_of(piece):
        return jax.jit(lambda *args: function(*args))(*args)


@pytest.fixture(scope="session")
def filled():
    """A state of an algorithm with random networks, fresh optimisers and no compilation."""

    def fill(algorithm, seed=1):
        random = np.random.default_rng(seed)
        shapes = jax.eval_shape(algorithm.init, jax.random.key(0))
        draw = lambda tree, scale: jax.tree.map(
            lambda x: jnp.asarray(scale * random.normal(size=x.shape), x.dtype), tree
        )
        parts = {field.name: getattr(shapes, field.name) for field in dataclasses.fields(shapes)}
        return type(shapes)(
            **{
                name: Group(draw(part.params, 0.4), draw(part.opt, 0.0), draw(part.target, 0.4))
                if isinstance(part, Group)
                else draw(part, 0.4)
                for name, part in parts.items()
            }
        )

    return fill


@pytest.fixture(autouse=True)
def quick_compilation():
    """Hardly any optimisation: these programs are compiled once and run once or twice."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture(scope="session")
def ref():
    """The functions above, and a clock at the start."""
    return types.SimpleNamespace(
        to64=to64,
        wide=wide,
        critic=critic,
        value=value,
        actor=actor,
        gaussian=gaussian,
        squashed=squashed,
        adam=adam,
        slope=slope,
        run=run,
        clock=Clock(jnp.int32(0), jnp.int32(0)),
    )


@pytest.fixture(scope="session")
def spec():
    return Spec("made-up", OBS, ACT, 10)


@pytest.fixture(scope="session")
def make_batch():
    """Random transitions with these leading axes; some terminate, and some more are the last of their episode."""

    def make(seed, *shape):
        keys = jax.random.split(jax.random.key(seed), 7)
        mask = jax.random.bernoulli(keys[3], 0.7, shape).astype(jnp.float32)
        truncated = jax.random.bernoulli(keys[6], 0.2, shape).astype(jnp.float32)
        return Transition(
            obs=jax.random.normal(keys[0], (*shape, OBS)),
            action=jnp.tanh(jax.random.normal(keys[1], (*shape, ACT))),
            reward=jax.random.normal(keys[2], shape),
            mask=mask,
            next_obs=jax.random.normal(keys[4], (*shape, OBS)),
            mc_return=jax.random.normal(keys[5], shape),
            last=jnp.maximum(1.0 - mask, truncated),
        )

    return make


@pytest.fixture(params=[(True, 1e-10), (False, 1e-5)], ids=["float64", "float32"])
def close(request):
    """Compares with the reference, in the precision that the test runs in."""
    x64, tolerance = request.param
    with jax.enable_x64(x64):

        def check(found, expected):
            assert found.dtype == (jnp.float64 if x64 else jnp.float32)
            assert found.shape == np.shape(expected)
            np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance)

        yield check
