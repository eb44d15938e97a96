"""From what was asked for to a plan: what can be wrong is found here, before anything is traced or written."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fastrl import agent as agents
from fastrl import presets
from fastrl.agent import Agent
from fastrl.config import Options, RunOptions
from fastrl.data import findings
from fastrl.data.datasets import Dataset
from fastrl.engine import mesh as meshes
from fastrl.engine import seeds
from fastrl.engine.phase import Phase, keep
from fastrl.engine.plan import WARMUP, Plan
from fastrl.engine.rollout import Task
from fastrl.envs import host
from fastrl.envs.wrappers import Rescale, Vector
from fastrl.loggers import names as loggers
from fastrl.methods import Referenced, name_of
from fastrl.networks import normalise
from fastrl.planning import checks, contract
from fastrl.planning import sweep as sweeps
from fastrl.planning.builder import PRETRAIN, Builder
from fastrl.planning.identity import identity
from fastrl.planning.request import Request, environment, load, same_sizes, spec_of
from fastrl.recipes import distillation, names, ocr_cft, ocr_cft_defaults
from fastrl.replay import ring as rings
from fastrl.types import Environment, Spec, UserError

POSITIVE = (
    *("actor_hidden", "critic_hidden", "batch_size", "utd", "num_critics", "subset_size", "actor_lr", "critic_lr"),
    *(
        "tau",
        "fixed_std",
        "backup_actions",
        "cql_actions",
        "cql_temperature",
        "policy_delay",
        "rollout",
        "epochs",
        "clip",
    ),
    *("initial_multiplier", "constraint_steps", "auxiliary_steps", "linear_steps", "reference_interval"),
    *("grad_clip", "actor_grad_clip", "return_scale"),
    *("value_temperature", "value_limit", "regularization_steps", "roll_in_steps"),
)
"""Options of algorithms that must be above 0, of several numbers each."""

POLICY_ALONE = (ocr_cft.first_entry, ocr_cft.fitted_entry, distillation.from_teacher)
"""Entries that take no values over from another agent."""

RING = 2_000_000
"""Most rows of the ring where `capacity` is not given (WSRL's)."""


def make(request: Request) -> tuple[Plan, dict[str, Any]]:
    """The plan, and its identity: all that decides the bits of the run, which a resume must share."""
    env = environment(request.env, request.env_options)
    data = load(request.dataset, env.spec if env else None)
    spec = env.spec if env else spec_of(data)
    domain = request.defaults(spec)
    options = presets.resolve(request.options, domain, names.run_defaults(request.name, spec.domain))
    overrides = {**request.overrides, **{k: v[0] for k, v in request.sweep.items() if k != WARMUP}}
    warmups = tuple(request.sweep.get(WARMUP, ()))
    builder = Builder(spec, domain, options, overrides, data.name if data else "", warmups, data)
    phases, start = contract.recipe(request.recipe, builder, request.name), None
    if request.start is not None:
        start = request.start if isinstance(request.start, Agent) else agents.load(request.start)
        same_sizes(start.spec, spec)
        phases = [phase for phase in phases if phase.name != PRETRAIN]
        phases = entered(builder, phases, start)
    phases = seen_through(phases, data, start)
    checks.used(request.name, request.options, request.overrides, phases, start is not None)
    plan = _plan(builder, phases, env, data, start, request.sweep)
    if start is not None and phases and phases[0].entry not in POLICY_ALONE:
        _same_reward(start, plan.task)
    return plan, identity(request, plan)


def entered(builder: Builder, phases: list[Phase], start: Agent) -> list[Phase]:
    """The phases after the pre-training that an agent replaces, the first of which takes that agent over.

    OCR-CFT needs a policy alone; one of another class is distilled into its actor first.
    """
    first = phases[0] if phases else None
    if first is None:
        return phases
    if not isinstance(first.config, Referenced) and distillation.misread(first.config, builder.spec, start):
        raise UserError(
            f"the agent's policy ({name_of(start.config)}) has another form than {name_of(first.config)}'s, which "
            "would read its parameters otherwise: pre-train it with the same --squash and --tanh-mean, or that recipe"
        )
    if first.entry is keep:
        return [dataclasses.replace(first, entry=ocr_cft.whole_entry(first.config)), *phases[1:]]
    if not isinstance(first.config, Referenced):
        return phases
    cloned = distillation.phases(builder, first, start)
    if cloned and first.entry not in POLICY_ALONE:
        raise UserError(
            "--no-reevaluate keeps the agent's critic, and this agent's policy is of another class, which has to be "
            "distilled; leave --no-reevaluate out"
        )
    return [*cloned, *phases]


def seen_through(phases: list[Phase], data: Dataset | None, start: Agent | None) -> list[Phase]:
    """The phases with the normaliser of their observations: an agent to start from decides, else the options do."""
    last: Any = phases[-1].config if phases else None
    wanted = getattr(start.config if start is not None else last, "normalize_observations", False)
    found = None
    if wanted and start is not None:
        found = (np.zeros(start.spec.obs_size), np.ones(start.spec.obs_size))  # the agent brings its own
    elif wanted and data is not None:
        found = normalise.statistics(data.obs)
    elif wanted:
        raise UserError("--normalize-observations true takes its statistics from a dataset; name one with --dataset")

    def through(phase: Phase) -> Phase:
        config: Any = phase.config
        if not hasattr(config, "normalize_observations"):
            return phase
        config = dataclasses.replace(config, normalize_observations=wanted)
        return dataclasses.replace(phase, config=config, observations=found)

    return [through(phase) for phase in phases]


def phases_of(request: Request) -> list[Phase]:
    """The phases that a recipe makes, without data: what a sweep asks before it divides its grid."""
    env = environment(request.env, request.env_options)
    assert env is not None
    domain = request.defaults(env.spec)
    options = presets.resolve(request.options, domain, names.run_defaults(request.name, env.spec.domain))
    return contract.recipe(request.recipe, Builder(env.spec, domain, options, request.overrides), request.name)


def check_algorithm(config: Options) -> None:
    """Refuses numbers that no algorithm can work with."""
    presets.check_positive(config, POSITIVE)
    if getattr(config, "subset_size", 1) > getattr(config, "num_critics", 1):
        raise UserError(
            f"--subset-size {config.subset_size} is more than --num-critics {config.num_critics}"  # type: ignore[attr-defined]
        )
    for name in ("discount", "tau", "dropout", "expectile"):
        if not 0 <= getattr(config, name, 0) <= 1:
            raise UserError(f"--{name} must be between 0 and 1, not {getattr(config, name)}")


def warnings(request: Request, plan: Plan) -> list[str]:
    """What is legal and probably not meant, a line each."""
    more, across = plan.mesh.rows - plan.seeds, len(plan.mesh.devices) // plan.mesh.per_seed
    padded = [f"{plan.seeds} seeds on {across} devices: {more} more are computed and thrown away"] if more else []
    return [*padded, *_longer_warmup(request, plan), *_of_data(request, plan)]


def _longer_warmup(request: Request, plan: Plan) -> list[str]:
    asked = request.options.warmup
    found = next((phase.steps for phase in plan.phases if phase.name == "warmup"), 0)
    if asked is None or WARMUP in request.sweep or found < asked + plan.task.num_envs:  # whole steps of all copies
        return []
    return [f"--warmup {asked}: the first update needs the rows of {found} steps, so that the warm-up has {found}"]


def _of_data(request: Request, plan: Plan) -> list[str]:
    if plan.dataset is not None:
        raw = findings.raw_actions(plan.dataset, plan.task.spec)
        lines = [*findings.said(plan.dataset), *([raw] if raw else [])]
        if isinstance(plan.phases[-1].config, Referenced):
            kind = "expert" if ocr_cft_defaults.expert(plan.dataset.name) else "medium"
            lines.append(
                f"OCR-CFT's limits are those for {kind} data, by the dataset's name (--constraint-end and others)"
            )
        if not any(phase.learns_from_data for phase in plan.phases):
            lines.append("no phase of this run learns from the dataset: its diagnostics alone are measured on it")
        return lines
    if request.dataset is not None and plan.dataset is None:
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


def _plan(
    builder: Builder,
    phases: list[Phase],
    env: Environment | None,
    data: Dataset | None,
    start: Agent | None,
    sweep: sweeps.Grid,
) -> Plan:
    options, spec = builder.options, builder.spec
    needy = next((phase for phase in phases if phase.learns_from_data), None)
    if needy and data is None:
        raise UserError(f"phase {needy.name!r} learns from offline data; name it with --dataset FILE")
    if any(phase.online for phase in phases) and env is None:
        raise UserError("an environment is needed to fine-tune; name it with --env NAME")
    probe_every = (options.eval_every or 1) if options.probe_every is None else options.probe_every
    if not needy and not probe_every:
        data = None
    for phase in phases:
        check_algorithm(phase.config)
    if data is not None and any(phase.config.needs_returns for phase in phases):
        findings.check_followed(data)
        data = data.without_tail()
    online = sum(phase.steps for phase in phases if phase.online)
    fill = next((phase.fill for phase in phases if phase.fill is not None), None)
    prefilled = 0 if data is None or fill is None else fill.rows(data.rows)
    capacity = options.capacity or min(RING, online + prefilled)
    _check_capacity(capacity, prefilled, phases, spec, options)
    points = _points(sweep, phases, builder.overrides)
    block = seeds.block(options.map_seeds, options.exact_seeds)
    return Plan(
        phases=tuple(phase for phase in phases if phase.steps > 0),
        task=_task(builder, phases, env),
        env=env,
        dataset=data,
        seeds=options.seeds * len(points),
        seed=options.seed,
        capacity=capacity,
        eval_every=options.eval_every or 1,
        eval_episodes=options.eval_episodes or 1,
        eval_switch=options.switch_eval_every,
        probe_every=probe_every,
        eval_sampled=options.eval_sampled,
        chunk=options.chunk,
        checkpoint_minutes=options.checkpoint_minutes,
        block=block,
        freeze=options.on_nan == "freeze" or (options.on_nan is None and options.seeds * len(points) > 1),
        start=start.for_seeds(options.seeds, len(points), options.first_seed) if start else None,
        first_seed=options.first_seed,
        hang_minutes=options.hang_minutes,
        log=loggers.find(options.log),
        mesh=_mesh(options, spec, options.seeds * len(points), block or 1),
        points=tuple(points),
    )


def _task(builder: Builder, phases: list[Phase], env: Environment | None) -> Task:
    scale, bias = builder.reward
    return Task(
        env=Vector(Rescale(env), builder.options.num_envs) if env is not None else None,
        spec=builder.spec,
        reward_scale=scale,
        reward_bias=bias,
        failure=builder.failure,
        discount=phases[0].config.discount if phases else 0.99,
        num_envs=builder.options.num_envs,
    )


def _mesh(options: RunOptions, spec: Spec, seeds: int, block: int) -> meshes.Mesh:
    width = rings.width(spec.obs_size, spec.action_size)
    mesh = meshes.chosen(options.devices, seeds, options.devices_per_seed, width, block)
    if spec.backend == host.BACKEND and len(mesh.devices) > 1:
        raise UserError(f"--env {spec.name} is stepped on the host, by one process for one device; leave --devices out")
    return mesh


def _points(grid: sweeps.Grid, phases: Sequence[Phase], overrides: Mapping[str, Any]) -> list[dict[str, float]]:
    """The numbers of each point; a warm-up stands for the steps before its first update."""
    for option in overrides:
        if (name := option.partition(".")[2]) in grid:
            raise UserError(f"--sweep {name} and --{option.replace('_', '-')}: give one of the two")
    for name in grid:
        if not sweeps.in_one_run(name, phases):
            raise UserError(f"--sweep {name}: rows of one run cannot differ in it; fastrl.sweep runs one after another")
    waits = next((phase.waits for phase in phases if phase.waits), ())
    steps = dict(zip(grid.get(WARMUP, ()), waits, strict=False))
    return [
        {name: float(steps.get(value, 0)) if name == WARMUP else float(value) for name, value in point.items()}
        for point in sweeps.rows(grid)
    ]


def _check_capacity(capacity: int, prefilled: int, phases: list[Phase], spec: Spec, options: RunOptions) -> None:
    first = next((phase for phase in phases if phase.online), None)
    if first is None:
        return
    if prefilled > capacity:
        raise UserError(
            f"--capacity {capacity} is less than the {prefilled} rows of the dataset that it starts with; raise it"
        )
    steps = max(first.rollout, spec.horizon if first.config.needs_returns else 1)
    least = steps * options.num_envs
    if capacity < least:
        raise UserError(f"--capacity {capacity} does not hold the {least} rows that a first update needs; raise it")
