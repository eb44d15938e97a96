"""Recipes by name; what each is, in one line, stands in `fastrl.presets.RECIPES`."""

from collections.abc import Callable

from fastrl.engine.phase import Phase
from fastrl.errors import unknown
from fastrl.planning.builder import Builder
from fastrl.presets import RECIPES
from fastrl.recipes.continued import calql, cql, iql
from fastrl.recipes.scratch import rlpd, sac
from fastrl.recipes.wsrl import wsrl

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
    raise unknown("recipe", name, RECIPES, "fastrl recipes lists them")
