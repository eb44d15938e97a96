"""Sums over features on a CPU beside NumPy's, and the gradients of both beside XLA's own."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fastrl.networks import sums


def plain(x, eps=1e-6):
    centred = x - x.mean(-1, keepdims=True)
    return centred / jnp.sqrt((centred * centred).mean(-1, keepdims=True) + eps)


@pytest.mark.parametrize("shape", [(5,), (3, 64), (2, 7, 256), (4, 100)])
def test_values_and_gradients(shape, key):
    x = 3.0 * jax.random.normal(key, shape) + 1.0
    weights = jax.random.normal(jax.random.key(1), shape)
    wide = np.asarray(x, np.float64)
    np.testing.assert_allclose(sums.total(x), wide.sum(-1), rtol=1e-5, atol=1e-5)
    centred = wide - wide.mean(-1, keepdims=True)
    expected = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-6)
    np.testing.assert_allclose(sums.normalised(x, 1e-6), expected, atol=1e-5)
    gradient = jax.grad(lambda x: (sums.normalised(x, 1e-6) * weights).sum())(x)
    np.testing.assert_allclose(gradient, jax.grad(lambda x: (plain(x) * weights).sum())(x), atol=1e-5)
    gradient = jax.grad(lambda x: (sums.total(x * x) * weights[..., 0]).sum())(x)
    np.testing.assert_allclose(gradient, 2 * x * weights[..., :1], atol=1e-5)


def test_an_ensemble_and_twice(key):
    x = jax.random.normal(key, (3, 8, 64))
    np.testing.assert_allclose(jax.vmap(lambda x: sums.normalised(x, 1e-6))(x), plain(x), atol=1e-5)
    one = lambda f: jax.grad(lambda x: (jax.grad(lambda x: (f(x) ** 3).sum())(x) ** 2).sum())(x[0])
    np.testing.assert_allclose(one(lambda x: sums.normalised(x, 1e-6)), one(plain), rtol=1e-3, atol=1e-3)


def test_a_cpu_alone_has_the_pieces(key, monkeypatch):
    x = jax.random.normal(key, (4, 128))
    both = lambda x: (sums.total(x), sums.normalised(x, 1e-6))
    assert str(jax.make_jaxpr(both)(x)).count(" slice[") == 3 * 128 // 32
    here = both(x)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    there = lambda x: both(x)  # traced anew
    assert not {"slice", "custom_vjp_call"} & {str(eqn.primitive) for eqn in jax.make_jaxpr(there)(x).eqns}
    for ours, others in zip(here, there(x), strict=True):
        np.testing.assert_allclose(ours, others, rtol=1e-5, atol=1e-5)
