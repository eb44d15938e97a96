import jax.numpy as jnp
import numpy as np
import pytest

from fastrl.algorithms import losses


def test_hand_made_numbers():
    target = losses.bellman_target(jnp.array([1.0, 1.0]), jnp.array([1.0, 0.0]), jnp.array([10.0, 10.0]), 0.9)
    np.testing.assert_allclose(target, [10.0, 1.0])
    q = jnp.array([[1.0, 2.0], [3.0, 4.0]])
    np.testing.assert_allclose(losses.squared_error(q, jnp.array([1.0, 1.0])), (0 + 1 + 4 + 9) / 4)
    np.testing.assert_allclose(losses.expectile(jnp.array([2.0, -2.0]), 0.9), (0.9 * 4 + 0.1 * 4) / 2)
    np.testing.assert_allclose(losses.advantage_weight(jnp.array([1.0, 9.0]), 3.0, 100.0), [np.exp(3), 100], rtol=1e-6)
    np.testing.assert_allclose(losses.soft_maximum(jnp.array([0.0, 0.0, 0.0]), 0.5), 0.5 * np.log(3), rtol=1e-6)


@pytest.mark.parametrize("form", ["softplus", "exp"])
def test_multipliers_start_at_their_value(form):
    for value in (1e-2, 1.0, 5.0):
        np.testing.assert_allclose(losses.positive(losses.positive_inverse(value, form), form), value, rtol=1e-4)
    np.testing.assert_allclose(losses.positive_inverse(1.0, "softplus"), np.log(np.e - 1), rtol=1e-5)
