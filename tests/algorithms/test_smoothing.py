import jax.numpy as jnp
import numpy as np
import pytest

from fastrl.algorithms import smoothing


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
