"""What a figure of a paper consists of here: runs that share their pre-training, panels, and sentences about them."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fastrl.experiments.claims import Claim
from fastrl.presets import Domain


@dataclasses.dataclass(frozen=True)
class Arm:
    """One run of a figure: a recipe with its options, on top of the task's."""

    label: str
    recipe: str
    start: str | None = None  # the task's agent that replaces its offline phase; None: it has one of its own, or none
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Agent:
    """An offline agent that arms start from: what the first phase of a recipe makes."""

    recipe: str
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    steps: int | None = None  # None: the task's


@dataclasses.dataclass(frozen=True)
class Task:
    """An environment, its data, and sizes; chosen before any result was known, for the reason that it gives."""

    name: str
    env: str
    why: str
    dataset: Callable[[Path], None] | str  # what writes the data, or the name of a published dataset
    env_options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    domain: Domain | None = None  # defaults; None: the environment's own
    pretrain_steps: int = 0
    agents: Mapping[str, Agent] = dataclasses.field(default_factory=dict)  # by name
    networks: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # where a recipe has others than WSRL's
    initial: str = ""  # the agent that WSRL starts from
    online: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # options of every run of an arm
    by_recipe: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)  # more options of a recipe's
    warmup: int = 0  # environment steps of the warm-up (WSRL's K)
    distil_steps: int | None = None  # of cloning a policy of another class; None: as everywhere
    warmups: tuple[int, int] = (0, 0)  # a shorter and a longer one


@dataclasses.dataclass(frozen=True)
class Panel:
    """One picture in a figure: a curve for each of these arms."""

    title: str
    arms: tuple[str, ...]
    metric: str | None = None  # of the diagnostics; None: evaluations
    label: str = ""  # of the vertical axis
    phase: str | None = None  # an offline phase whose evaluations are shown; None: the online ones
    roles: tuple[str, ...] = ()  # what each arm is in this panel, as other panels call theirs; none: the arms' labels


@dataclasses.dataclass(frozen=True)
class Figure:
    """A figure or table of a paper."""

    number: str  # as `--figure` names it
    title: str
    tasks: tuple[str, ...]
    panels: tuple[Panel, ...]
    claims: tuple[Claim, ...]

    @property
    def arms(self) -> list[str]:
        """Every run that it needs, in the order of their mention."""
        needed = [arm for panel in self.panels for arm in panel.arms]
        needed += [arm for claim in self.claims for arm in (claim.better, claim.other) if arm is not None]
        return list(dict.fromkeys(needed))
