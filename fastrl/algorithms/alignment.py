"""Value alignment: what re-fitted critics are moved to, so that a frozen policy's mode is best in their eyes.

The target critics are those at the end of the policy's evaluation and stay as they are: no reward, no bootstrapping.
What follows `together` are functions of arrays; none stops a gradient, as its caller differentiates in the online
critics alone.
"""

from typing import Any

import chex
import jax
import jax.numpy as jnp

from fastrl.algorithms import step
from fastrl.algorithms.step import Gradients, Step


def together(config: Any, optimisers: dict[str, Any], critic: Gradients | None, actor: Gradients) -> Step:
    """Actor and critics at the same old parameters; the target critics move only where the critics follow by TD.

    None for the critics leaves them as they were re-evaluated: what OCR-CFT compares alignment with, as following is.
    """
    if critic is None:
        return step.together(optimisers, actor)
    moves: Any = {"tau": config.tau, "targets": ("critic",)} if config.alignment == "followed" else {}
    return step.together(optimisers, critic, actor, **moves)


def entropy_anchor(
    target_q_mode: jax.Array,
    target_q_sample: jax.Array,
    log_mode: jax.Array,
    log_sample: jax.Array,
    temperature: jax.Array | float,
) -> tuple[jax.Array, jax.Array]:
    """Targets of a sample and of the mode, both [B] (OCR-CFT, O2SAC, value alignment: q_tgt and q_anchor).

    `q_anchor = min_i psi_i(s, a_m)` and
    `q_tgt = min(q_anchor - temperature * (log pi0(a_m|s) - log pi0(a_n|s)), min_i psi_i(s, a_n))`,
    with a_m the mode of the frozen actor pi0 and a_n a sample of the current one. `target_q_mode` and
    `target_q_sample` [N, B] are the target critics at a_m and at a_n, `log_mode` and `log_sample` [B] are log pi0.
    """
    chex.assert_rank(target_q_mode, 2)
    chex.assert_equal_shape([target_q_mode, target_q_sample])
    anchor, least = target_q_mode.min(0), target_q_sample.min(0)
    chex.assert_equal_shape([anchor, log_mode, log_sample])
    return jnp.minimum(anchor - temperature * (log_mode - log_sample), least), anchor


def distance_anchor(
    target_q_mode: jax.Array, target_q_noisy: jax.Array, distance: jax.Array, k: float
) -> tuple[jax.Array, jax.Array]:
    """Targets of a noisy action per critic [N, B] and of the mode [B] (OCR-CFT, O2TD3, value alignment).

    `q0 = min_i psi_i(s, a0)`; further away it is worth less, whatever its sign: `q_g = q0 / (1 + k distance^2)` where
    q0 >= 0, `q0 * (1 + k distance^2)` where q0 < 0. The target of critic i is `min(q_g, psi_i(s, an))`, its own value
    and not the least of all. `target_q_mode` and `target_q_noisy` [N, B] are the target critics at a0, the frozen
    actor's action, and at an, the current actor's with noise; `distance` [B] is `action_distance(an, a0)`.
    """
    chex.assert_rank(target_q_mode, 2)
    chex.assert_equal_shape([target_q_mode, target_q_noisy])
    anchor = target_q_mode.min(0)
    chex.assert_equal_shape([anchor, distance])
    factor = 1.0 + k * jnp.square(distance)
    discounted = jnp.where(anchor >= 0, anchor / factor, anchor * factor)
    return jnp.minimum(discounted[None], target_q_noisy), anchor


def action_distance(noisy: jax.Array, mode: jax.Array, limit: float) -> jax.Array:
    """`min(||noisy - mode||_2 / sqrt(A), limit)` [B] of actions [B, A] (OCR-CFT, O2TD3, value alignment: dist).

    The released code takes the least of the two, where the paper's text is said to take the greatest. It is part of
    a target: at distance 0 it has no derivative.
    """
    chex.assert_rank(noisy, 2)
    chex.assert_equal_shape([noisy, mode])
    return jnp.minimum(jnp.sqrt(jnp.square(noisy - mode).mean(-1)), limit)


def alignment_loss(
    q_sample: jax.Array, q_mode: jax.Array, sample_target: jax.Array, mode_target: jax.Array
) -> jax.Array:
    """`sum_i mean((phi_i(s, a_n) - q_tgt)^2 + (phi_i(s, a_m) - q_anchor)^2)` [] (OCR-CFT, value alignment, L_Q).

    A sum over critics of a mean over rows, for O2SAC and O2TD3: `q_sample` and `q_mode` [N, B] are the online critics,
    `sample_target` is [B] (O2SAC) or one row a critic [N, B] (O2TD3), `mode_target` is [B].
    """
    chex.assert_rank([q_sample, sample_target, mode_target], [2, {1, 2}, 1])
    chex.assert_equal_shape([q_sample, q_mode])
    chex.assert_equal_shape([q_sample[0], mode_target])
    chex.assert_equal_shape([q_sample if sample_target.ndim == 2 else q_sample[0], sample_target])
    target = sample_target if sample_target.ndim == 2 else sample_target[None]
    error = jnp.square(q_sample - target) + jnp.square(q_mode - mode_target[None])
    return error.mean(-1).sum()
