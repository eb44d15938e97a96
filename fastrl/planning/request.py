"""What a caller asked for, as it was given, and what it names: environment, dataset, options."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fastrl import envs, presets
from fastrl.agent import Agent
from fastrl.config import RunOptions, as_field
from fastrl.data import datasets, rules
from fastrl.data.datasets import Dataset
from fastrl.data.sources import Source
from fastrl.engine.phase import Phase
from fastrl.envs.wrappers import limited
from fastrl.methods import ALGORITHMS
from fastrl.planning import sweep as sweeps
from fastrl.planning.builder import Builder
from fastrl.types import Environment, Spec, UserError
from fastrl.words import unknown_option

PARAMETERS = ("env", "dataset", "start", "env_options", "out", "resume")
"""What `fastrl.run` takes beside options."""


@dataclasses.dataclass(frozen=True)
class Request:
    """What a caller asked for, as it was given."""

    name: str  # of the recipe, for the record
    recipe: Callable[[Builder], list[Phase]]
    env: str | Environment | None
    dataset: str | Path | Source | Dataset | None = None
    start: str | Path | Agent | None = None  # replaces the recipe's offline phase
    env_options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    options: RunOptions = dataclasses.field(default_factory=RunOptions)
    overrides: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # options of the algorithms
    sweep: sweeps.Grid = dataclasses.field(default_factory=dict)  # options in which the rows of the run differ
    domain: presets.Domain | None = None  # defaults in place of those of the environment's domain

    def defaults(self, spec: Spec) -> presets.Domain:
        """The defaults for an environment."""
        return presets.find(spec.domain) if self.domain is None else self.domain


def environment(env: str | Environment | None, options: Mapping[str, Any]) -> Environment | None:
    """The environment by name, or the caller's own with its time limit."""
    if isinstance(env, str):
        return envs.make(env, **options)
    return limited(env) if env is not None else None


def split_options(given: Mapping[str, Any]) -> tuple[RunOptions, dict[str, Any]]:
    """Options by name into run options and options of the algorithms; an unknown one is refused.

    `align.actor_lr` is the option of one phase, and stays under that name; `align.steps` is `align_steps`.
    """
    run_fields = {field.name for field in dataclasses.fields(RunOptions)}
    algorithm_fields = {field.name: field for kind in ALGORITHMS.values() for field in dataclasses.fields(kind)}
    known = run_fields | algorithm_fields.keys()
    steps = {name.replace("_steps", ".steps"): name for name in run_fields if name.endswith("_steps")}
    for name in steps.keys() & given.keys():
        if steps[name] in given:
            raise UserError(f"--{name} and --{steps[name].replace('_', '-')} are the same; leave one out")
    given = {steps.get(name, name): value for name, value in given.items()}
    for name in given:
        if name not in known and name.partition(".")[2] not in algorithm_fields:
            raise unknown_option(name, [*sorted(known), *PARAMETERS], "fastrl run --help-all lists all")
    options = RunOptions(**{k: v for k, v in given.items() if k in run_fields})
    overrides = {k: v for k, v in given.items() if k not in run_fields}
    return options, {k: as_field(algorithm_fields[k.rpartition(".")[2]], v) for k, v in overrides.items()}


def same_sizes(have: Spec, want: Spec) -> None:
    """Refuses an agent of another task."""
    if (have.obs_size, have.action_size) != (want.obs_size, want.action_size):
        raise UserError(
            f"the agent is of {have.name} ({have.obs_size} observations, {have.action_size} actions) and "
            f"{want.name} has {want.obs_size} and {want.action_size}; name the environment that it was trained for"
        )


def load(dataset: str | Path | Source | Dataset | None, spec: Spec | None) -> Dataset | None:
    """The dataset, checked against the environment and treated by the rules of its domain."""
    if dataset is None or (isinstance(dataset, Dataset) and spec is None):
        return dataset
    if not isinstance(dataset, Dataset):
        source = dataset if isinstance(dataset, Source) else Source(dataset)
        if spec is not None:
            actions = (spec.action_low, spec.action_high) if source.actions == "environment" else source.actions
            source = dataclasses.replace(source, spec=spec, actions=actions)
        dataset = datasets.open_source(source, spec.horizon if spec else None)
    if spec is None:
        return dataset
    datasets.check(dataset, spec)
    return rules.apply(dataset, spec.domain)


def spec_of(data: Dataset | None) -> Spec:
    """Sizes without an environment: those of the dataset."""
    if data is None:
        raise UserError("a dataset or an environment is needed; name one")
    return Spec(data.name, data.obs.shape[1], data.action.shape[1], horizon=1)
