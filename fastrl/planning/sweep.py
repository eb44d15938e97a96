"""Sweeps: a grid of options, as more rows of the seed axis where they are numbers, else as runs one after another."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from fastrl import config as configs
from fastrl.engine.phase import Phase
from fastrl.engine.plan import WARMUP
from fastrl.types import UserError

Grid = Mapping[str, Sequence[Any]]


def check(grid: Grid) -> None:
    """Refuses a grid without values, or with one twice."""
    for name, values in grid.items():
        if len(values) < 2 or len(set(map(str, values))) < len(values):
            raise UserError(f"--sweep {name}: give two or more different values, not {', '.join(map(str, values))}")


def rows(grid: Grid) -> list[dict[str, Any]]:
    """The points of a grid, the last option changing fastest."""
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]


def in_one_run(name: str, phases: Sequence[Phase]) -> bool:
    """Whether rows of one program may differ in an option: a number on which no shape and no branch depends."""
    if name == WARMUP:
        return any(phase.online and phase.updates and phase.rollout == 1 for phase in phases)
    known = [configs.numbers(phase.config) for phase in phases]
    returns = name == "discount" and any(phase.config.needs_returns for phase in phases)
    return any(name in numbers for numbers in known) and not returns


def label(point: Mapping[str, Any]) -> str:
    """A point in words: `actor_lr=0.0003, warmup=0`."""
    return ", ".join(
        f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}" for name, value in point.items()
    )
