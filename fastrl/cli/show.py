"""The text that the commands print: recipes, evaluations, films, collections and comparisons."""

import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fastrl import agent as agents
from fastrl import api, envs, presets, statistics
from fastrl.agent import Agent
from fastrl.cli import narrow
from fastrl.cli.catalogue import aligned, collected
from fastrl.cli.datasets import to_stderr
from fastrl.collect import collect, levels, players, walkers
from fastrl.config import RunOptions, reads
from fastrl.data import d4rl, links
from fastrl.engine import evaluate
from fastrl.planning import contract
from fastrl.planning.builder import Builder
from fastrl.planning.request import same_sizes
from fastrl.recipes import names
from fastrl.recipes.table import RECIPES
from fastrl.reports import across, pairs, plot, render, report, results, scores, video
from fastrl.reports.tables import Block
from fastrl.runs import folder, manifest
from fastrl.runs.progress import Progress
from fastrl.types import UserError

MUJOCO = {
    "hopper": "gymnasium:Hopper",
    "halfcheetah": "gymnasium:HalfCheetah",
    "walker2d": "gymnasium:Walker2d",
    "ant": "gymnasium:Ant",
}
"""Our locomotion tasks as Gymnasium has them, in C MuJoCo, without their version."""


def recipe(name: str, env: str) -> str:
    """The phases of a recipe on an environment, with every resolved option."""
    spec = envs.make(env).spec
    domain = presets.find(spec.domain)
    defaults = names.run_defaults(name, spec.domain)
    builder = Builder(spec, domain, presets.resolve(RunOptions(), domain, defaults), {})
    row = RECIPES.get(name)
    lines = [f"{name} on {env}: {row.meaning} ({row.paper})" if row else f"{name} on {env}"]
    for phase in contract.recipe(names.find(name), builder, name):
        kind = "gradient steps" if not phase.online else "environment steps"
        lines.append(f"\n{phase.name}: {phase.steps} {kind}, {type(phase.config).__name__}")
        read = {key: value for key, value in vars(phase.config).items() if reads(type(phase.config), key)}
        lines += [f"  {key} = {value}" for key, value in read.items()]
    return "\n".join(lines)


def environment_of(run: str, agent: Agent, env: str | None, options: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The environment to play in and its options: the one named, or the run's own."""
    if env is not None:
        return env, options
    home = Path(run) if Path(run).exists() else Path(run.rpartition(":")[0])  # DIR:SEED
    if not options and (home / "config.json").is_file():
        links.check(home)
        options = folder.read_config(home)["identity"].get("env_options", {})
    if not envs.known(agent.spec.name):
        raise UserError(f"{run} was trained on {agent.spec.name!r}, which is none of ours; name one with --env")
    if agent.spec.name.count(":") > 1:  # Gymnasium imports the module before the second colon
        raise UserError(f"{run} was trained on {agent.spec.name!r}, of a module of its own; name it with --env")
    return agent.spec.name, options


def evaluation(
    run: str, env: str | None, options: dict[str, Any], episodes: int, seed: int, as_json: bool, backend: str | None
) -> str:
    """The returns of every seed's deterministic policy; with `backend`, beside its returns in that simulator."""
    agent = agents.load(run)
    seeds = list(map(str, range(agent.seeds))) if Path(run).exists() else [run.rpartition(":")[2]]
    env, options = environment_of(run, agent, env, options)
    other = None if backend is None else _counterpart(env, options, backend)
    played, spec = api.play(agent, env, episodes=episodes, key=seed, tell=to_stderr, **options)
    returns = np.asarray(played.episode_return)
    if other is None:
        return _returns(env, returns, evaluate.rates(played, spec), as_json, seeds)
    limit = {"horizon": options["horizon"]} if "horizon" in options else {}
    there, _ = api.play(agent, other, episodes=episodes, key=seed, tell=to_stderr, **limit)
    return _side_by_side({env: returns, other: np.asarray(there.episode_return)}, as_json, seeds)


def _counterpart(env: str, options: dict[str, Any], backend: str) -> str:
    """The name of the same task and version in C MuJoCo."""
    if backend != "mujoco":
        raise UserError(f"unknown --backend {backend!r}; mujoco is the one there is (or leave it out)")
    if env not in MUJOCO:
        raise UserError(f"--backend mujoco has {', '.join(MUJOCO)}, not {env!r}; leave it out")
    return f"{MUJOCO[env]}-{options.get('version', 'v5')}"


def _returns(env: str, returns: np.ndarray, rates: dict[str, list[float]], as_json: bool, seeds: list[str]) -> str:
    means, episodes = returns.mean(1), returns.shape[1]
    if as_json:
        found = {"return": means.tolist(), "std": returns.std(1).tolist(), **rates}
        return json.dumps({"env": env, "episodes": episodes, **found})
    columns = [means, returns.std(1), *rates.values()]
    rows = [(seed, *(f"{column[i]:.3f}" for column in columns)) for i, seed in enumerate(seeds)]
    low, high = statistics.stratified_bootstrap(means[:, None])
    table = aligned(("seed", "mean return", "std", *rates), rows)
    interval = f" [{low:.3f}, {high:.3f}]" if len(means) > 1 else ""
    return f"{table}\nIQM over seeds {statistics.iqm(means[:, None]):.3f}{interval}, {episodes} episodes each"


def _side_by_side(returns: dict[str, np.ndarray], as_json: bool, names: list[str]) -> str:
    """One agent in several simulators: intervals are over episodes, seed by seed, as the agents are the same."""
    if as_json:
        return "\n".join(_returns(env, each, {}, True, names) for env, each in returns.items())
    seeds, episodes = next(iter(returns.values())).shape
    header = ("seed", *(word for env in returns for word in (env, "std")))
    rows = [
        (names[i], *(f"{x:.3f}" for each in returns.values() for x in (each[i].mean(), each[i].std())))
        for i in range(seeds)
    ]
    lines = [aligned(header, rows)]
    for env, each in returns.items():
        low, high = statistics.stratified_bootstrap(each.T)
        lines.append(f"{env}: IQM over episodes {statistics.iqm(each.T):.3f} [{low:.3f}, {high:.3f}]")
    return "\n".join([*lines, f"{episodes} episodes of each seed in each"])


def film(run: str, env: str | None, options: dict[str, Any], episodes: int, seed: int, out: str | None) -> str:
    """Draws episodes of a policy and returns the names of the files."""
    agent = agents.load(run)
    env, options = environment_of(run, agent, env, options)
    out = video.default() if out is None else out
    return "\n".join(map(str, render.render(agent, env, out, episodes=episodes, key=seed, report=to_stderr, **options)))


def collection(env: str, out: str, found: Any, options: dict[str, Any]) -> str:
    """Collects a dataset into the file `out` and returns a summary of it."""
    for option in ("steps", "num_envs"):
        if (value := getattr(found, option)) is not None and value <= 0:
            raise UserError(f"--{option.replace('_', '-')} must be above 0, not {value}")
    if not out.endswith(d4rl.SUFFIXES):
        raise UserError(f"{out} is no HDF5 file; name one that ends in .hdf5")
    d4rl.check_new(Path(out))
    behaviour = found.behaviour or "scripted"
    if found.policy and found.behaviour:
        raise UserError(f"--policy and --behaviour {behaviour} both say who acts; leave one out")
    if not found.policy and envs.known(env) and behaviour not in (known := collected(env)):
        raise UserError(
            f"{env} has no behaviour {behaviour!r}; --behaviour takes {', '.join(known)}, --policy an agent"
        )
    progress = Progress()
    given: dict[str, Any] = {"copies": found.num_envs or 1, "options": options, "progress": progress}
    try:
        if found.policy:
            parts = _policies(env, found, given)
        elif behaviour in levels.LEVELS:
            parts = [_level(env, found, given)]
        else:
            player = _player(env, behaviour, found.noise, options)
            parts = [collect.collect(env, player, steps=found.steps, seed=found.seed, **given)]
    finally:
        progress.close()
    arrays = {field: np.concatenate([part[field] for part in parts]) for field in parts[0]}
    d4rl.write(out, arrays)
    scripted_ants = "infos/goal" in arrays  # their episodes do not end at a goal: terminals come in runs
    ends = np.asarray(arrays["timeouts"]) | (np.asarray(arrays["terminals"]) & (not scripted_ants))
    total = float(np.sum(arrays["rewards"]))
    line = f"{out}: {found.steps} transitions, {int(ends.sum())} episodes, sum of rewards {total:.1f}"
    reached = f", own goals reached in {walkers.reached(arrays, 0.5):.0%} of the episodes" if scripted_ants else ""
    return line + reached


def _player(env: str, behaviour: str, noise: float | None, options: dict[str, Any]) -> players.Player:
    """The player of a --behaviour that is no level; where `noise` is None, the behaviour's own."""
    given: dict[str, Any] = {} if noise is None else {"noise": noise}
    if behaviour == "random":
        if noise:
            raise UserError(f"collect: random actions take no noise, leave out {noise:g}")
        return players.uniform()
    name = envs.make(env, **options).spec.name
    if behaviour != "scripted":
        raise UserError(f"collect: unknown behaviour {behaviour!r}: 'random' or 'scripted'")
    if name.startswith("pointmaze-"):
        return walkers.pointmaze(**given)
    if name.startswith("antmaze-"):
        return walkers.antmaze(levels.walker(), **given)
    raise UserError(f"collect: {name} has no scripted behaviour (mazes have); use random or a policy")


def _policies(env: str, found: Any, given: dict[str, Any]) -> list[collect.Arrays]:
    """Rows of each policy in turn; each policy's last row ends an episode."""
    share, rest = divmod(found.steps, len(found.policy))
    if rest:
        raise UserError(f"--steps {found.steps} must be a multiple of the number of policies, {len(found.policy)}")
    parts = []
    for number, name in enumerate(found.policy):
        agent = agents.load(name)
        same_sizes(agent.spec, envs.make(env, **given["options"]).spec)
        player = players.policy(agent.sampler(), found.noise or 0.0)
        rows = collect.collect(env, player, steps=share, seed=found.seed + number, **given)
        rows["timeouts"][-1] = not rows["terminals"][-1]
        parts.append(rows)
    return parts


def _level(env: str, found: Any, given: dict[str, Any]) -> collect.Arrays:
    """Rows of one of the package's own behaviour policies, or of several side by side."""
    behaviour = levels.find(env)
    size = envs.make(env, **given["options"]).spec.obs_size
    if size != behaviour.obs_size:
        raise UserError(
            f"{env}'s behaviour policies observe {behaviour.obs_size} numbers, with these options it has {size}"
        )
    chosen = behaviour.chosen(found.behaviour)
    given = given | {"copies": found.num_envs or len(chosen)}
    if given["copies"] % len(chosen):
        raise UserError(f"--num-envs {found.num_envs} must be a multiple of {len(chosen)}, the policies that share it")
    player = players.policy(behaviour.sampler(chosen), found.noise or 0.0)
    return collect.collect(env, player, steps=found.steps, seed=found.seed, **given)


def comparison(runs: list[str], out: str, export: str | None = None) -> str:
    """Several runs in pictures, an HTML page beside them and tables; with `export` their scores in files.

    The tables are Markdown, and as wide as the terminal where they are printed into one.
    """
    for run in runs:
        folder.read_config(Path(run))
        manifest.check_name(Path(run))
        links.check(Path(run))
    page = Path(out).with_suffix(".html")
    if Path(out).suffix != ".png":
        raise UserError(f"--out {out} is no .png; pictures are PNGs, name one")
    tasks = Path(out).with_name(f"{Path(out).stem}-tasks.png")
    for path in (Path(out), page, tasks):
        if path.exists():
            raise UserError(f"--out {out}: {path} exists; name another file")
    folders: list[Path | str] = [Path(run) for run in runs]
    found = [run for each in folders for run in results.by_point(each)]
    exported = [] if export is None else [scores.export(found, Path(export))]
    plot.curves(folders, Path(out))
    between = pairs.compared(found)
    blocks = [report.compared(found), *between]
    files = [out, str(report.write_page(folders, page, between)), *across.written(found, tasks), *exported]
    return "\n".join([tables(blocks, page.name), *files])


def tables(blocks: Sequence[Block], page: str) -> str:
    """Tables as Markdown, or as wide as the terminal where they are printed into one; `page` has all columns."""
    if sys.stdout.isatty():
        return narrow.text(blocks, shutil.get_terminal_size().columns, page)
    return "\n\n".join(map(str, blocks))
