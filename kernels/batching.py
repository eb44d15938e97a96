"""Calls of many arrays in one: what stands below `jax.vmap` is launched once, however the maps are nested."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap


def one_launch(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of trees with a leading axis [B], of which `vmap` lengthens that axis and makes no further call."""
    many = custom_vmap(function)

    @many.def_vmap
    def flattened(size: int, batched: Sequence[Any], *given: Any) -> tuple[Any, Any]:
        whole = lambda x, there: x if there else jnp.broadcast_to(x[None], (size, *x.shape))
        flat = lambda x: x.reshape(x.shape[0] * x.shape[1], *x.shape[2:])
        found = many(*jax.tree.map(lambda x, there: flat(whole(x, there)), given, tuple(batched)))
        split = jax.tree.map(lambda x: x.reshape(size, x.shape[0] // size, *x.shape[1:]), found)
        return split, jax.tree.map(lambda _: True, found)

    return many
