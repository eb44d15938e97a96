import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fastrl.algorithms import smoothing


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


@pytest.mark.parametrize("shape", [(4,), (9, 4), (2, 9, 4)])
def test_smoothed(close, shape):
    random = np.random.default_rng(3)
    action, noise = random.uniform(-1, 1, shape), random.normal(size=shape)
    expected = np.zeros(shape)
    for place in np.ndindex(shape):
        step = min(max(0.4 * noise[place], -0.3), 0.3)
        expected[place] = min(max(action[place] + step, -1.0), 1.0)
    close(smoothing.smoothed(jnp.asarray(action), jnp.asarray(noise), 0.4, 0.3), expected)


def test_smoothed_by_hand(close):
    action = jnp.array([[0.0, 0.0, 0.0], [0.9, -0.9, 0.9]])
    noise = jnp.array([[1.0, 9.0, -9.0], [1.0, -9.0, 0.1]])
    close(smoothing.smoothed(action, noise, 0.2, 0.5), [[0.2, 0.5, -0.5], [1.0, -1.0, 0.92]])
    close(smoothing.smoothed(action, noise, 0.0, 0.5), [[0.0, 0.0, 0.0], [0.9, -0.9, 0.9]])


def test_smoothed_refuses_other_shapes():
    for noise in ((3,), (1, 3), (2, 1)):
        with pytest.raises(AssertionError, match="shape"):
            smoothing.smoothed(jnp.zeros((2, 3)), jnp.zeros(noise), 0.2, 0.5)
