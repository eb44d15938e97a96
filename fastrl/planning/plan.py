"""From what was asked for to a plan: what can be wrong is found here, before anything is traced or written."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax

from fastrl import agent as agents
from fastrl import envs, presets
from fastrl.agent import Agent
from fastrl.config import ALGORITHMS, ActorCritic, CalQL, RunOptions, describe
from fastrl.data import datasets, findings, rules
from fastrl.data.datasets import Dataset
from fastrl.data.sources import Source
from fastrl.engine import seeds
from fastrl.engine.phase import Phase
from fastrl.engine.plan import Plan
from fastrl.engine.rollout import Task
from fastrl.envs import host
from fastrl.envs.wrappers import Rescale, Vector, limited
from fastrl.planning import checks
from fastrl.planning.builder import Builder
from fastrl.recipes.wsrl import adopt_all
from fastrl.runs import manifest
from fastrl.types import Environment, Spec, UserError
from fastrl.words import unknown_option

ROW_CHUNK = 256
"""Rows of one ensemble product on a CPU; larger batches fall off a cliff there and are split."""

PATIENCE = (host.BACKEND, "timeout")
"""A backend's option that decides no bits: a simulator that took too long may be given longer."""

POSITIVE = (
    *("actor_hidden", "critic_hidden", "batch_size", "utd", "num_critics", "subset_size", "actor_lr", "critic_lr"),
    *("tau", "fixed_std", "backup_actions", "cql_actions", "cql_temperature"),
)
"""Options of algorithms that must be above 0, of several numbers each."""

PARAMETERS = ("env", "dataset", "start", "env_options", "out", "resume")
"""What `fastrl.run` takes beside options."""

RING = 2_000_000
"""Most rows of the ring where `capacity` is not given (WSRL's)."""


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


def environment(env: str | Environment | None, options: Mapping[str, Any]) -> Environment | None:
    """The environment by name, or the caller's own with its time limit."""
    if isinstance(env, str):
        return envs.make(env, **options)
    return limited(env) if env is not None else None


def make(request: Request) -> tuple[Plan, dict[str, Any]]:
    """The plan, and its identity: all that decides the bits of the run, which a resume must share."""
    env = environment(request.env, request.env_options)
    data = _load(request.dataset, env.spec if env else None)
    spec = env.spec if env else _spec_of(data)
    domain = presets.find(spec.domain)
    row_chunk = ROW_CHUNK if jax.default_backend() == "cpu" else None
    builder = Builder(spec, domain, presets.resolve(request.options, domain), request.overrides, row_chunk)
    phases, start = request.recipe(builder), None
    if request.start is not None:
        start = request.start if isinstance(request.start, Agent) else agents.load(request.start)
        same_sizes(start.spec, spec)
        phases = [phase for phase in phases if phase.online]
        phases[:1] = [dataclasses.replace(phase, entry=adopt_all) for phase in phases[:1]]
    checks.used(request.name, request.options, request.overrides, phases, start is not None)
    plan = _plan(builder, phases, env, data, start)
    if start is not None:
        _same_reward(start, plan.task)
    return plan, _identity(request, plan)


def split_options(given: Mapping[str, Any]) -> tuple[RunOptions, dict[str, Any]]:
    """Options by name into run options and options of the algorithms; an unknown one is refused."""
    run_fields = {field.name for field in dataclasses.fields(RunOptions)}
    algorithm_fields = {field.name for kind in ALGORITHMS.values() for field in dataclasses.fields(kind)}
    known = run_fields | algorithm_fields
    for name in given:
        if name not in known:
            raise unknown_option(name, [*sorted(known), *PARAMETERS], "fastrl run --help lists all")
    options = RunOptions(**{k: v for k, v in given.items() if k in run_fields})
    return options, {k: v for k, v in given.items() if k not in run_fields}


def check_algorithm(config: ActorCritic) -> None:
    """Refuses numbers that no algorithm can work with."""
    presets.check_positive(config, POSITIVE)
    if getattr(config, "subset_size", 1) > getattr(config, "num_critics", 1):
        raise UserError(
            f"--subset-size {config.subset_size} is more than --num-critics {config.num_critics}"  # type: ignore[attr-defined]
        )
    for name in ("discount", "tau", "dropout", "expectile"):
        if not 0 <= getattr(config, name, 0) <= 1:
            raise UserError(f"--{name} must be between 0 and 1, not {getattr(config, name)}")


def same_sizes(have: Spec, want: Spec) -> None:
    """Refuses an agent of another task."""
    if (have.obs_size, have.action_size) != (want.obs_size, want.action_size):
        raise UserError(
            f"the agent is of {have.name} ({have.obs_size} observations, {have.action_size} actions) and "
            f"{want.name} has {want.obs_size} and {want.action_size}; name the environment that it was trained for"
        )


def warnings(request: Request, plan: Plan) -> list[str]:
    """What is legal and probably not meant, a line each."""
    if plan.dataset is not None:
        raw = findings.raw_actions(plan.dataset, plan.task.spec)
        return [*findings.said(plan.dataset), *([raw] if raw else [])]
    if request.dataset is not None:
        return ["the dataset is not used: no phase of this run learns from it"]
    return []


def _same_reward(agent: Agent, task: Task) -> None:
    """Values learnt on one scale of reward mislead on another."""
    here = (task.reward_scale, task.reward_bias)
    if agent.reward != here:
        raise UserError(
            f"the agent learnt on reward * {agent.reward[0]:g} + {agent.reward[1]:g} and this run has "
            f"* {here[0]:g} + {here[1]:g}; give both the same --reward-scale and --reward-bias"
        )


def _load(dataset: str | Path | Source | Dataset | None, spec: Spec | None) -> Dataset | None:
    """The dataset, checked against the environment and treated by the rules of its domain."""
    if dataset is None or (isinstance(dataset, Dataset) and spec is None):
        return dataset
    if not isinstance(dataset, Dataset):
        source = dataset if isinstance(dataset, Source) else Source(dataset)
        if source.actions == "environment" and spec is not None:
            source = dataclasses.replace(source, actions=(spec.action_low, spec.action_high))
        dataset = datasets.open_source(source, spec.horizon if spec else None)
    if spec is None:
        return dataset
    datasets.check(dataset, spec)
    return rules.apply(dataset, spec.domain)


def _spec_of(data: Dataset | None) -> Spec:
    if data is None:
        raise UserError("a dataset or an environment is needed; name one")
    return Spec(data.name, data.obs.shape[1], data.action.shape[1], horizon=1)


def _plan(
    builder: Builder, phases: list[Phase], env: Environment | None, data: Dataset | None, start: Agent | None
) -> Plan:
    options, domain, spec = builder.options, builder.domain, builder.spec
    needy = next((phase for phase in phases if phase.offline_ratio or phase.append), None)
    if needy and data is None:
        raise UserError(f"phase {needy.name!r} learns from offline data; name it with --dataset FILE")
    if any(phase.online for phase in phases) and env is None:
        raise UserError("an environment is needed to fine-tune; name it with --env NAME")
    if not needy:
        data = None
    for phase in phases:
        check_algorithm(phase.config)
    if data is not None and any(isinstance(phase.config, CalQL) for phase in phases):
        findings.check_followed(data)
        data = data.without_tail()
    online = sum(phase.steps for phase in phases if phase.online)
    prefilled = data.rows if data is not None and any(phase.append for phase in phases) else 0
    capacity = options.capacity or min(RING, online + prefilled)
    _check_capacity(capacity, prefilled, phases, spec, options)
    scale, bias = _reward(options, domain)
    failure = None if domain.failure is None or not spec.sparse else _failure(options, domain, scale, bias)
    task = Task(
        env=Vector(Rescale(env), options.num_envs) if env is not None else None,
        spec=spec,
        reward_scale=scale,
        reward_bias=bias,
        failure=failure,
        discount=phases[0].config.discount if phases else 0.99,
        num_envs=options.num_envs,
    )
    return Plan(
        phases=tuple(phase for phase in phases if phase.steps > 0),
        task=task,
        env=env,
        dataset=data,
        seeds=options.seeds,
        seed=options.seed,
        capacity=capacity,
        eval_every=options.eval_every or 1,
        eval_episodes=options.eval_episodes or 1,
        chunk=options.chunk,
        checkpoint_minutes=options.checkpoint_minutes,
        side_by_side=seeds.side_by_side(options.map_seeds),
        freeze=options.on_nan == "freeze" or (options.on_nan is None and options.seeds > 1),
        start=start.for_seeds(options.seeds) if start else None,
    )


def _reward(options: RunOptions, domain: presets.Domain) -> tuple[float, float]:
    scale = domain.reward_scale if options.reward_scale is None else options.reward_scale
    bias = domain.reward_bias if options.reward_bias is None else options.reward_bias
    return scale, bias


def _failure(options: RunOptions, domain: presets.Domain, scale: float, bias: float) -> float:
    """The domain's failure reward, under the user's own scale and bias."""
    assert domain.failure is not None
    raw = (domain.failure - domain.reward_bias) / domain.reward_scale
    return raw * scale + bias


def _check_capacity(capacity: int, prefilled: int, phases: list[Phase], spec: Spec, options: RunOptions) -> None:
    first = next((phase for phase in phases if phase.online), None)
    if first is None:
        return
    if prefilled > capacity:
        raise UserError(f"--capacity {capacity} is less than the dataset's {prefilled} rows; raise it")
    least = spec.horizon * options.num_envs if first.returns else options.num_envs
    if capacity < least:
        raise UserError(f"--capacity {capacity} does not hold the {least} rows that a first update needs; raise it")


def _identity_of(data: Dataset) -> dict[str, Any]:
    order = {"order": list(data.order)} if data.order else {}
    reading = {"reading": list(data.reading)} if data.reading else {}
    return {"rows": data.rows, "sha256": data.sha256, **order, **reading}


def _identity(request: Request, plan: Plan) -> dict[str, Any]:
    """All that decides the bits of a run; a resume must have the same."""
    task, data, spec = plan.task, plan.dataset, plan.task.spec
    phases = [
        {
            "name": phase.name,
            "steps": phase.steps,
            "updates": phase.updates,
            "offline_ratio": phase.offline_ratio,
            "append": phase.append,
            "algorithm": describe(phase.config),
        }
        for phase in plan.phases
    ]
    return {
        "recipe": request.name,
        "env": task.spec.name,
        "env_options": {key: value for key, value in request.env_options.items() if (spec.backend, key) != PATIENCE},
        "dataset": _identity_of(data) if data else None,
        "seeds": plan.seeds,
        "seed": plan.seed,
        "num_envs": task.num_envs,
        "capacity": plan.capacity,
        "eval_every": plan.eval_every,
        "eval_episodes": plan.eval_episodes,
        "reward_scale": task.reward_scale,
        "reward_bias": task.reward_bias,
        "start": None if plan.start is None else manifest.total(plan.start),
        "side_by_side": plan.side_by_side,
        "phases": phases,
    }
