"""Advantages of on-policy rows and the loss that uses them.

Standard deviations are those of a sample (divisor n - 1), as torch's `std` in the usual PPO code; two numbers at least.
"""

import chex
import jax
import jax.numpy as jnp

EPSILON = 1e-8
"""Added to the standard deviation that an advantage is divided by."""


def gae(
    reward: jax.Array,
    value: jax.Array,
    next_value: jax.Array,
    mask: jax.Array,
    last: jax.Array,
    discount: float,
    trace: float,
) -> jax.Array:
    """Generalised advantage estimates [T, E] of T consecutive rows in E environments (OCR-CFT, O2PPO, A_gae).

    `delta_t = r_t + discount * mask_t * V(s'_t) - V(s_t)`, `A_t = delta_t + discount * trace * (1 - last_t) * A_{t+1}`,
    0 after the end of the rows. `mask` is 1 - terminated; `last` is 1 where the episode ended with the row, terminated
    or truncated. So a truncated row bootstraps from `next_value`, the value of the observation before any reset, and
    nothing of the next episode reaches it. All arrays are [T, E].
    """
    chex.assert_rank(reward, 2)
    chex.assert_equal_shape([reward, value, next_value, mask, last])
    delta = reward + discount * mask * next_value - value
    keep = discount * trace * (1.0 - last)

    def back(following: jax.Array, row: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        advantage = row[0] + row[1] * following
        return advantage, advantage

    return jax.lax.scan(back, jnp.zeros_like(delta[0]), (delta, keep), reverse=True)[1]


def auxiliary(log_prob: jax.Array, entropy: jax.Array, action_size: int, weight: float = 2.0) -> jax.Array:
    """`weight * (softplus(x + 4A) - 4A) / A` with `x = log pi_ref(a|s) + H[pi_ref(.|s)]` (OCR-CFT, O2PPO, A_ref).

    How much likelier than usual the reference policy finds the action, with a floor near -4 weight. `log_prob` and
    `entropy` [...] are the reference policy's, `action_size` is A.
    """
    chex.assert_equal_shape([log_prob, entropy])
    floor = 4.0 * action_size
    return weight * (jax.nn.softplus(log_prob + entropy + floor) - floor) / action_size


def normalise(advantage: jax.Array) -> jax.Array:
    """`(A - mean) / (std + 1e-8)` over all numbers, a sample's standard deviation (PPO's code; OCR-CFT, O2PPO)."""
    chex.assert_rank(advantage, {1, 2})
    return (advantage - advantage.mean()) / (advantage.std(ddof=1) + EPSILON)


def combined(gae: jax.Array, auxiliary: jax.Array, w: jax.Array | float, *, outer: bool) -> jax.Array:
    """`(A_gae + w * A_ref * std(A_gae)) / (1 + w)`, normalised (OCR-CFT, O2PPO, A), of two arrays [N].

    [N], row by row, as the paper means it. `outer=True` is what the released code computes by broadcasting: the matrix
    [N, N] of every A_gae (rows) with every A_ref (columns), normalised as a whole; the mean of its row i depends on
    A_gae_i and on the mean of A_ref, so that the reference steers no row. Both standard deviations are a sample's.
    """
    chex.assert_rank(gae, 1)
    chex.assert_equal_shape([gae, auxiliary])
    pull = w * auxiliary * gae.std(ddof=1)
    total = gae[:, None] + pull[None] if outer else gae + pull
    return normalise(total / (1.0 + w))


def clipped_surrogate(log_ratio: jax.Array, advantage: jax.Array, clip: float) -> jax.Array:
    """`-mean(min(r A, clip(r, 1 - clip, 1 + clip) A))` [], r = exp(log pi - log pi_old) [B] (PPO, L^CLIP).

    The advantage is [B], or [B, M], each row's ratio with M advantages (OCR-CFT, O2PPO, the released code).
    """
    chex.assert_rank([log_ratio, advantage], [1, {1, 2}])
    chex.assert_equal_shape_prefix([log_ratio, advantage], 1)
    ratio = jnp.exp(log_ratio)
    ratio = ratio[:, None] if advantage.ndim == 2 else ratio
    return -jnp.minimum(ratio * advantage, jnp.clip(ratio, 1.0 - clip, 1.0 + clip) * advantage).mean()
