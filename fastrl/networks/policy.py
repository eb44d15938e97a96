"""Actors as flax modules: obs [B, O] -> a distribution over actions (`fastrl.networks.distributions`)."""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
from flax import linen as nn

from fastrl.errors import told
from fastrl.networks.distributions import Delta, Distribution, Normal, TanhNormal
from fastrl.networks.trunk import GAIN, Dense, Initializer, Trunk, orthogonal
from fastrl.types import Key, Params, UserError

Std = Literal["exp", "softplus", "scaled", "uniform", "fixed"]

STD_RANGE = (1e-5, 10.0)  # WSRL clips the std, not its logarithm
LOG_STD_RANGE = (-20.0, 2.0)  # OCR-CFT's SAC clips the logarithm


class GaussianActor(nn.Module):
    """A diagonal Gaussian, squashed by tanh (SAC) or not (IQL, PPO)."""

    obs_size: int
    action_size: int
    widths: tuple[int, ...]
    layer_norm: bool = False
    std: Std = "exp"  # a head (exp, softplus, scaled), state-independent (uniform), or fixed
    fixed_std: float = 0.1
    squash: bool = True
    tanh_mean: bool = False  # of an unsquashed policy: the mean stays in (-1, 1) (IQL)
    max_log_std: float | None = None  # cap of a state-independent log std (O2PPO)
    min_log_std: float | None = None  # and its floor (XQL, PROTO)
    final_gain: float | None = None
    dropout: float = 0.0
    initializer: Initializer = orthogonal

    def setup(self) -> None:
        """Declares trunk, mean and what the std needs."""
        self.trunk = Trunk(
            *(self.obs_size, self.widths, self.layer_norm),
            final_gain=self.final_gain,
            dropout=self.dropout,
            initializer=self.initializer,
        )
        gain, initializer = (1e-2, xavier) if self.std == "scaled" else (GAIN, orthogonal)
        head = lambda: Dense(self.widths[-1], self.action_size, gain, initializer)
        self.mean = head()
        if self.std in ("exp", "softplus", "scaled"):
            self.spread = head()
        if self.std == "scaled":
            self.scale = self.param("scale", nn.initializers.ones, ())
            self.shift = self.param("shift", nn.initializers.constant(-1.0), ())
        if self.std == "uniform":
            self.log_std = self.param("log_std", nn.initializers.zeros, (self.action_size,))

    def __call__(self, obs: jax.Array) -> Distribution:
        """The policy's distribution; dropout where a stream `dropout` is given."""
        features = self.trunk(obs)
        mean = self.mean(features)
        mean = jnp.tanh(mean) if self.tanh_mean else mean
        std = self._std(features, mean)
        return TanhNormal(mean, std) if self.squash else Normal(mean, std)

    def _std(self, features: jax.Array, mean: jax.Array) -> jax.Array:
        if self.std == "scaled":
            return jnp.exp(jnp.clip(self.scale * self.spread(features) + self.shift, *LOG_STD_RANGE))
        if self.std == "fixed":
            std = jnp.full_like(mean, self.fixed_std)
        elif self.std == "uniform":
            log_std = self.log_std if self.max_log_std is None else jnp.minimum(self.log_std, self.max_log_std)
            log_std = log_std if self.min_log_std is None else jnp.maximum(log_std, self.min_log_std)
            std = jnp.broadcast_to(jnp.exp(log_std), mean.shape)
        else:
            raw = self.spread(features)
            std = jnp.exp(raw) if self.std == "exp" else jax.nn.softplus(raw)
        return jnp.clip(std, *STD_RANGE)


class DeterministicActor(nn.Module):
    """TD3's policy: the tanh of a network."""

    obs_size: int
    action_size: int
    widths: tuple[int, ...]
    layer_norm: bool = False
    initializer: Initializer = orthogonal

    def setup(self) -> None:
        """Declares trunk and head."""
        self.trunk = Trunk(self.obs_size, self.widths, self.layer_norm, initializer=self.initializer)
        self.head = Dense(self.widths[-1], self.action_size, gain=1e-2)

    def __call__(self, obs: jax.Array) -> Distribution:
        """One action a row, in (-1, 1)."""
        return Delta(jnp.tanh(self.head(self.trunk(obs))))


def xavier(gain: float) -> Callable[..., jax.Array]:
    """Uniform Glorot kernels times this gain."""
    return jax.nn.initializers.variance_scaling(gain * gain, "fan_avg", "uniform")


@dataclasses.dataclass(frozen=True)
class Policy:
    """An actor's module as two functions of its parameters."""

    module: nn.Module

    def init(self, key: Key, obs_size: int) -> Params:
        """Fresh parameters."""
        return self.module.init(key, jnp.zeros((1, obs_size)))["params"]

    def __call__(self, params: Params, obs: jax.Array, key: Key | None = None) -> Any:
        """The distribution of obs [B, O]; a key turns dropout on."""
        rngs = None if key is None else {"dropout": key}
        return self.module.apply({"params": params}, obs, rngs=rngs)

    def act(self, params: Params, obs: jax.Array, key: Key, explore: bool) -> jax.Array:
        """Action [..., A] in [-1, 1] of obs [..., O]: a sample or the mode; what lies outside is clipped."""
        return jnp.clip(self.raw(params, obs, key, explore), -1.0, 1.0)

    def raw(self, params: Params, obs: jax.Array, key: Key, explore: bool) -> jax.Array:
        """As `act`, without the clipping (PPO takes the density of what was drawn)."""
        dist = self(params, obs.reshape(-1, obs.shape[-1]))
        mode = dist.mode()
        action = dist.sample(jax.random.normal(key, mode.shape)) if explore else mode
        return action.reshape(*obs.shape[:-1], mode.shape[-1])


def check(module: Any, obs_size: int, action_size: int, kinds: tuple[type, ...]) -> None:
    """Refuses an actor of the user's that is no module, or does not return a distribution of the right size."""
    if not isinstance(module, nn.Module):
        raise UserError(f"actor: {module!r} is no flax.linen module; hand over one, or a function of the spec")
    name, wanted = type(module).__name__, " or ".join(kind.__name__ for kind in kinds)
    example = jax.ShapeDtypeStruct((3, obs_size), jnp.float32)
    try:
        found = jax.eval_shape(lambda obs: module.init_with_output(jax.random.key(0), obs)[0], example)
    except Exception as error:
        raise UserError(f"actor: {name} cannot be called with obs [B, {obs_size}]: {told(error)}") from error
    if not isinstance(found, kinds):
        raise UserError(
            f"actor: {name} returns {type(found).__name__}; here an actor returns {wanted} "
            "(fastrl.networks.distributions)"
        )
    shape = jax.eval_shape(lambda dist: dist.mode(), found).shape
    if shape != (3, action_size):
        raise UserError(f"actor: {name} gives actions {shape} for 3 rows; they must be (3, {action_size})")


def dropout_keys(rate: float, key: Key, rows: int) -> Key | None:
    """A key per row, so that each piece of a batch has one of its own; None without dropout."""
    return jax.random.split(key, rows) if rate else None
