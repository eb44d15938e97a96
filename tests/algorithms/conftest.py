"""An independent NumPy (float64) forward pass of every network, and transitions to try it on."""

import dataclasses
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fastrl.types import Spec, Transition

OBS, ACT = 3, 2


def to64(tree):
    return jax.tree.map(lambda x: np.asarray(x, np.float64), tree)


def trunk(layers, x):
    for layer in layers:
        x = x @ layer.dense.kernel + layer.dense.bias
        if layer.scale is not None:
            x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)
            x = x * layer.scale + layer.shift
        x = np.maximum(x, 0)
    return x


def critic(params, obs, action):
    """Q [N, B], one critic at a time."""
    x = np.concatenate([obs, action], -1)
    values = []
    for n in range(params.trunk[0].dense.bias.shape[0]):
        layers = jax.tree.map(lambda leaf: leaf[n], params.trunk)
        m = min(n, params.head.bias.shape[0] - 1)
        values.append(trunk(layers, x) @ params.head.kernel[m] + params.head.bias[m])
    return np.stack(values)


def value(params, obs):
    return trunk(params.trunk, obs) @ params.head.kernel + params.head.bias


def actor(params, obs):
    """Mean and std [B, A] of std = exp or uniform."""
    x = trunk(params.trunk, obs)
    mean = x @ params.mean.kernel + params.mean.bias
    raw = params.std if isinstance(params.std, np.ndarray) else x @ params.std.kernel + params.std.bias
    return mean, np.clip(np.exp(raw) * np.ones_like(mean), 1e-5, 10)


def gaussian(mean, std, x):
    return (-0.5 * ((x - mean) / std) ** 2 - np.log(std * np.sqrt(2 * np.pi))).sum(-1)


def squashed(mean, std, x):
    """Action and log density of the pre-tanh x; the plain formula, no stable one."""
    action = np.tanh(x)
    return action, gaussian(mean, std, x) - np.log(1 - action**2).sum(-1)


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


@pytest.fixture(scope="session")
def filled():
    """A state of an algorithm with random networks, fresh optimisers and no compilation."""

    def fill(algorithm, seed=1):
        random = np.random.default_rng(seed)
        shapes = jax.eval_shape(algorithm.init, jax.random.key(0))
        fields = {}
        for field in dataclasses.fields(shapes):
            scale = 0.0 if field.name.endswith("_opt") else 0.4
            draw = lambda x, scale=scale: jnp.asarray(scale * random.normal(size=x.shape), x.dtype)
            fields[field.name] = jax.tree.map(draw, getattr(shapes, field.name))
        return dataclasses.replace(shapes, **fields)

    return fill


@pytest.fixture(autouse=True)
def quick_compilation():
    """Hardly any optimisation: these programs are compiled once and run once or twice."""
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture(scope="session")
def ref():
    """The functions above."""
    return types.SimpleNamespace(
        to64=to64,
        critic=critic,
        value=value,
        actor=actor,
        gaussian=gaussian,
        squashed=squashed,
        adam=adam,
        slope=slope,
    )


@pytest.fixture(scope="session")
def spec():
    return Spec("made-up", OBS, ACT, 10)


@pytest.fixture(scope="session")
def make_batch():
    """Random transitions with these leading axes; some terminate."""

    def make(seed, *shape):
        keys = jax.random.split(jax.random.key(seed), 6)
        return Transition(
            obs=jax.random.normal(keys[0], (*shape, OBS)),
            action=jnp.tanh(jax.random.normal(keys[1], (*shape, ACT))),
            reward=jax.random.normal(keys[2], shape),
            mask=jax.random.bernoulli(keys[3], 0.7, shape).astype(jnp.float32),
            next_obs=jax.random.normal(keys[4], (*shape, OBS)),
            mc_return=jax.random.normal(keys[5], shape),
        )

    return make
