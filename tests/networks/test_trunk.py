import jax
import jax.numpy as jnp
import numpy as np

from fastrl.networks import trunk as mlp


def test_forward_is_dense_layer_norm_relu_after_every_layer(key):
    trunk = mlp.trunk_init(key, 5, (16, 8), layer_norm=True)
    shift = jnp.linspace(-1, 1, 8)
    trunk = (trunk[0], mlp.Hidden(trunk[1].dense, trunk[1].scale * 2, shift))
    x = np.asarray(jax.random.normal(jax.random.key(1), (7, 5)), np.float64)
    got = mlp.trunk_apply(trunk, jnp.asarray(x, jnp.float32))
    for layer in trunk:
        x = x @ np.asarray(layer.dense.kernel, np.float64) + np.asarray(layer.dense.bias)
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)
        x = np.maximum(x * np.asarray(layer.scale) + np.asarray(layer.shift), 0)
    np.testing.assert_allclose(got, x, atol=1e-5)


def test_orthogonal_kernels_with_their_gains(key):
    trunk = mlp.trunk_init(key, 16, (16, 16), layer_norm=False, final_gain=1e-2)
    for layer, gain in zip(trunk, (2**0.5, 1e-2)):
        kernel = np.asarray(layer.dense.kernel)
        np.testing.assert_allclose(kernel @ kernel.T, gain**2 * np.eye(16), atol=1e-5 * gain**2)
        assert not layer.dense.bias.any()
        assert layer.scale is None
    head = np.asarray(mlp.dense_init(jax.random.key(1), 16, 4).kernel)
    np.testing.assert_allclose(head.T @ head, 2 * np.eye(4), atol=1e-5)


def test_glorot_kernels_have_their_variance(key):
    kernel = mlp.dense_init(key, 200, 300, initializer=mlp.glorot).kernel
    np.testing.assert_allclose(kernel.var(), 1 / 250, rtol=0.02)
    assert abs(kernel).max() <= (3 / 250) ** 0.5
    small = mlp.dense_init(jax.random.key(1), 200, 300, 1e-2, mlp.glorot).kernel
    np.testing.assert_allclose(small.var(), 1e-2 / 250, rtol=0.02)


def test_dropout_keeps_the_mean_and_needs_a_key(key):
    x = jnp.ones((400, 50))
    dropped = mlp.drop(x, 0.2, key)
    np.testing.assert_allclose((dropped == 0).mean(), 0.2, atol=0.01)
    np.testing.assert_allclose(dropped.mean(), 1.0, atol=0.02)
    trunk = mlp.trunk_init(jax.random.key(1), 50, (16,), layer_norm=False)
    plain = mlp.trunk_apply(trunk, x)
    np.testing.assert_array_equal(mlp.trunk_apply(trunk, x, 0.5), plain)
    assert not np.allclose(mlp.trunk_apply(trunk, x, 0.5, jax.random.key(2)), plain)
