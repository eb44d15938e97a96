"""Surgery at a phase boundary: what a fresh state takes over from the previous one, by name."""

import dataclasses
from collections.abc import Collection
from typing import Any

import jax
import jax.numpy as jnp

from fastrl.algorithms.group import Group
from fastrl.types import State, UserError

SHAPES = "make actor_hidden, critic_hidden, num_critics, layer_norm, shared_head and std equal in both configurations"
OPTIMISERS = "use the same optimiser in both configurations"


def adopt(
    fresh: State,
    previous: State,
    fields: Collection[str] | None = None,
    reset_optimizer: bool = False,
) -> State:
    """`fresh` with every group that both states have (or only `fields`) taken from `previous`.

    Targets and the states of the optimisers come along, unless `reset_optimizer` starts these anew. Leading axes
    (seeds) are fine if both states have them.
    """
    if not (dataclasses.is_dataclass(fresh) and dataclasses.is_dataclass(previous)):
        return _matching("the agent", fresh, previous)
    ours, theirs = ({f.name for f in dataclasses.fields(state)} for state in (fresh, previous))
    common = ours & theirs
    for name in fields or ():
        if name not in common:
            raise UserError(f"cannot take over {name!r}: states share only {', '.join(sorted(common))}")
    wanted = common if fields is None else common & set(fields)
    taken = {name: _taken(name, getattr(fresh, name), getattr(previous, name), reset_optimizer) for name in wanted}
    return dataclasses.replace(fresh, **taken)  # type: ignore[type-var]


def _taken(name: str, fresh: Any, previous: Any, reset_optimizer: bool) -> Any:
    """A group of `previous` in the form of `fresh`; a target that it lacks starts as a copy."""
    if not (isinstance(fresh, Group) and isinstance(previous, Group)):
        return _matching(name, fresh, previous)
    params, target = _matching(name, fresh.params, previous.params), None
    if fresh.target is not None:
        target = _matching(name, fresh.target, previous.params if previous.target is None else previous.target)
    opt = fresh.opt if reset_optimizer else _matching(f"{name}'s optimiser", fresh.opt, previous.opt, OPTIMISERS)
    return Group(params, opt, target)


def fits(fresh: Any, previous: Any) -> bool:
    """Whether two trees have the same structure and shapes."""
    new, old = ([(p, x.shape) for p, x in jax.tree_util.tree_leaves_with_path(tree)] for tree in (fresh, previous))
    return new == old


def _matching(name: str, fresh: Any, previous: Any, hint: str = SHAPES) -> Any:
    """A copy of `previous`, if its structure and shapes are those of `fresh`."""
    new, old = (jax.tree_util.tree_leaves_with_path(tree) for tree in (fresh, previous))
    for (path, x), (old_path, y) in zip(new, old):
        if path != old_path or x.shape != y.shape:
            ours, theirs = (name + jax.tree_util.keystr(p) for p in (path, old_path))
            raise UserError(
                f"cannot take over {theirs} of shape {y.shape}: it is {ours} of shape {x.shape} now: {hint}"
            )
    if len(new) != len(old):
        raise UserError(f"cannot take over {name}: {len(old)} arrays before, {len(new)} now: {hint}")
    return jax.tree.map(jnp.copy, previous)
