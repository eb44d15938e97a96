"""Recipes by name; what each is, in one line, stands in `fastrl.presets.RECIPES`."""

import difflib
from collections.abc import Callable

from fastrl.engine.phase import Phase
from fastrl.presets import RECIPES
from fastrl.recipes.builder import Builder
from fastrl.recipes.continued import calql, cql, iql
from fastrl.recipes.scratch import rlpd, sac
from fastrl.recipes.wsrl import wsrl
from fastrl.types import UserError

FUNCTIONS: dict[str, Callable[[Builder], list[Phase]]] = {
    "wsrl": wsrl,
    "calql": calql,
    "cql": cql,
    "iql": iql,
    "rlpd": rlpd,
    "sac": sac,
}


def find(name: str) -> Callable[[Builder], list[Phase]]:
    """The recipe's function, or the nearest name."""
    if name in FUNCTIONS:
        return FUNCTIONS[name]
    near = difflib.get_close_matches(name, RECIPES, n=1, cutoff=0.0)
    raise UserError(f"unknown recipe {name!r}; did you mean {near[0]!r}? (fastrl recipes lists them)")
