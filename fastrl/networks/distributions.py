"""What an actor returns: a distribution over actions, as a pytree with the same four methods in each.

`noise` is standard normal and drawn by the caller, so that it may be drawn before a batch is split in pieces.
"""

import dataclasses
from typing import Protocol

import jax
import jax.numpy as jnp

from fastrl.types import ACTION_LIMIT


class Distribution(Protocol):
    """The contract, actions [..., A] and log densities [...]."""

    def mode(self) -> jax.Array:
        """The deterministic action."""

    def sample(self, noise: jax.Array) -> jax.Array:
        """A reparameterised sample."""

    def sample_log_prob(self, noise: jax.Array) -> tuple[jax.Array, jax.Array]:
        """A reparameterised sample and its log density, without going back through it."""

    def log_prob(self, action: jax.Array) -> jax.Array:
        """The log density of given actions."""


def gaussian_log_prob(mean: jax.Array, std: jax.Array, x: jax.Array) -> jax.Array:
    """Log density of a diagonal Gaussian: x [..., A] -> [...]."""
    return standardised_log_prob((x - mean) / std, std)


def standardised_log_prob(z: jax.Array, std: jax.Array) -> jax.Array:
    """As `gaussian_log_prob`, of z = (x - mean) / std, which is a sample's noise."""
    return (-0.5 * z * z - jnp.log(std) - 0.5 * jnp.log(2.0 * jnp.pi)).sum(-1)


def tanh_log_det(x: jax.Array) -> jax.Array:
    """Log |d tanh(x) / dx| summed over the last axis, stable for large |x|."""
    return (2.0 * (jnp.log(2.0) - x - jax.nn.softplus(-2.0 * x))).sum(-1)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Normal:
    """A diagonal Gaussian over actions; its samples are not bounded."""

    mean: jax.Array  # [..., A]
    std: jax.Array  # [..., A]

    def mode(self) -> jax.Array:
        """The mean."""
        return self.mean

    def sample(self, noise: jax.Array) -> jax.Array:
        """`mean + std * noise`."""
        return self.mean + self.std * noise

    def sample_log_prob(self, noise: jax.Array) -> tuple[jax.Array, jax.Array]:
        """A sample and its log density."""
        return self.sample(noise), standardised_log_prob(noise, self.std)

    def log_prob(self, action: jax.Array) -> jax.Array:
        """The Gaussian's own density, of the action before any clipping."""
        return gaussian_log_prob(self.mean, self.std, action)

    def candidates(self, noise: jax.Array) -> tuple[jax.Array, jax.Array]:
        """K samples a row and their log densities: noise [B, K, A] -> ([B, K, A], [B, K])."""
        return Normal(self.mean[:, None], self.std[:, None]).sample_log_prob(noise)

    def entropy(self) -> jax.Array:
        """In closed form, [...]."""
        return (jnp.log(self.std) + 0.5 * jnp.log(2.0 * jnp.pi * jnp.e)).sum(-1)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TanhNormal:
    """The tanh of a diagonal Gaussian: samples lie in (-1, 1)."""

    mean: jax.Array  # [..., A], before the tanh
    std: jax.Array  # [..., A], before the tanh

    def mode(self) -> jax.Array:
        """The tanh of the mean, as the field calls it."""
        return jnp.tanh(self.mean)

    def sample(self, noise: jax.Array) -> jax.Array:
        """`tanh(mean + std * noise)`."""
        return jnp.tanh(self.mean + self.std * noise)

    def sample_log_prob(self, noise: jax.Array) -> tuple[jax.Array, jax.Array]:
        """A sample and its log density, from the Gaussian's sample."""
        x = self.mean + self.std * noise
        return jnp.tanh(x), standardised_log_prob(noise, self.std) - tanh_log_det(x)

    def log_prob(self, action: jax.Array) -> jax.Array:
        """The density of actions in [-1, 1], which are clipped before the arctanh."""
        x = jnp.arctanh(jnp.clip(action, -ACTION_LIMIT, ACTION_LIMIT))
        return gaussian_log_prob(self.mean, self.std, x) - tanh_log_det(x)

    def candidates(self, noise: jax.Array) -> tuple[jax.Array, jax.Array]:
        """K samples a row and their log densities: noise [B, K, A] -> ([B, K, A], [B, K])."""
        return TanhNormal(self.mean[:, None], self.std[:, None]).sample_log_prob(noise)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Delta:
    """One action, without a density (TD3)."""

    action: jax.Array  # [..., A]

    def mode(self) -> jax.Array:
        """The action."""
        return self.action

    def sample(self, noise: jax.Array) -> jax.Array:
        """The action, whatever the noise."""
        return self.action

    def sample_log_prob(self, noise: jax.Array) -> tuple[jax.Array, jax.Array]:
        """The action; its log density is not defined, and is given as 0."""
        return self.action, jnp.zeros(self.action.shape[:-1])

    def log_prob(self, action: jax.Array) -> jax.Array:
        """Not defined; minus the squared distance, so that cloning by likelihood is regression."""
        return -jnp.square(action - self.action).sum(-1)


def kl(first: Distribution, second: Distribution) -> jax.Array:
    """KL(first || second) [...] of two diagonal Gaussians, or of two under the same tanh, which does not change it."""
    assert isinstance(first, (Normal, TanhNormal)) and type(first) is type(second)
    ratio = jnp.square(first.std / second.std)
    apart = jnp.square((first.mean - second.mean) / second.std)
    return 0.5 * (ratio + apart - 1.0 - jnp.log(ratio)).sum(-1)
