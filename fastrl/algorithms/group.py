"""A network or multiplier with its optimiser and, where it has one, its target: a state is made of groups."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import optax

from fastrl.types import Params


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Group:
    """Parameters, the state of their optimiser, and their slow copy (None: there is none)."""

    params: Params
    opt: Any
    target: Params | None = None


def start(params: Params, optimizer: optax.GradientTransformation, target: bool = False) -> Group:
    """A fresh group; the target starts as a copy."""
    return Group(params, optimizer.init(params), jax.tree.map(jnp.copy, params) if target else None)


def descend(group: Group, grads: Params, optimizer: optax.GradientTransformation, tau: Any = None) -> Group:
    """One step of the optimiser; with `tau` the target then moves towards the new parameters by that share."""
    fused = getattr(optimizer, "step", None)  # optimisers.Adam: both in one pass over the numbers
    if fused is not None:
        target = group.target if tau is not None else None
        params, opt, moved = fused(group.params, grads, group.opt, target, tau)
        return Group(params, opt, group.target if moved is None else moved)
    updates, opt = optimizer.update(grads, group.opt, group.params)
    group = dataclasses.replace(group, params=optax.apply_updates(group.params, updates), opt=opt)
    return group if tau is None else average(group, tau)


def average(group: Group, tau: Any) -> Group:
    """The Polyak average: the target moves towards the parameters by the share `tau`."""
    if group.target is None:
        return group
    target = jax.tree.map(lambda old, new: old + tau * (new - old), group.target, group.params)
    return dataclasses.replace(group, target=target)


def synchronise(group: Group) -> Group:
    """The target becomes a copy of the parameters (OCR-CFT: after alignment)."""
    return dataclasses.replace(group, target=jax.tree.map(jnp.copy, group.params))
