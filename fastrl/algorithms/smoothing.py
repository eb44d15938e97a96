"""Target policy smoothing. Its caller draws the noise."""

import chex
import jax
import jax.numpy as jnp


def smoothed(action: jax.Array, noise: jax.Array, sd: float, limit: float) -> jax.Array:
    """`clip(action + clip(sd * noise, -limit, limit), -1, 1)` (TD3; OCR-CFT, O2TD3, policy re-evaluation).

    `action` [..., A] is a deterministic policy's, `noise` [..., A] is standard normal.
    """
    chex.assert_equal_shape([action, noise])
    return jnp.clip(action + jnp.clip(sd * noise, -limit, limit), -1.0, 1.0)
