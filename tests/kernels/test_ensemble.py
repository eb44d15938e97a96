import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fastrl.kernels import ensemble, update


@pytest.mark.parametrize("rows", [1, 19])
def test_the_three_forms_agree_in_values_and_gradients(rows):
    keys = jax.random.split(jax.random.key(0), 4)
    x = jax.random.normal(keys[0], (rows, 5))
    kernel = jax.random.normal(keys[1], (3, 5, 16))
    bias = jax.random.normal(keys[2], (3, 16))
    weight = jax.random.normal(keys[3], (3, rows, 16))
    forms = (
        ensemble.ensemble_dense_shared_reference,
        ensemble.ensemble_dense_shared,
        lambda *args: ensemble.ensemble_dense_shared_pallas(*args, 16, True),
    )

    def loss(form):
        return lambda *args: (weight * jnp.tanh(form(*args))).sum()

    want = forms[0](x, kernel, bias)
    gradients = jax.grad(loss(forms[0]), (0, 1, 2))(x, kernel, bias)
    assert want.shape == (3, rows, 16)
    np.testing.assert_allclose(want[1], x @ kernel[1] + bias[1][None], rtol=1e-4, atol=1e-5)
    for form in forms[1:]:
        np.testing.assert_allclose(form(x, kernel, bias), want, rtol=1e-4, atol=1e-5)
        for got, expected in zip(jax.grad(loss(form), (0, 1, 2))(x, kernel, bias), gradients):
            np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-4)


def test_pallas_forms_lower_for_a_tpu():
    scalars = update.Scalars(*map(jnp.float32, (3e-4, 0.1, 0.001, 0.0, 0.005)))
    x, kernel, bias = jnp.ones((256, 23)), jnp.ones((10, 23, 256)), jnp.ones((10, 256))
    layer = jax.jit(lambda *args: ensemble.ensemble_dense_shared_pallas(*args, 64))
    adam = jax.jit(lambda *args: update.adam_polyak_pallas(*args, scalars, 32))
    for traced in (layer.trace(x, kernel, bias), adam.trace(*[kernel] * 5)):
        assert "tpu_custom_call" in traced.lower(lowering_platforms=("tpu",)).as_text()
