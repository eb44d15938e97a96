"""What one recipe or one algorithm takes, with its own defaults: what the pages of help are made of."""

import dataclasses
import typing
from collections.abc import Mapping, Sequence
from typing import Any

from fastrl import presets
from fastrl.cli.options import shown
from fastrl.config import ActorCritic, RunOptions, reads
from fastrl.methods import name_of
from fastrl.recipes.table import RECIPES

if typing.TYPE_CHECKING:
    from fastrl.types import Spec

PLACE = "hopper"
"""The environment whose defaults are shown where none is named."""

REWARDS = ("reward_scale", "reward_bias")
"""Run options that a domain decides by its own fields."""


@dataclasses.dataclass(frozen=True)
class Shown:
    """The options of one recipe or method, with its own defaults."""

    title: str
    defaults: dict[str, dict[str, Any]]  # by option, by phase; "" where it belongs to none
    kinds: list[type]  # classes of options, that of the last phase first


def joined(words: Sequence[str], last: str) -> str:
    """`1, 4 or 10`."""
    return f"{', '.join(words[:-1])} {last} {words[-1]}" if len(words) > 1 else "".join(words)


def by_phase(values: Mapping[str, Any]) -> str:
    """`4`, or where phases differ `pretrain 1, warmup and finetune 4`."""
    groups: dict[str, list[str]] = {}
    for phase, value in values.items():
        groups.setdefault(shown(value), []).append(phase)
    if len(groups) == 1:
        return next(iter(groups))
    return ", ".join(f"{joined(phases, 'and')} {value}" for value, phases in groups.items())


def spec_of(env: str | None) -> "Spec":
    """Sizes and domain of an environment, without making one of ours."""
    from fastrl.envs import registry
    from fastrl.types import Spec

    row = registry.row(env or PLACE)
    return Spec(env or PLACE, row.obs_size, row.action_size, row.horizon, row.domain, row.backend)


def of_recipe(name: str, env: str | None) -> Shown:
    """The options of a recipe's phases on an environment."""
    from fastrl.planning import resolved
    from fastrl.recipes import names

    found = resolved.resolve(name, names.find(name), spec_of(env))
    row = RECIPES.get(name)
    about = f": {row.meaning} ({row.paper})" if row else ""
    lines = [f"{name}{about}.", f"Defaults are those on {env or PLACE}{_other(env)}. Its phases:"]
    for phase in found.phases:
        unit = "environment steps" if phase.online else "gradient steps"
        lines.append(f"  {phase.name:11} {phase.steps:>9,} {unit}, {name_of(phase.config)}")
    fixed = {name_of(phase.config) for phase in found.phases if type(phase.config) not in found.settable}
    if fixed:
        lines.append(
            f"The recipe itself gives {joined(sorted(fixed), 'and')} its options: the command has none of them."
        )
    algorithm = {option: of_phases(found, option) for option in found.algorithm if found.takes(option)}
    run = {option: {"": setting.value} for option, setting in found.run.items()}
    return Shown("\n".join(lines), run | algorithm, found.settable)


def of_phases(found: Any, option: str) -> dict[str, Any]:
    """The value of an algorithm's option (`fastrl.planning.resolved`) in each phase that learns, or in all."""
    own = {phase: setting.value for phase, setting in found.algorithm[option].items()}
    learning = {phase.name for phase in found.phases if phase.updates}
    return {phase: value for phase, value in own.items() if phase in learning} or own


def of_algorithm(command: str, name: str, kind: type[ActorCritic], env: str | None) -> Shown:
    """The options of one algorithm."""
    domain = presets.find(spec_of(env).domain) if env else presets.find("default")
    config: Any = presets.configure(kind, name, domain, {}, {})
    own = {field.name: {"": getattr(config, field.name)} for field in dataclasses.fields(kind)}
    resolved: Any = presets.resolve(RunOptions(), domain)
    implied = {"warmup": presets.warmup(domain)} | {each: getattr(domain, each) for each in REWARDS}
    run = {option: {"": implied.get(option, getattr(resolved, option))} for option in vars(resolved)}
    summary = (kind.__doc__ or "").splitlines()[0]
    title = f"{command} {name}: {summary}\nDefaults are {f'those on {env}' if env else 'the common ones'}{_other(env)}."
    return Shown(title, run | {option: it for option, it in own.items() if reads(kind, option)}, [kind])


def _other(env: str | None) -> str:
    return "" if env else "; --env NAME shows those of another"
