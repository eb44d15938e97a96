"""Losses as functions of numbers: no network, no random number.

Each names the formula that it is, and is tested against an independent NumPy computation.
"""

import chex
import jax
import jax.numpy as jnp


def bellman_target(reward: jax.Array, mask: jax.Array, next_value: jax.Array, discount: float) -> jax.Array:
    """`r + discount * mask * v'`; the mask is 0 only at a true termination."""
    chex.assert_equal_shape([reward, mask, next_value])
    return reward + discount * mask * next_value


def squared_error(q: jax.Array, target: jax.Array) -> jax.Array:
    """Mean over critics and rows of (Q_i - y)^2: q [N, B], target [B]."""
    chex.assert_rank([q, target], [2, 1])
    chex.assert_equal_shape([q[0], target])
    return jnp.square(q - target[None]).mean()


def expectile(error: jax.Array, tau: float) -> jax.Array:
    """`|tau - 1(u < 0)| u^2`, mean over rows (IQL, equation 5)."""
    chex.assert_rank(error, 1)
    weight = jnp.where(error < 0, 1.0 - tau, tau)
    return (weight * error * error).mean()


def gumbel(error: jax.Array, temperature: float, limit: float) -> jax.Array:
    """`mean(exp(z) - z - 1) / exp(m)`, z = min(u / temperature, limit), m = max(z, -1) of the batch (XQL, V's loss).

    At its minimum V is `temperature * log mean exp(Q / temperature)`, a soft maximum over the data's actions. Rows
    beyond the limit have no gradient, and m is a number through which none flows, both as in the released code; m is a
    statistic of the batch, whose rows are therefore never split. error [B].
    """
    chex.assert_rank(error, 1)
    z = jnp.minimum(error / temperature, limit)
    most = jax.lax.stop_gradient(jnp.maximum(z.max(), -1.0))
    return (jnp.exp(z - most) - (z + 1.0) * jnp.exp(-most)).mean()


def relative(weight: float, q: jax.Array) -> jax.Array:
    """`weight / mean |Q|` [], through which no gradient flows: q [B] (TD3+BC; SAC+ML; PROTO+TD3)."""
    chex.assert_rank(q, 1)
    return weight / jax.lax.stop_gradient(jnp.abs(q).mean())


def advantage_weight(advantage: jax.Array, inverse_temperature: float, limit: float) -> jax.Array:
    """`min(exp(beta * advantage), limit)` (IQL, equation 7)."""
    return jnp.minimum(jnp.exp(inverse_temperature * advantage), limit)


def positive(raw: jax.Array, form: str) -> jax.Array:
    """The multiplier of a learned number: softplus (WSRL's code) or exp (RLPD)."""
    return jax.nn.softplus(raw) if form == "softplus" else jnp.exp(raw)


def positive_inverse(value: float, form: str) -> jax.Array:
    """The learned number at which `positive` has this value."""
    return jnp.log(jnp.expm1(jnp.float32(value)) if form == "softplus" else jnp.float32(value))


def soft_maximum(q: jax.Array, temperature: float) -> jax.Array:
    """`T * logsumexp(q / T)` over the last axis."""
    return temperature * jax.nn.logsumexp(q / temperature, axis=-1)


def summed_error(q: jax.Array, target: jax.Array) -> jax.Array:
    """`sum_i mean (Q_i - y)^2`: q [N, B], target [B] (TD3, OCR-CFT: a sum over critics, a mean over rows)."""
    chex.assert_rank([q, target], [2, 1])
    chex.assert_equal_shape([q[0], target])
    return jnp.square(q - target[None]).mean(-1).sum()
