"""Adam for one network, with the polyak average of its target in the same pass.

One optimiser state per network, stepped only when that network is (in WSRL's released code every
network's Adam steps at every call, on zero gradients where it has none). Knows nothing of losses.
"""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from fastrl.config import BC, ActorCritic
from fastrl.kernels import update
from fastrl.types import Params


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class AdamState:
    """Adam's moments, shaped like the parameters, and the number of steps taken."""

    first: Params
    second: Params
    count: jax.Array  # [] int32


class Optimizer(NamedTuple):
    """Two pure functions, as in optax, but `step` returns new parameters and target."""

    init: Callable[[Params], AdamState]
    step: Callable[..., tuple[Params, AdamState, Params]]
    """`(params, grads, state, target=None) -> (params, state, target)`; target moves by tau."""


def schedule(rate: float, config: ActorCritic) -> optax.Schedule:
    """The learning rate by Adam step: constant or cosine to 0, after BC's warm-up."""
    warmup = config.warmup_steps if isinstance(config, BC) else 0
    if config.cosine_steps is not None:
        return optax.warmup_cosine_decay_schedule(rate if warmup == 0 else 0.0, rate, warmup, config.cosine_steps)
    return optax.linear_schedule(0.0, rate, warmup) if warmup else optax.constant_schedule(rate)


def adam(rate: float, config: ActorCritic) -> Optimizer:
    """Adam (AdamW, clipped, decayed as the configuration says) at this learning rate."""
    rate_at = schedule(rate, config)

    def init(params: Params) -> AdamState:
        zeros = lambda: jax.tree.map(jnp.zeros_like, params)
        return AdamState(zeros(), zeros(), jnp.zeros((), jnp.int32))

    def step(
        params: Params, grads: Params, state: AdamState, target: Params | None = None
    ) -> tuple[Params, AdamState, Params]:
        if config.grad_clip is not None:
            norm = optax.tree.norm(grads)
            factor = jnp.minimum(1.0, config.grad_clip / jnp.maximum(norm, 1e-12))
            grads = jax.tree.map(lambda g: g * factor, grads)
        count = state.count + 1
        scalars = update.Scalars(
            jnp.asarray(rate_at(state.count), jnp.float32),
            1.0 - update.B1 ** count.astype(jnp.float32),
            1.0 - update.B2 ** count.astype(jnp.float32),
            jnp.float32(config.weight_decay),
            jnp.float32(config.tau),
        )
        leaves, tree = jax.tree.flatten(params)
        results = [
            update.adam_polyak(*leaf, scalars)
            for leaf in zip(
                leaves,
                jax.tree.leaves(grads),
                jax.tree.leaves(state.first),
                jax.tree.leaves(state.second),
                jax.tree.leaves(params if target is None else target),
            )
        ]
        new = update.Updated(*(jax.tree.unflatten(tree, list(x)) for x in zip(*results)))
        moved = None if target is None else new.target
        return new.param, AdamState(new.first, new.second, count), moved

    return Optimizer(init, step)
