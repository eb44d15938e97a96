"""The library's public functions: run, pretrain, finetune, evaluate. Each hands a plan to the engine."""

import dataclasses
import io
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fastrl import agent as agents
from fastrl import presets
from fastrl.agent import Agent
from fastrl.config import Options
from fastrl.data.datasets import Dataset
from fastrl.data.sources import Source
from fastrl.engine import enter, seeds, streams
from fastrl.engine import evaluate as evaluation
from fastrl.engine import run as engine
from fastrl.engine.phase import Phase
from fastrl.engine.plan import Plan
from fastrl.envs import host
from fastrl.loggers import names as loggers
from fastrl.planning import asked as asking
from fastrl.planning import plan as plans
from fastrl.planning import request as requests
from fastrl.planning import sweep as sweeps
from fastrl.planning.builder import Builder
from fastrl.planning.request import Request
from fastrl.runs import folder, processes
from fastrl.runs.folder import Resume
from fastrl.runs.progress import Progress
from fastrl.types import Environment, Spec


@dataclasses.dataclass(frozen=True)
class Run:
    """A finished run."""

    returns: np.ndarray  # [S, evaluations], raw mean return of each evaluation; NaN once a seed is frozen
    metrics: dict[str, np.ndarray] = dataclasses.field(repr=False)  # [S, rows] by name, of the last phase's training
    agent: Agent
    rows: list[dict[str, Any]] = dataclasses.field(repr=False)  # the log, as in metrics.jsonl
    path: Path | None

    @property
    def state(self) -> Any:
        """Everything the agents learnt; every leaf has the seed axis in front."""
        return self.agent.state


def run(
    recipe: str | Callable[[Builder], list[Phase]],
    *,
    env: str | Environment,
    dataset: str | Path | Source | Dataset | None = None,
    start: str | Path | Agent | None = None,
    env_options: Mapping[str, Any] | None = None,
    out: str | Path | None = None,
    resume: Resume = False,
    progress: Progress | None = None,
    command: str | None = None,
    sweep: Mapping[str, Sequence[Any]] | None = None,
    domain: presets.Domain | None = None,
    **options: Any,
) -> Run:
    """Runs a recipe, start to end, for many seeds.

    `recipe` is a name, MODULE:NAME, or a function of the builder that returns phases. `env` is a name or an
    environment, `dataset` what `fastrl.load` reads or a `Dataset`; `start` is an agent (or its folder) that replaces
    the recipe's offline phase; `domain` are defaults in place of those of the environment's. `options` are run options
    and options of the algorithms (`fastrl run --help-all` lists them). With `out`, a run folder holds config, metrics,
    report, picture and checkpoints; `resume=True` continues it, "auto" does or starts one. Raises `UserError` on bad
    input, before anything is written, and where another process is at work in that folder.
    """
    sweeps.check(sweep or {})
    request = asking.recipe(
        recipe,
        env=env,
        dataset=dataset,
        start=start,
        env_options=env_options or {},
        sweep=sweep or {},
        domain=domain,
        options=options,
    )
    return _execute(request, out, resume, progress, command)


def sweep(
    recipe: str | Callable[[Builder], list[Phase]],
    grid: Mapping[str, Sequence[Any]],
    *,
    out: str | Path | None = None,
    progress: Progress | None = None,
    **arguments: Any,
) -> list[Run]:
    """Runs a recipe at every point of a grid; `arguments` are those of `fastrl.run`.

    Points that differ in numbers (learning rates, weights, the warm-up) are rows of one run, in one compilation. Shapes
    and words (UTD, hidden layers, retention) are runs one after another, each in a folder of its own under `out`.
    """
    inside, points = asking.divided(recipe, grid, arguments)
    progress = progress or Progress(sys.stderr)
    found = []
    for point in points:
        folder = None if out is None else asking.place(out, point)
        if point:
            progress.message(f"sweep: {sweeps.label(point)} (shapes and words run one after another)")
        more = {**arguments, **point}
        found.append(run(recipe, out=folder, progress=progress, sweep=inside, **more))
    return found


def pretrain(
    config: Options,
    data: str | Path | Source | Dataset,
    *,
    steps: int,
    env: str | Environment | None = None,
    env_options: Mapping[str, Any] | None = None,
    key: int = 0,
    out: str | Path | None = None,
    resume: Resume = False,
    progress: Progress | None = None,
    command: str | None = None,
    domain: presets.Domain | None = None,
    **options: Any,
) -> Agent:
    """Trains `config` on a dataset for `steps` gradient steps; with `env` it is evaluated on the way."""
    request = asking.pretraining(
        config, data, steps=steps, env=env, env_options=env_options, key=key, domain=domain, **options
    )
    return _execute(request, out, resume, progress, command).agent


def finetune(
    config: Options,
    env: str | Environment,
    *,
    start: str | Path | Agent | None = None,
    dataset: str | Path | Source | Dataset | None = None,
    env_options: Mapping[str, Any] | None = None,
    key: int = 0,
    out: str | Path | None = None,
    resume: Resume = False,
    progress: Progress | None = None,
    command: str | None = None,
    **options: Any,
) -> Run:
    """Fine-tunes from `start` (or from scratch): warm-up with the frozen policy, then `config` online."""
    request = asking.finetuning(config, env, start=start, dataset=dataset, env_options=env_options, key=key, **options)
    return _execute(request, out, resume, progress, command)


def evaluate(
    agent: str | Path | Agent, env: str | Environment, *, episodes: int = 100, key: int = 0, **env_options: Any
) -> np.ndarray:
    """Raw returns `[S, episodes]` of the deterministic policy of every seed."""
    return np.asarray(play(agent, env, episodes=episodes, key=key, **env_options)[0].episode_return)


def play(
    agent: str | Path | Agent,
    env: str | Environment,
    *,
    episodes: int,
    key: int,
    tell: Callable[[str], None] | None = None,
    **env_options: Any,
) -> tuple[evaluation.Episodes, Spec]:
    """Whole episodes of the deterministic policy of every seed, and the spec of where they were played.

    `tell` hears of it before it begins.
    """
    agent = agent if isinstance(agent, Agent) else agents.load(agent)
    environment = requests.environment(env, env_options)
    assert environment is not None
    requests.same_sizes(agent.spec, environment.spec)
    if tell is not None:
        tell(f"playing {environment.spec.name}: episodes {episodes}, seeds {agent.seeds}")
    program = evaluation.program(environment, agent.algorithm, episodes, seeds.block("auto"))
    result = jax.block_until_ready(
        jax.jit(program)(agent.state, streams.seeds(key, agent.seeds), jnp.int32(0), jnp.int32(0))
    )
    host.close()
    host.check()
    return result, environment.spec


def _execute(
    request: Request, out: str | Path | None, resume: Resume, progress: Progress | None, command: str | None
) -> Run:
    plan, identity = plans.make(request)
    if out is None:
        loggers.check_folder(plan.log)
        return _run(request, plan, None, progress)
    record = {
        "recipe": request.name,
        "env": plan.task.spec.name,
        "dataset": plan.dataset.name if plan.dataset else None,
        "start": str(request.start) if isinstance(request.start, str | Path) else None,
        "seeds": plan.seeds,
        "command": command,
        "log": [named.name for named in plan.log],
    }
    if plan.start is not None:  # an agent of other sizes is refused before there is a folder
        enter.template(plan, 0, jax.eval_shape(lambda: engine.upload(plan)))
    with processes.by_the_first(lambda: folder.claimed(Path(out), identity, record, resume)):
        processes.share_a_folder(Path(out))
        return _run(request, plan, Path(out), progress)


def _run(request: Request, plan: Plan, path: Path | None, progress: Progress | None) -> Run:
    """Runs a plan, in memory or in a folder that is this run's alone."""
    progress = (progress or Progress(sys.stderr)) if processes.first() else Progress(io.StringIO())
    for line in plans.warnings(request, plan):
        progress.message(line)
    outcome = engine.run(plan, path, progress)
    last, task = plan.phases[-1], plan.task
    agent = Agent(last.config, task.spec, outcome.agents, (task.reward_scale, task.reward_bias))
    if path is not None and processes.first():
        agent.save(path / "agent")
        if plan.env is not None:
            from fastrl.reports import report

            report.write_report(path)
    processes.wait()
    returns, metrics = _arrays(outcome.rows, last.name)
    return Run(returns, metrics, agent, outcome.rows, path)


def _arrays(rows: list[dict[str, Any]], last: str) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Evaluation returns `[S, evals]` and the last phase's training metrics `[S, rows]`."""
    returns = np.array([row["return"] for row in rows if row["kind"] == "eval"], np.float64).T
    train = [row for row in rows if row["kind"] == "train" and row["phase"] == last]
    metrics = {
        name: np.array([row[name] for row in train], np.float64).T
        for name in (train[0] if train else {})
        if isinstance(train[0][name], list)
    }
    return returns, metrics
