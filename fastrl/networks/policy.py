"""Stochastic policies: a network, its diagonal Gaussian, and the tanh that squashes it.

Random numbers come in as standard normal noise, so that a caller may draw them before it splits its
rows. Knows nothing of critics and losses.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp

from fastrl.config import ActorCritic
from fastrl.networks import trunk as mlp
from fastrl.types import Key

STD_RANGE = (1e-5, 10.0)  # WSRL clips the std, not its logarithm
ACTION_LIMIT = 0.99999  # data actions are clipped here before arctanh, as WSRL clips them


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Actor:
    """A policy's parameters; `std` is a head, a state-independent log std [A], or None (fixed)."""

    trunk: mlp.Trunk
    mean: mlp.Dense
    std: mlp.Dense | jax.Array | None


class Gaussian(NamedTuple):
    """A diagonal Gaussian before the tanh."""

    mean: jax.Array  # [..., A]
    std: jax.Array  # [..., A]


def actor_init(
    key: Key,
    config: ActorCritic,
    obs_size: int,
    action_size: int,
    initializer: mlp.Initializer = mlp.orthogonal,
) -> Actor:
    """The actor that the configuration describes."""
    trunk_key, mean_key, std_key = jax.random.split(key, 3)
    widths = config.actor_hidden
    trunk = mlp.trunk_init(trunk_key, obs_size, widths, config.layer_norm, config.kernel_scale_final, initializer)
    std: mlp.Dense | jax.Array | None = None
    if config.std in ("exp", "softplus"):
        std = mlp.dense_init(std_key, widths[-1], action_size)
    elif config.std == "uniform":
        std = jnp.zeros((action_size,), jnp.float32)
    return Actor(trunk, mlp.dense_init(mean_key, widths[-1], action_size), std)


def distribution(actor: Actor, config: ActorCritic, obs: jax.Array, key: Key | None = None) -> Gaussian:
    """The Gaussian of obs [B, O]; a key turns dropout on."""
    features = mlp.trunk_apply(actor.trunk, obs, config.dropout, key)
    mean = mlp.affine(actor.mean, features)
    if isinstance(actor.std, mlp.Dense):
        raw = mlp.affine(actor.std, features)
        std = jnp.exp(raw) if config.std == "exp" else jax.nn.softplus(raw)
    elif actor.std is not None:
        std = jnp.broadcast_to(jnp.exp(actor.std), mean.shape)
    else:
        std = jnp.full_like(mean, config.fixed_std)
    return Gaussian(mean, jnp.clip(std, *STD_RANGE))


def dropout_keys(config: ActorCritic, key: Key, rows: int) -> Key | None:
    """A key per row, so that each piece of a batch has one of its own; None without dropout."""
    return jax.random.split(key, rows) if config.dropout else None


def gaussian_log_prob(dist: Gaussian, x: jax.Array) -> jax.Array:
    """Log density of the Gaussian itself: x [..., A] -> [...]."""
    z = (x - dist.mean) / dist.std
    return (-0.5 * z * z - jnp.log(dist.std) - 0.5 * jnp.log(2.0 * jnp.pi)).sum(-1)


def tanh_log_det(x: jax.Array) -> jax.Array:
    """Log |d tanh(x) / dx| summed over the last axis, stable for large |x|."""
    return (2.0 * (jnp.log(2.0) - x - jax.nn.softplus(-2.0 * x))).sum(-1)


def squashed_sample(dist: Gaussian, noise: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Reparameterised tanh-Gaussian sample [..., A] and its log density [...]; noise [..., A]."""
    x = dist.mean + dist.std * noise
    return jnp.tanh(x), gaussian_log_prob(dist, x) - tanh_log_det(x)


def squashed_log_prob(dist: Gaussian, action: jax.Array) -> jax.Array:
    """Log density of given actions [..., A] in [-1, 1] under the tanh-Gaussian -> [...]."""
    x = jnp.arctanh(jnp.clip(action, -ACTION_LIMIT, ACTION_LIMIT))
    return gaussian_log_prob(dist, x) - tanh_log_det(x)


def candidates(dist: Gaussian, noise: jax.Array) -> tuple[jax.Array, jax.Array]:
    """K samples per row and their log densities: noise [B, K, A] -> ([B, K, A], [B, K])."""
    return squashed_sample(Gaussian(dist.mean[:, None], dist.std[:, None]), noise)


def choose(
    actor: Actor, config: ActorCritic, obs: jax.Array, key: Key, explore: bool, squash: bool = True
) -> jax.Array:
    """Action [..., A] in [-1, 1] of obs [..., O]: a sample or the mode; unsquashed ones clipped."""
    rows = obs.reshape(-1, obs.shape[-1])
    dist = distribution(actor, config, rows)
    x = dist.mean + dist.std * jax.random.normal(key, dist.mean.shape) if explore else dist.mean
    action = jnp.tanh(x) if squash else jnp.clip(x, -1.0, 1.0)
    return action.reshape(*obs.shape[:-1], -1)
