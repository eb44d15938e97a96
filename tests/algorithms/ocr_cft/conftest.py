"""TD3, PPO and OCR-CFT again, in NumPy and float64, from the formulas: forward passes, gradients, Adam.

Gradients are taken by complex steps: a loss is evaluated with each number moved by `i h`, and the derivative is
`imag / h`, exact to rounding. So the functions here take complex numbers; what a formula detaches is cut by `.real`.
"""

import dataclasses
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fastrl.algorithms.group import Group
from fastrl.types import Clock, Spec, Transition

OBS, ACT, ROWS = 3, 2, 12
TINY = 1e-25


# -- elementary functions of complex numbers, each a branch on the real part -----------------------------------------


def relu(x):
    return np.where(x.real > 0, x, 0)


def clip(x, low, high):
    return np.where(x.real < low, low, np.where(x.real > high, high, x))


def lower(a, b):
    return np.where(a.real < b.real, a, b)


def upper(a, b):
    return np.where(a.real > b.real, a, b)


def least(q):
    """Minimum over the critics of q [N, B]."""
    return np.take_along_axis(q, q.real.argmin(0)[None], 0)[0]


def softplus(x):
    return np.log(1 + np.exp(x))


# -- networks: flax's dictionaries of parameters ---------------------------------------------------------------------


def hidden(params, x, activation=relu):
    for n in range(sum(name.startswith("dense") for name in params)):
        x = x @ params[f"dense_{n}"]["kernel"] + params[f"dense_{n}"]["bias"]
        if f"norm_{n}" in params:
            x = x - x.mean(-1, keepdims=True)
            x = x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6)
            x = x * params[f"norm_{n}"]["scale"] + params[f"norm_{n}"]["bias"]
        x = activation(x)
    return x


def linear(params, x):
    return x @ params["kernel"] + params["bias"]


def q(params, obs, action):
    """Of all critics [N, B], one at a time."""
    x = np.concatenate([obs, action], -1)
    each = [jax.tree.map(lambda leaf: leaf[n], params) for n in range(params["head"]["bias"].shape[0])]
    return np.stack([linear(one["head"], hidden(one["trunk"], x)) for one in each])


def v(params, obs):
    """PPO's value has tanh layers."""
    return linear(params["head"], hidden(params["trunk"], obs, np.tanh))


def pi(params, obs):
    """TD3's action [B, A]."""
    return np.tanh(linear(params["head"], hidden(params["trunk"], obs)))


def normal(mean, std, x):
    return (-0.5 * ((x - mean) / std) ** 2 - np.log(std) - 0.5 * np.log(2 * np.pi)).sum(-1)


def head(params, obs):
    """Mean and std before the tanh, log std = scale * out + shift in [-20, 2] (O2SAC)."""
    x = hidden(params["trunk"], obs)
    raw = params["scale"] * linear(params["spread"], x) + params["shift"]
    return linear(params["mean"], x), np.exp(clip(raw, -20, 2))


def squash(x, mean, std):
    return np.tanh(x), normal(mean, std, x) + 2 * np.log(np.cosh(x)).sum(-1)


def sample(params, obs, noise):
    """Action and log density of a squashed Gaussian."""
    mean, std = head(params, obs)
    return squash(mean + std * noise, mean, std)


def density(params, obs, action, limit=1 - 1e-5):
    """Log density of a squashed Gaussian at given actions."""
    action = clip(action, -limit, limit)
    return squash(0.5 * np.log((1 + action) / (1 - action)), *head(params, obs))[1]


def gauss(params, obs, cap=np.inf):
    """PPO's mean and std: a tanh, and a std of its own that no state changes."""
    mean = np.tanh(linear(params["mean"], hidden(params["trunk"], obs)))
    return mean, np.exp(lower(params["log_std"], np.asarray(cap))) * np.ones(mean.shape)


def entropy(std):
    return (np.log(std) + 0.5 * np.log(2 * np.pi) + 0.5).sum(-1)


# -- gradients, Adam, targets ----------------------------------------------------------------------------------------


def gradient(loss, params):
    """Of a real function of all these parameters, number by number."""
    leaves, tree = jax.tree.flatten(params)
    grads = []
    for n, leaf in enumerate(leaves):
        grads.append(np.zeros(leaf.shape))
        for index in np.ndindex(leaf.shape):
            moved = np.array(leaf, complex)
            moved[index] += 1j * TINY
            grads[n][index] = loss(tree.unflatten([*leaves[:n], moved, *leaves[n + 1 :]])).imag / TINY
    return tree.unflatten(grads)


def clipped(grads, norm):
    total = np.sqrt(sum((g**2).sum() for g in jax.tree.leaves(grads)))
    return jax.tree.map(lambda g: g * min(1, norm / total), grads)


def toward(old, new, tau):
    return jax.tree.map(lambda a, b: (1 - tau) * a + tau * b, old, new)


def adam(group, grads, rate, tau=None, eps=1e-8):
    """One step as in the paper; with `tau` the target follows."""
    count = int(group.opt.count) + 1
    first = toward(group.opt.first, grads, 0.1)
    second = jax.tree.map(lambda old, g: 0.999 * old + 0.001 * g**2, group.opt.second, grads)

    def move(p, m, s):
        return p - rate * (m / (1 - 0.9**count)) / (np.sqrt(s / (1 - 0.999**count)) + eps)

    params = jax.tree.map(move, group.params, first, second)
    opt = dataclasses.replace(group.opt, first=first, second=second, count=np.int32(count))
    return Group(params, opt, group.target if tau is None else toward(group.target, params, tau))


def averaged(group, tau):
    return dataclasses.replace(group, target=toward(group.target, group.params, tau))


def weights(slack):
    """.3 where the constraint holds, .7 where it does not."""
    return np.abs(0.7 - (slack > 0))


# -- states, batches, comparison -------------------------------------------------------------------------------------


def host(tree):
    """Numbers on the host, floats in float64."""
    return jax.tree.map(lambda x: np.asarray(x, np.float64 if x.dtype.kind == "f" else None), tree)


def filled(algorithm, seed=1, scale=0.5):
    """A state with random float64 numbers everywhere: networks, targets, reference, moments after three steps."""
    random = np.random.default_rng(seed)
    shapes = jax.eval_shape(algorithm.init, jax.random.key(0))

    def draw(path, x):
        name = jax.tree_util.keystr(path)
        if x.dtype.kind == "i":
            return jnp.full(x.shape, 3 if "count" in name else 0, x.dtype)
        if ".opt.second" in name:
            return jnp.asarray(random.uniform(0.01, 0.1, x.shape))
        if ".opt.first" in name:
            return jnp.asarray(0.1 * random.normal(size=x.shape))
        one = 1.0 if name.endswith("['scale']") else 0.0
        return jnp.asarray(one + scale * random.normal(size=x.shape))

    return jax.tree_util.tree_map_with_path(draw, shapes)


def batch(seed, *shape):
    """Random transitions; some terminate, some are the last of an episode without a termination."""
    random = np.random.default_rng(seed)
    mask = (random.uniform(size=shape) < 0.7).astype(float)
    return Transition(
        obs=random.normal(size=(*shape, OBS)),
        action=np.tanh(random.normal(size=(*shape, ACT))),
        reward=random.normal(size=shape),
        mask=mask,
        next_obs=random.normal(size=(*shape, OBS)),
        mc_return=random.normal(size=shape),
        last=np.maximum(1 - mask, random.uniform(size=shape) < 0.2),
    )


def clock(step=0, call=0):
    return Clock(jnp.int32(step), jnp.int32(call))


def split(key, count=2):
    """The same keys as the source's; a copy, as it consumed its own."""
    return list(jax.random.split(jax.random.clone(key), count))


def noise(key, shape=(ROWS, ACT)):
    return np.asarray(jax.random.normal(jax.random.clone(key), shape))


def close(found, expected, atol=1e-10):
    """Same structure, float64, equal to 1e-10."""
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for (path, a), b in zip(jax.tree_util.tree_leaves_with_path(found), jax.tree.leaves(expected)):
        name = jax.tree_util.keystr(path)
        assert a.shape == np.shape(b) and a.dtype == np.asarray(b).dtype, name
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=atol, err_msg=name)


def agree(found, expected, rates, moments=1e-10):
    """Two states after a step.

    Moments, which hold the gradients, to 1e-10. Learning rate, Adam's two corrections and the step of the targets are
    float32 in the source whatever the precision (`optimisers.Adam.step`): 1 - 0.999^4 is off by 2e-6 of itself, so
    parameters agree to 1e-4 of a learning rate, targets to 1e-8. The reference may be a copy of the new parameters.
    """
    for field in dataclasses.fields(expected):
        have, want = getattr(found, field.name), getattr(expected, field.name)
        if not isinstance(want, Group):
            close(have, want, max(rates.values()) * 1e-4 if field.name == "reference" else 0)
            continue
        close(have.params, want.params, 1e-4 * rates[field.name])
        close(have.opt, want.opt, moments)
        close(have.target, want.target, 1e-8 + 1e-6 * rates[field.name])


def differs(found, expected):
    """Every leaf."""
    assert all((np.asarray(a) != np.asarray(b)).any() for a, b in zip(*map(jax.tree.leaves, (found, expected))))


@pytest.fixture(scope="session")
def ref():
    """All of the above."""
    return types.SimpleNamespace(**{k: f for k, f in globals().items() if callable(f) or k in ("OBS", "ACT", "ROWS")})


@pytest.fixture(scope="session")
def spec():
    return Spec("made-up", OBS, ACT, 10)


@pytest.fixture(autouse=True)
def double():
    """Every test here is in float64."""
    with jax.enable_x64(True):
        yield
