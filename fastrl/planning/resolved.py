"""Every option of a run with its value and where the value comes from. Nothing is run, no dataset is read."""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from fastrl import presets
from fastrl.config import ActorCritic, RunOptions, reads
from fastrl.engine.phase import Phase
from fastrl.engine.plan import WARMUP, Plan
from fastrl.methods import name_of
from fastrl.planning import checks, contract
from fastrl.planning import plan as plans
from fastrl.planning.builder import PRETRAIN, Builder
from fastrl.planning.plan import RING
from fastrl.planning.request import Request, environment
from fastrl.recipes import names
from fastrl.replay import fills
from fastrl.types import Spec

DEFAULT = "default"
PAPER = "paper"


class Setting(NamedTuple):
    """A value, and where it comes from: whoever gave it, recipe, preset of the environment's domain, paper, default."""

    value: Any
    origin: str


@dataclasses.dataclass(frozen=True)
class Resolved:
    """A run's options."""

    phases: list[Phase]
    run: dict[str, Setting]
    algorithm: dict[str, dict[str, Setting]]  # by option, by phase
    settable: list[type]  # classes of the phases' options that are the user's to set, the last phase's first

    def takes(self, option: str) -> bool:
        """Whether the recipe takes an option, or writes it itself."""
        return option in self.run or any(reads(kind, option) for kind in self.settable)

    def flat(self) -> dict[str, Setting]:
        """All options in one dictionary; one whose value differs between phases is there as `phase.option`."""
        found = dict(self.run)
        for option, by_phase in self.algorithm.items():
            own = list(by_phase.values())
            if all(setting.value == own[0].value for setting in own):
                found[option] = own[-1]
            else:
                found |= {f"{phase}.{option}": setting for phase, setting in by_phase.items()}
        return found


@dataclasses.dataclass(frozen=True)
class _Noting(Builder):
    """Notes the classes of options that a recipe has made for it; the others, the recipe makes with its own values."""

    made: list[type] = dataclasses.field(default_factory=list)

    def config(self, name: str, **recipe: Any) -> ActorCritic:
        config = super().config(name, **recipe)
        self.made.append(type(config))
        return config


def resolve(
    name: str,
    recipe: Callable[[Builder], list[Phase]],
    spec: Spec,
    options: RunOptions | None = None,
    overrides: Mapping[str, Any] | None = None,
    given: Mapping[str, str] | None = None,
    dataset: str = "",
    started: bool = False,
    plan: Plan | None = None,
) -> Resolved:
    """The options of a recipe for an environment.

    `given` says of those that the user set where; `started` is as in `checks.used`; a `plan` knows what data decides.
    Raises `UserError` where the recipe refuses them.
    """
    domain, options, overrides, given = presets.find(spec.domain), options or RunOptions(), overrides or {}, given or {}
    own = names.run_defaults(name, spec.domain)
    filled = presets.resolve(options, domain, own)
    builder = _Noting(spec, domain, filled, overrides, dataset)
    phases = contract.recipe(recipe, builder, name)
    phases = [phase for phase in phases if not (started and phase.name == PRETRAIN)]
    phases = phases if plan is None else list(plan.phases)
    idle = checks.idle(name, phases, started)
    run = {}
    for field in dataclasses.fields(RunOptions):
        if field.name in idle or (field.name == "pretrainer" and name != "wsrl"):
            continue
        value = getattr(filled, field.name)
        value = value if value is not None else _implied(field.name, builder, phases, plan)
        origin = given.get(field.name) or _source(field.name, value, name, own, spec.domain)
        run[field.name] = Setting(value, origin)
    found: dict[str, dict[str, Setting]] = {}
    for phase in phases:
        for field in dataclasses.fields(phase.config):
            if reads(type(phase.config), field.name):
                setting = Setting(getattr(phase.config, field.name), _origin(field, phase, builder, name, given))
                found.setdefault(field.name, {})[phase.name] = setting
    kinds = [type(phase.config) for phase in phases[::-1]]
    return Resolved(phases, run, found, [kind for kind in kinds if kind in builder.made])


def of_request(request: Request, given: Mapping[str, str]) -> Resolved:
    """The options of a request; what the run would refuse is refused. Where it names data or an agent they are read."""
    env = environment(request.env, request.env_options)
    assert env is not None
    needed = request.dataset is not None or request.start is not None
    plan = plans.make(request)[0] if needed else None
    first = {name: values[0] for name, values in request.sweep.items() if name != WARMUP}
    found = resolve(
        request.name,
        request.recipe,
        env.spec,
        request.options,
        {**request.overrides, **first},
        given,
        plan.dataset.name if plan is not None and plan.dataset is not None else "",
        request.start is not None,
        plan,
    )
    if plan is None:
        checks.used(request.name, request.options, request.overrides, found.phases, started=False)
    return found


def _implied(option: str, builder: Builder, phases: Sequence[Phase], plan: Plan | None) -> Any:
    """What a run option that is none comes to."""
    options, online = builder.options, [phase for phase in phases if phase.online]
    steps = {phase.name: phase.steps for phase in phases}
    ratio = max((phase.offline_ratio for phase in online), default=0.0)
    kept = "append" if any(phase.fill is fills.EVERYTHING for phase in online) else "mixed" if ratio else "none"
    values = {
        "reward_scale": builder.reward[0],
        "reward_bias": builder.reward[1],
        "pretrainer": builder.domain.pretrainer,
        "capacity": min(RING, sum(phase.steps for phase in online)) if plan is None else plan.capacity,
        "probe_every": options.eval_every,
        "retention": kept,
        "offline_ratio": ratio if kept == "mixed" else None,
        "on_nan": "freeze" if options.seeds > 1 else "stop",
        **{name: steps.get(name.removesuffix("_steps")) for name in ("warmup", "reevaluate_steps", "align_steps")},
    }
    return values.get(option)


def _source(option: str, value: Any, recipe: str, own: Mapping[str, Any], domain: str) -> str:
    """Where the value of a run option that nobody gave comes from."""
    preset, plain = presets.find(domain), presets.Domain()
    if option in ("retention", "offline_ratio") or own.get(option, math.nan) == value:
        return f"recipe {recipe}"
    if preset.run.get(option, math.nan) == value or getattr(preset, option, None) != getattr(plain, option, None):
        return f"preset {domain}"
    if hasattr(plain, option) or presets.PAPER_RUN.get(option, math.nan) == value:
        return PAPER
    return DEFAULT if value == getattr(RunOptions, option) else "other options"


def _origin(field: Any, phase: Phase, builder: Builder, recipe: str, given: Mapping[str, str]) -> str:
    """Where the value of an option of an algorithm comes from: the last layer that has this very value."""
    value, option = getattr(phase.config, field.name), field.name
    if who := given.get(f"{phase.name}.{option}") or given.get(option):
        return who
    domain = builder.domain
    preset = {**domain.shared, **domain.algorithms.get(name_of(phase.config), {})}
    if option in preset and preset[option] == value:
        return f"preset {builder.spec.domain}"
    return DEFAULT if value == field.default else f"recipe {recipe}"
