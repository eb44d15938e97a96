import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from fastrl.kernels import update


def arrays(shape):
    keys = jax.random.split(jax.random.key(0), 5)
    param, grad, first, second, target = (jax.random.normal(k, shape) for k in keys)
    return param, grad, first, second**2, target


@pytest.mark.parametrize("eps", [update.EPS, 1e-3])
@pytest.mark.parametrize("shape", [(), (3, 5), (10, 23, 16)])
def test_both_forms_agree(shape, eps):
    scalars = update.Scalars(*map(jnp.float32, (3e-4, 0.19, 0.002, 0.1, 0.005)))
    inputs = arrays(shape)
    expected = update.adam_polyak_reference(*inputs, scalars, eps)
    fused = update.adam_polyak(*inputs, scalars, eps)
    for name, want, got in zip(update.Updated._fields, expected, fused):
        assert got.shape == shape
        np.testing.assert_allclose(got, want, rtol=2e-6, atol=1e-6, err_msg=name)


def test_two_steps_are_optax_adamw_and_its_incremental_update():
    param, grad, _, _, target = arrays((4, 7))
    optimizer = optax.adamw(1e-2, weight_decay=0.3)
    state, want, want_target = optimizer.init(param), param, target
    first = second = jnp.zeros_like(param)
    for count in (1, 2):
        scalars = update.Scalars(*map(jnp.float32, (1e-2, 1 - 0.9**count, 1 - 0.999**count, 0.3, 0.1)))
        param, first, second, target = update.adam_polyak(param, grad, first, second, target, scalars)
        updates, state = optimizer.update(grad, state, want)
        want = optax.apply_updates(want, updates)
        want_target = optax.incremental_update(want, want_target, 0.1)
        grad = grad * 0.5 - 0.1
    np.testing.assert_allclose(param, want, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(target, want_target, rtol=1e-5, atol=1e-6)
