"""How online a row is: the ratio w(s, a) of the ring's density to the dataset's (Off2On, section 4.2).

A network is trained by the variational bound of the Jensen-Shannon divergence, f'(w) = log(2 w / (w + 1)) with the
conjugate f*(f'(w)) = -log(2 / (w + 1)). Its ratio to the power 1 / temperature, over the mean of that on the dataset's
rows, is a row's priority.
"""

from typing import Any

import chex
import jax
import jax.numpy as jnp

from fastrl.networks.critics import Critic
from fastrl.types import Params

GUARD = 1e-10
"""Inside each logarithm and beside the priority's denominator, as in the released code: w may be exactly 0."""

PRIORITY_RANGE = (1e-3, 1e3)


def network(obs_size: int, action_size: int, widths: tuple[int, ...]) -> Critic:
    """The network before its relu; its last layers are small, so that the ratio starts near 1."""
    return Critic(obs_size, action_size, widths, final_gain=1e-2)


def ratio(module: Critic, params: Params, obs: jax.Array, action: jax.Array) -> jax.Array:
    """`w(s, a) = relu(1 + f(s, a))` of obs [..., O] and action [..., A]: [...]."""
    found: Any = module.apply({"params": params}, obs, action)
    return jax.nn.relu(1.0 + found)


def loss(offline: jax.Array, online: jax.Array) -> jax.Array:
    """`mean_off -log(2 / (w + 1)) - mean_on log(2 w / (w + 1))` of ratios [B] each (Off2On, equation 5)."""
    chex.assert_rank([offline, online], 1)
    conjugate = -jnp.log(2.0 / (offline + 1.0) + GUARD)
    derivative = jnp.log(2.0 * online / (online + 1.0) + GUARD)
    return conjugate.mean() - derivative.mean()


def priority(ratios: jax.Array, offline: jax.Array, temperature: float) -> jax.Array:
    """`w^(1/T) / mean_off w^(1/T)`, clipped: ratios [...] of rows, offline [...] of rows of the dataset."""
    power = 1.0 / temperature
    return jnp.clip(ratios**power / ((offline**power).mean() + GUARD), *PRIORITY_RANGE)
