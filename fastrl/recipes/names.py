"""Recipes by name: those of `fastrl.presets.RECIPES`, and the user's own by MODULE:NAME."""

from collections.abc import Callable
from typing import Any

from fastrl import plugins
from fastrl.engine.phase import Phase
from fastrl.errors import UserError, unknown
from fastrl.planning.builder import Builder
from fastrl.recipes import aca, baselines, ocr_cft_defaults, odt, off2on, proto
from fastrl.recipes.table import RECIPES

Function = Callable[[Builder], list[Phase]]

RUN: dict[str, dict[str, dict[str, Any]]] = {
    "awac": baselines.RUN,
    "pex": baselines.RUN,
    "proto": proto.RUN,
    "proto-td3": proto.RUN,
    "aca": aca.RUN,
    "off2on": off2on.RUN,
    "odt": odt.RUN,
}
"""Run options by recipe and domain."""


def find(name: str) -> Function:
    """The recipe's function, or the nearest name."""
    if name in RECIPES:
        return plugins.resolve("recipe", f"fastrl.recipes.{RECIPES[name].function}")
    if ":" not in name:
        raise unknown("recipe", name, RECIPES, "fastrl recipes lists them")
    found = plugins.resolve("recipe", name)
    if not callable(found):
        raise UserError(f"recipe {name} is no function; a recipe is a function of the builder that returns phases")
    return found


def run_defaults(name: str, domain: str) -> dict[str, Any]:
    """Run options in which a recipe's paper differs from the domain's; empty for recipes of one's own."""
    if name in ("o2sac", "o2td3", "o2ppo"):
        return ocr_cft_defaults.run(name, domain)
    return dict(RUN.get(name, {}).get(domain, {}))
