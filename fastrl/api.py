"""The library's public functions: run, pretrain, finetune, evaluate. Each makes a plan and hands it to the engine."""

import dataclasses
import difflib
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from fastrl import envs, presets
from fastrl.config import ALGORITHMS, ActorCritic, CalQL, RunOptions, describe
from fastrl.data import datasets
from fastrl.data.datasets import Dataset
from fastrl.engine import evaluate as evaluation
from fastrl.engine import folder, report, seeds
from fastrl.engine import run as engine
from fastrl.engine.enter import Plan
from fastrl.engine.phase import Phase
from fastrl.engine.progress import Progress
from fastrl.engine.rollout import Task
from fastrl.envs.wrappers import Rescale, Vector
from fastrl.recipes import agent as agents
from fastrl.recipes import names
from fastrl.recipes.agent import Agent
from fastrl.recipes.builder import Builder
from fastrl.recipes.wsrl import adopt_all
from fastrl.types import Environment, Spec, UserError

ROW_CHUNK = 256
"""Rows of one ensemble product on a CPU; larger batches fall off a cliff there and are split."""

RING = 2_000_000
"""Most rows of the ring where `capacity` is not given (WSRL's)."""


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished run."""

    returns: np.ndarray  # [S, evaluations], raw mean return of each evaluation
    metrics: dict[str, np.ndarray]  # name -> [S, rows], training metrics of the last phase
    agent: Agent
    rows: list[dict[str, Any]]  # the log, as in metrics.jsonl
    path: Path | None

    @property
    def state(self) -> Any:
        """Everything the agents learnt; every leaf has the seed axis in front."""
        return self.agent.state


def split_options(given: Mapping[str, Any]) -> tuple[RunOptions, dict[str, Any]]:
    """Options by name into run options and options of the algorithms; an unknown one is refused."""
    run_fields = {field.name for field in dataclasses.fields(RunOptions)}
    algorithm_fields = {field.name for kind in ALGORITHMS.values() for field in dataclasses.fields(kind)}
    known = run_fields | algorithm_fields
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
            raise UserError(f"unknown option {name!r}; did you mean {near[0]!r}?")
    options = RunOptions(**{k: v for k, v in given.items() if k in run_fields})
    return options, {k: v for k, v in given.items() if k not in run_fields}


def check_algorithm(config: ActorCritic) -> None:
    """Refuses numbers that no algorithm can work with."""
    for name in ("batch_size", "utd", "num_critics", "subset_size", "actor_lr", "critic_lr"):
        value = getattr(config, name, 1)
        if value <= 0:
            raise UserError(f"--{name.replace('_', '-')} must be above 0, not {value}")
    if getattr(config, "subset_size", 1) > getattr(config, "num_critics", 1):
        raise UserError(
            f"--subset-size {config.subset_size} is more than --num-critics {config.num_critics}"  # type: ignore[attr-defined]
        )
    if not 0 <= config.discount <= 1:
        raise UserError(f"--discount must be between 0 and 1, not {config.discount}")


def run(
    recipe: str,
    *,
    env: str | Environment,
    dataset: str | Path | Dataset | None = None,
    start: str | Path | Agent | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    env_options: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
    command: str | None = None,
    **options: Any,
) -> Run:
    """Runs a recipe, start to end, for many seeds.

    `env` is a name or an environment, `dataset` a file or a `Dataset`; `start` is an agent (or its folder) that
    replaces the recipe's offline phase. `options` are run options and options of the algorithms
    (`fastrl recipes NAME` lists them). With `out`, the run folder holds config, metrics, report, picture and
    checkpoints, and `resume=True` continues it.
    """
    function = names.find(recipe)
    run_options, overrides = split_options(options)
    return _execute(
        function, recipe, env, dataset, start, out, resume, env_options, progress, command, run_options, overrides
    )


def pretrain(
    config: ActorCritic,
    data: str | Path | Dataset,
    *,
    steps: int,
    env: str | Environment | None = None,
    key: int = 0,
    seeds: int = 1,
    out: str | Path | None = None,
    resume: bool = False,
    env_options: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
    command: str | None = None,
    **options: Any,
) -> Agent:
    """Trains `config` on a dataset for `steps` gradient steps; with `env` it is evaluated on the way."""

    def recipe(builder: Builder) -> list[Phase]:
        return [builder.offline(config)]

    run_options, overrides = split_options({**options, "seeds": seeds, "seed": key, "pretrain_steps": steps})
    name = f"pretrain {describe(config)['algorithm']}"
    result = _execute(
        recipe, name, env, data, None, out, resume, env_options, progress, command, run_options, overrides
    )
    return result.agent


def finetune(
    config: ActorCritic,
    env: str | Environment,
    *,
    start: str | Path | Agent | None = None,
    dataset: str | Path | Dataset | None = None,
    key: int = 0,
    out: str | Path | None = None,
    resume: bool = False,
    env_options: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
    command: str | None = None,
    **options: Any,
) -> Run:
    """Fine-tunes from `start` (or from scratch): warm-up with the frozen policy, then `config` online."""
    run_options, overrides = split_options({"seed": key, **options})

    def recipe(builder: Builder) -> list[Phase]:
        ratio, append = builder.retention()
        warmup = presets.warmup(builder.domain)
        return builder.online(config, warmup=warmup, ratio=ratio, append=append, entry=adopt_all)

    name = f"finetune {describe(config)['algorithm']}"
    return _execute(
        recipe, name, env, dataset, start, out, resume, env_options, progress, command, run_options, overrides
    )


def evaluate(
    agent: str | Path | Agent, env: str | Environment, *, episodes: int = 100, key: int = 0, **env_options: Any
) -> np.ndarray:
    """Raw returns `[S, episodes]` of the deterministic policy of every seed."""
    agent = agent if isinstance(agent, Agent) else agents.load(agent)
    environment = envs.make(env, **env_options) if isinstance(env, str) else env
    _same_sizes(agent.spec, environment.spec)
    program = jax.jit(evaluation.program(environment, agent.algorithm, episodes, seeds.side_by_side("auto")))
    result = program(agent.state, seeds.keys(key, agent.seeds), jax.numpy.int32(0))
    return np.asarray(result.episode_return)


def _same_sizes(have: Spec, want: Spec) -> None:
    if (have.obs_size, have.action_size) != (want.obs_size, want.action_size):
        raise UserError(
            f"the agent is of {have.name} ({have.obs_size} observations, {have.action_size} actions) and "
            f"{want.name} has {want.obs_size} and {want.action_size}; name the environment that it was trained for"
        )


def _load(dataset: str | Path | Dataset | None, spec: Spec | None) -> Dataset | None:
    if dataset is None:
        return None
    data = dataset if isinstance(dataset, Dataset) else datasets.load(dataset, horizon=spec.horizon if spec else None)
    if spec is not None:
        datasets.check(data, spec)
    return data


def _execute(
    function: Callable[[Builder], list[Phase]],
    name: str,
    env: str | Environment | None,
    dataset: str | Path | Dataset | None,
    start: str | Path | Agent | None,
    out: str | Path | None,
    resume: bool,
    env_options: Mapping[str, Any] | None,
    progress: Progress | None,
    command: str | None,
    options: RunOptions,
    overrides: dict[str, Any],
) -> Run:
    """Everything that can be wrong is found here, before anything is traced or written."""
    environment = envs.make(env, **(env_options or {})) if isinstance(env, str) else env
    data = _load(dataset, environment.spec if environment else None)
    spec = environment.spec if environment else _spec_of(data)
    domain = presets.find(spec.domain)
    if name.startswith("pretrain"):
        options = dataclasses.replace(options, steps=options.steps or 1)
    builder = Builder(spec, domain, presets.resolve(options, domain), overrides, _row_chunk())
    options = builder.options
    phases = function(builder)
    initial = None
    if start is not None:
        initial = start if isinstance(start, Agent) else agents.load(start)
        _same_sizes(initial.spec, spec)
        phases = [phase for phase in phases if phase.online]
        if phases:
            phases[0] = dataclasses.replace(phases[0], entry=adopt_all)
    plan = _plan(builder, phases, environment, data, initial)
    path = Path(out) if out is not None else None
    if path is not None:
        record = {
            "recipe": name,
            "env": spec.name,
            "dataset": data.name if data else None,
            "seeds": options.seeds,
            "command": command,
        }
        folder.prepare(path, _identity(name, plan, options, env_options), record, resume)
    outcome = engine.run(plan, path, progress or Progress(sys.stderr))
    agent = Agent(phases[-1].config, spec, outcome.carry.seeds.agent)
    if path is not None:
        if not (path / "agent" / "agent.json").exists():
            agent.save(path / "agent")
        report.write_report(path)
    return Run(*_arrays(outcome.rows, phases[-1].name), agent, outcome.rows, path)


def _row_chunk() -> int | None:
    return ROW_CHUNK if jax.default_backend() == "cpu" else None


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


def _identity(name: str, plan: Plan, options: RunOptions, env_options: Mapping[str, Any] | None) -> dict[str, Any]:
    """All that decides the bits of a run; a resume must have the same."""
    task, data = plan.task, plan.dataset
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
        "recipe": name,
        "env": task.spec.name,
        "env_options": dict(env_options or {}),
        "dataset": {"rows": data.rows, "sha256": data.sha256} if data else None,
        "seeds": plan.seeds,
        "seed": plan.seed,
        "num_envs": task.num_envs,
        "capacity": plan.capacity,
        "eval_every": plan.eval_every,
        "eval_episodes": plan.eval_episodes,
        "reward_scale": task.reward_scale,
        "reward_bias": task.reward_bias,
        "start": plan.start is not None,
        "side_by_side": plan.side_by_side,
        "phases": phases,
    }


def _arrays(rows: list[dict[str, Any]], last: str) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Evaluation returns `[S, evals]` and the last phase's training metrics `[S, rows]`."""
    returns = np.array([row["return"] for row in rows if row["kind"] == "eval"]).T
    train = [row for row in rows if row["kind"] == "train" and row["phase"] == last]
    metrics = {
        name: np.array([row[name] for row in train], np.float64).T
        for name in (train[0] if train else {})
        if isinstance(train[0][name], list)
    }
    return returns, metrics
