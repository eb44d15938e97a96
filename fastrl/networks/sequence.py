"""A causal transformer over the steps of an episode: GPT-2's blocks, without a position embedding (ODT).

A step is three tokens in this order: the return that is still asked for, the observation, the action. What comes out at
the observation's token is the policy of its action, which has seen everything before that action and nothing after.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from fastrl.networks.distributions import TanhNormal
from fastrl.networks.trunk import Dense
from fastrl.types import Key, Params

LOG_STD_RANGE = (-5.0, 2.0)
EPS = 1e-5  # GPT-2's layer norms
INIT = nn.initializers.normal(0.02)  # and its kernels


class Window(NamedTuple):
    """T consecutive steps of B episodes; what stands before an episode's first step is not valid."""

    returns: jax.Array  # [B, T], that are still asked for, scaled
    obs: jax.Array  # [B, T, O]
    action: jax.Array  # [B, T, A]
    valid: jax.Array  # [B, T] bool


class Block(nn.Module):
    """Attention and a layer of 4 x the width, each behind a LayerNorm and added to what came in."""

    heads: int
    dropout: float

    @nn.compact
    def __call__(self, x: jax.Array, mask: jax.Array) -> jax.Array:
        """Tokens [B, L, H] and which may see which [B, 1, L, L]; dropout where a stream `dropout` is given."""
        width, still = x.shape[-1], not self.has_rng("dropout")
        drop = nn.Dropout(self.dropout, deterministic=still)
        attention = nn.MultiHeadDotProductAttention(
            self.heads, dropout_rate=self.dropout, deterministic=still, kernel_init=INIT, name="attention"
        )
        x = x + drop(attention(nn.LayerNorm(EPS, name="norm_0")(x), mask=mask))
        hidden = nn.relu(nn.Dense(4 * width, kernel_init=INIT, name="dense_0")(nn.LayerNorm(EPS, name="norm_1")(x)))
        return x + drop(nn.Dense(width, kernel_init=INIT, name="dense_1")(hidden))


class SequenceModel(nn.Module):
    """From a window to the policies of all its steps, squashed Gaussians [B, T, A]."""

    action_size: int
    width: int
    layers: int
    heads: int
    dropout: float = 0.0

    @nn.compact
    def __call__(self, window: Window) -> TanhNormal:
        """Step t's policy sees the valid steps before it, its own return and observation."""
        rows, steps = window.valid.shape
        kinds = {"return": window.returns[..., None], "obs": window.obs, "action": window.action}
        tokens = [nn.Dense(self.width, name=f"embed_{name}")(x) for name, x in kinds.items()]
        x = jnp.stack(tokens, axis=2).reshape(rows, 3 * steps, self.width)
        x = nn.LayerNorm(EPS, name="embed_norm")(x)
        x = nn.Dropout(self.dropout, deterministic=not self.has_rng("dropout"))(x)
        mask = seen(window.valid)
        for n in range(self.layers):
            x = Block(self.heads, self.dropout, name=f"block_{n}")(x, mask)
        x = nn.LayerNorm(EPS, name="norm")(x)[:, 1::3]
        mean, raw = (Dense(self.width, self.action_size, 1.0, name=name)(x) for name in ("mean", "spread"))
        low, high = LOG_STD_RANGE
        return TanhNormal(mean, jnp.exp(low + 0.5 * (high - low) * (jnp.tanh(raw) + 1.0)))


def seen(valid: jax.Array) -> jax.Array:
    """Which tokens each token sees, [B, 1, 3 T, 3 T] bool of valid [B, T]: valid ones up to itself, and itself."""
    tokens = jnp.repeat(valid, 3, axis=1)[:, None, None]
    size = tokens.shape[-1]
    before = jnp.tril(jnp.ones((size, size), bool))[None, None]
    return (before & tokens) | jnp.eye(size, dtype=bool)[None, None]


def policies(module: SequenceModel, params: Params, window: Window, key: Key | None = None) -> TanhNormal:
    """The policies [B, T, A] of a window's steps; a key turns dropout on."""
    found = module.apply({"params": params}, window, rngs=None if key is None else {"dropout": key})
    assert isinstance(found, TanhNormal)
    return found


def example(obs_size: int, action_size: int) -> Window:
    """One step of zeros, to be initialised with."""
    return Window(
        jnp.zeros((1, 1)), jnp.zeros((1, 1, obs_size)), jnp.zeros((1, 1, action_size)), jnp.ones((1, 1), bool)
    )
