import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fastrl.envs import make


def episode(name, action, steps):
    """One episode of at most `steps`: observations, rewards, terminated, truncated."""
    env = make(name)
    key = jax.random.key(0)
    state, obs = env.reset(key)
    rows = []
    for i in range(steps):
        state, step = env.step(jax.random.fold_in(key, i), state, jnp.array([action]))
        rows.append((float(obs[0]), float(step.reward), bool(step.terminated), bool(step.truncated)))
        obs = step.obs
        if rows[-1][2] or rows[-1][3]:
            break
    return rows


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("probe-constant", [(0.0, 1.0, True, False)]),
        ("probe-delayed", [(0.0, 0.0, False, False), (0.5, 1.0, True, False)]),
        ("probe-action", [(0.0, -0.49, True, False)]),
        ("probe-truncation", [(0.0, 1.0, False, i == 4) for i in range(5)]),
        ("probe-termination", [(i / 5, 1.0, i == 4, False) for i in range(5)]),
    ],
)
def test_probes_pay_what_their_known_values_assume(name, expected):
    rows = episode(name, -0.2, 20)
    assert len(rows) == len(expected)
    np.testing.assert_allclose(np.array(rows, float), np.array(expected, float), atol=1e-6)
