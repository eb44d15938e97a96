"""From the arguments of the library's functions to a request: the same for a run, a dry run and a listing."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fastrl import presets
from fastrl.agent import Agent
from fastrl.config import Options, RunOptions
from fastrl.data.datasets import Dataset
from fastrl.data.sources import Source
from fastrl.engine.phase import Phase
from fastrl.methods import ALGORITHMS, name_of
from fastrl.planning import plan as plans
from fastrl.planning import request as requests
from fastrl.planning import sweep as sweeps
from fastrl.planning.builder import Builder
from fastrl.planning.request import Request
from fastrl.recipes import names, ocr_cft
from fastrl.types import Environment, UserError

Recipe = str | Callable[[Builder], list[Phase]]

KINDS: tuple[type, ...] = (RunOptions, *ALGORITHMS.values())
OURS = {field.name for kind in KINDS for field in dataclasses.fields(kind)}
"""Names of our options; a sweep may have a number of an algorithm of one's own beside them."""


def recipe(recipe: Recipe, *, options: Mapping[str, Any], **arguments: Any) -> Request:
    """What `fastrl.run` with these arguments asks for."""
    run_options, overrides = requests.split_options(options)
    name, function = _named(recipe)
    return Request(name, function, options=run_options, overrides=overrides, **arguments)


def _named(recipe: Recipe) -> tuple[str, Callable[[Builder], list[Phase]]]:
    """A recipe's name and function."""
    return (recipe, names.find(recipe)) if isinstance(recipe, str) else (recipe.__name__, recipe)


def divided(recipe: Recipe, grid: sweeps.Grid, arguments: Mapping[str, Any]) -> tuple[sweeps.Grid, list[Any]]:
    """(the part of a grid whose points are rows of one run, the points of the rest, each a run of its own).

    What a recipe refuses at any of these points is refused here, before the first of them runs.
    """
    sweeps.check(grid)
    aside = (*requests.PARAMETERS, "command", "domain")
    options = {key: value for key, value in arguments.items() if key not in aside}
    name, function = _named(recipe)
    env = requests.environment(arguments["env"], arguments.get("env_options") or {})

    def phases(point: Mapping[str, Any]) -> list[Phase]:
        run_options, overrides = requests.split_options({**options, **point})
        domain = arguments.get("domain")
        request = Request(name, function, env, options=run_options, overrides=overrides, domain=domain)
        found = plans.phases_of(request)
        for phase in found:
            plans.check_algorithm(phase.config)
        return found

    first = {option: values[0] for option, values in grid.items() if "." in option or option in OURS}
    probe = phases(first)
    inside = {option: values for option, values in grid.items() if sweeps.in_one_run(option, probe)}
    for option in grid.keys() - inside.keys() - first.keys():
        if any(hasattr(phase.config, option) for phase in probe):
            raise UserError(
                f"--sweep {option}: an algorithm of one's own can be swept over numbers alone that decide no shape "
                "(floats, not static); run the recipe once for each value"
            )
    points = sweeps.rows({option: values for option, values in grid.items() if option not in inside})
    numbers = [{option: value} for option, values in inside.items() if option in first for value in values[1:]]
    for point in [*points[1:], *numbers]:
        phases({**first, **point})
    return inside, points


def place(out: str | Path, point: Mapping[str, Any]) -> Path:
    """The folder of a run that is one point of a grid."""
    return Path(out) / sweeps.label(point).replace(", ", "-") if point else Path(out)


def pretraining(
    config: Options,
    data: str | Path | Source | Dataset,
    *,
    steps: int,
    env: str | Environment | None = None,
    env_options: Mapping[str, Any] | None = None,
    key: int = 0,
    domain: presets.Domain | None = None,
    **options: Any,
) -> Request:
    """What `fastrl.pretrain` with these arguments asks for."""

    def recipe(builder: Builder) -> list[Phase]:
        return [builder.offline(config)]

    asked = {"seeds": 1, **options, "seed": key, "pretrain_steps": steps, "steps": steps}
    run_options, overrides = requests.split_options(asked)
    name = f"pretrain {name_of(config)}"
    return Request(name, recipe, env, data, None, env_options or {}, run_options, overrides, domain=domain)


def finetuning(
    config: Options,
    env: str | Environment,
    *,
    start: str | Path | Agent | None = None,
    dataset: str | Path | Source | Dataset | None = None,
    env_options: Mapping[str, Any] | None = None,
    key: int = 0,
    **options: Any,
) -> Request:
    """What `fastrl.finetune` with these arguments asks for."""

    def recipe(builder: Builder) -> list[Phase]:
        ratio, fill = builder.retention()
        warmup = presets.warmup(builder.domain)
        return builder.online(config, warmup=warmup, ratio=ratio, fill=fill, entry=ocr_cft.whole_entry(config))

    run_options, overrides = requests.split_options({**options, "seed": key})
    name = f"finetune {name_of(config)}"
    return Request(name, recipe, env, dataset, start, env_options or {}, run_options, overrides)
