import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fastrl.networks import trunk as trunks
from fastrl.networks.trunk import Dense, Scalar, Trunk


def start(module, key, *inputs):
    return module.init(key, *inputs)["params"]


def test_forward_is_dense_layer_norm_relu_after_every_layer(key):
    module = Trunk(5, (16, 8), layer_norm=True)
    params = start(module, key, jnp.zeros((1, 5)))
    norm = {"scale": params["norm_1"]["scale"] * 2, "bias": jnp.linspace(-1, 1, 8)}
    dense = params["dense_0"] | {"bias": jnp.linspace(-1, 1, 16)}
    params = params | {"norm_1": norm, "dense_0": dense}
    x = np.asarray(jax.random.normal(jax.random.key(1), (7, 5)), np.float64)
    got = module.apply({"params": params}, jnp.asarray(x, jnp.float32))
    for i in range(2):
        dense, norm = (
            jax.tree.map(lambda p: np.asarray(p, np.float64), params[f"{kind}_{i}"]) for kind in ("dense", "norm")
        )
        x = x @ dense["kernel"] + dense["bias"]
        x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)
        x = np.maximum(x * norm["scale"] + norm["bias"], 0)
    np.testing.assert_allclose(got, x, atol=1e-5)
    assert set(params) == {"dense_0", "dense_1", "norm_0", "norm_1"}


def test_other_activations_and_more_axes(key):
    module = Trunk(5, (8,), activation=jnp.tanh)
    x = jax.random.normal(jax.random.key(1), (2, 7, 5))
    params = start(module, key, jnp.zeros((1, 5)))
    want = np.tanh(np.asarray(x) @ np.asarray(params["dense_0"]["kernel"]))
    np.testing.assert_allclose(module.apply({"params": params}, x), want, atol=1e-5)
    assert set(params) == {"dense_0"}


@pytest.mark.parametrize("layer_norm", [False, True])
def test_pairs_have_the_features_of_the_joined_input(layer_norm, key):
    module = Trunk(5, (16, 8), layer_norm)
    params = jax.tree.map(lambda x: x + 0.1, start(module, key, jnp.zeros((1, 5))))
    keys = jax.random.split(jax.random.key(1), 2)
    first, second = jax.random.normal(keys[0], (6, 3)), jax.random.normal(keys[1], (6, 4, 2))
    got = module.apply({"params": params}, first, second, method="pairs")
    joined = jnp.concatenate([jnp.repeat(first, 4, 0), second.reshape(24, 2)], -1)
    np.testing.assert_allclose(got, module.apply({"params": params}, joined), atol=1e-5)


def test_orthogonal_kernels_with_their_gains(key):
    params = start(Trunk(16, (16, 16), final_gain=1e-2), key, jnp.zeros((1, 16)))
    for i, gain in enumerate((2**0.5, 1e-2)):
        kernel = np.asarray(params[f"dense_{i}"]["kernel"])
        np.testing.assert_allclose(kernel @ kernel.T, gain**2 * np.eye(16), atol=1e-5 * gain**2)
        assert not params[f"dense_{i}"]["bias"].any()
    plain = start(Trunk(16, (16, 16), gain=0.5), jax.random.key(3), jnp.zeros((1, 16)))
    for i in range(2):  # without a gain of its own, the last is as the others
        kernel = np.asarray(plain[f"dense_{i}"]["kernel"])
        np.testing.assert_allclose(kernel @ kernel.T, 0.25 * np.eye(16), atol=1e-5)
    head = np.asarray(start(Dense(16, 4), jax.random.key(1), jnp.zeros((1, 16)))["kernel"])
    np.testing.assert_allclose(head.T @ head, 2 * np.eye(4), atol=1e-5)
    wide = np.asarray(start(Dense(4, 16), jax.random.key(2), jnp.zeros((1, 4)))["kernel"])
    np.testing.assert_allclose(wide @ wide.T, 2 * np.eye(4), atol=1e-5)


def test_a_scalar_head_is_a_product_with_a_vector_of_its_gain(key):
    module = Scalar(8)
    params = start(module, key, jnp.zeros((1, 8)))
    assert params["kernel"].shape == (8,) and params["bias"].shape == ()
    np.testing.assert_allclose((params["kernel"] ** 2).sum(), 2, rtol=1e-5)
    x = jax.random.normal(jax.random.key(1), (2, 6, 8))
    got = module.apply({"params": params | {"bias": jnp.float32(0.3)}}, x)
    np.testing.assert_allclose(got, np.asarray(x) @ np.asarray(params["kernel"]) + 0.3, atol=1e-5)


def test_glorot_kernels_have_their_variance(key):
    dense = lambda gain: Dense(200, 300, gain, trunks.glorot)
    kernel = start(dense(trunks.GAIN), key, jnp.zeros((1, 200)))["kernel"]
    np.testing.assert_allclose(kernel.var(), 1 / 250, rtol=0.02)
    assert abs(kernel).max() <= (3 / 250) ** 0.5
    small = start(dense(1e-2), jax.random.key(1), jnp.zeros((1, 200)))["kernel"]
    np.testing.assert_allclose(small.var(), 1e-2 / 250, rtol=0.02)


def test_dropout_keeps_the_mean_and_needs_a_key(key):
    x = jnp.ones((400, 50))
    identity = {"dense_0": {"kernel": jnp.eye(50), "bias": jnp.zeros(50)}}
    dropped = Trunk(50, (50,), dropout=0.2).apply({"params": identity}, x, rngs={"dropout": key})
    np.testing.assert_allclose((dropped == 0).mean(), 0.2, atol=0.01)
    np.testing.assert_allclose(dropped.mean(), 1.0, atol=0.02)
    params = start(Trunk(50, (16, 16)), jax.random.key(1), x)
    plain = Trunk(50, (16, 16)).apply({"params": params}, x)
    module = Trunk(50, (16, 16), dropout=0.5)
    np.testing.assert_array_equal(module.apply({"params": params}, x), plain)
    assert not np.allclose(module.apply({"params": params}, x, rngs={"dropout": jax.random.key(2)}), plain)
