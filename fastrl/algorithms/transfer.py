"""Surgery at a phase boundary: what a fresh state takes over from the previous one, by name."""

import dataclasses
from collections.abc import Collection
from typing import Any

import jax
import jax.numpy as jnp

from fastrl.types import State, UserError

OPTIONS = "actor_hidden, critic_hidden, num_critics, layer_norm, shared_head and std"


def adopt(
    fresh: State,
    previous: State,
    fields: Collection[str] | None = None,
    reset_optimizer: bool = False,
) -> State:
    """`fresh` with every field that both states have (or only `fields`) taken from `previous`.

    Targets, Adam states and the temperature are kept unless `reset_optimizer`, which starts Adam anew.
    Leading axes (seeds) are fine if both states have them.
    """
    ours, theirs = ({f.name for f in dataclasses.fields(state)} for state in (fresh, previous))
    common = ours & theirs
    for name in fields or ():
        if name not in common:
            raise UserError(f"cannot take over {name!r}: states share only {', '.join(sorted(common))}")
    wanted = common if fields is None else common & set(fields)
    if reset_optimizer:
        wanted = {name for name in wanted if not name.endswith("_opt")}
    taken = {name: _matching(name, getattr(fresh, name), getattr(previous, name)) for name in wanted}
    return dataclasses.replace(fresh, **taken)


def _matching(name: str, fresh: Any, previous: Any) -> Any:
    """A copy of `previous`, if its structure and shapes are those of `fresh`."""
    new, old = (jax.tree_util.tree_leaves_with_path(tree) for tree in (fresh, previous))
    for (path, x), (old_path, y) in zip(new, old):
        if path != old_path or x.shape != y.shape:
            ours, theirs = (name + jax.tree_util.keystr(p) for p in (path, old_path))
            raise UserError(
                f"cannot take over {theirs} of shape {y.shape}: it is {ours} of shape {x.shape} now: "
                f"make {OPTIONS} equal in both configurations"
            )
    if len(new) != len(old):
        raise UserError(
            f"cannot take over {name}: {len(old)} arrays before, {len(new)} now: "
            f"make {OPTIONS} equal in both configurations"
        )
    return jax.tree.map(jnp.copy, previous)
