"""`fastrl reproduce`: runs what a paper's figures need, draws them, and says of each claim whether it holds.

A task's folder holds its data, its agents and one run folder an arm: what several figures share is run once, and what
is there is not run again, so that an interrupted reproduction continues where it was.
"""

import dataclasses
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fastrl import api
from fastrl.engine.phase import Phase
from fastrl.errors import unknown
from fastrl.experiments import ocr_cft, pictures, quantities, side_by_side, tasks, wsrl
from fastrl.experiments.claims import Effect, examine
from fastrl.experiments.figures import Agent, Arm, Figure, Task
from fastrl.planning.builder import Builder
from fastrl.recipes import names
from fastrl.runs import lock, manifest
from fastrl.runs.progress import Progress

PAPERS = {"wsrl": wsrl, "ocr-cft": ocr_cft}
BUDGETS = {"small": tasks.SMALL, "paper": tasks.PAPER}

ARMS = "arms"  # the folder of a task's arms, beside those of its agents


def reproduce(
    paper: str,
    figures: Sequence[str],
    budget: str,
    seeds: int,
    out: Path,
    progress: Progress,
    command: Callable[[str], Sequence[str]] | None = None,
) -> str:
    """Runs, draws and judges; the text to print is also `claims.md` in `out`, its numbers `claims.json`.

    `figures` are numbers (none: all of the paper's). With a `command` for each run (`one`, by the run's name) they go
    side by side, a core each; without, one after another in this process.
    """
    chosen, known = select(paper, figures), BUDGETS[budget]
    wanted = {name: known[name] for figure in chosen for name in figure.tasks if name in known}
    for name, task in wanted.items():
        arms = PAPERS[paper].arms(task)  # type: ignore[attr-defined]
        needed = list(dict.fromkeys(arm for figure in chosen if name in figure.tasks for arm in figure.arms))
        starts = {arms[arm].start for arm in needed}
        manifest.make_folder(out / name)
        with lock.hold(out / name):
            collect(task, out / name, progress)
            agents = [f"{name}/{agent}" for agent in task.agents if agent in starts]
            for runs in (agents, [f"{name}/{ARMS}/{arm}" for arm in needed]):
                if command is None:
                    for run in runs:
                        one(paper, budget, seeds, out, run, progress)
                else:
                    side_by_side.run({run: command(run) for run in runs}, out / name / "logs", progress)
    return summarise(paper, chosen, wanted, out)


def one(paper: str, budget: str, seeds: int, out: Path, run: str, progress: Progress) -> None:
    """An agent (`TASK/AGENT`) or an arm (`TASK/arms/ARM`), if it has not been run; so its folder in `out` is called."""
    known = BUDGETS[budget]
    jobs: dict[str, tuple[Task, Agent | Arm]] = {}
    for name in dict.fromkeys(name for figure in select(paper, []) for name in figure.tasks if name in known):
        task = known[name]
        jobs |= {f"{name}/{agent}": (task, how) for agent, how in task.agents.items()}
        jobs |= {f"{name}/{ARMS}/{arm}": (task, how) for arm, how in PAPERS[paper].arms(task).items()}  # type: ignore[attr-defined]
    if run not in jobs:
        raise unknown("run", run, jobs, "TASK/AGENT or TASK/arms/ARM")
    task, how = jobs[run]
    home = out / task.name
    manifest.make_folder(home)
    collect(task, home, progress)
    progress.message(f"{run} ({how.recipe})")
    if isinstance(how, Agent):
        pretrain(task, how, home, out / run, seeds, progress)
    else:
        fine_tune(task, how, home, out / run, seeds, progress)


def select(paper: str, numbers: Sequence[str]) -> list[Figure]:
    """The figures that are named, all where none is."""
    known: Sequence[Figure] = PAPERS[paper].FIGURES  # type: ignore[attr-defined]
    by_number = {figure.number: figure for figure in known}
    for number in numbers:
        if number not in by_number:
            raise unknown(f"figure of {paper}", number, by_number, f"fastrl reproduce {paper} --list shows them")
    return [by_number[number] for number in numbers] or list(known)


def listing(paper: str) -> str:
    """The paper's figures and what is claimed of each."""
    lines: list[str] = []
    for figure in PAPERS[paper].FIGURES:  # type: ignore[attr-defined]
        lines.append(f"{figure.number:>10}  {figure.title} ({', '.join(figure.tasks)})")
        lines += [f"{'':12}- {claim.sentence}" for claim in figure.claims]
    return "\n".join(lines)


def collect(task: Task, home: Path, progress: Progress) -> None:
    """The task's data, where it is made here and not there yet."""
    data = home / "data.hdf5"
    if callable(task.dataset) and not data.exists():
        progress.message(f"{task.name}: collecting data")
        task.dataset(data)


def pretrain(task: Task, agent: Agent, home: Path, folder: Path, seeds: int, progress: Progress) -> None:
    """An agent that arms start from."""
    steps = agent.steps or task.pretrain_steps
    api.run(
        offline_part(agent.recipe),
        dataset=source(task, home),
        out=folder,
        seeds=seeds,
        pretrain_steps=steps,
        eval_every=max(1, steps // 5),
        eval_episodes=task.online["eval_episodes"],
        **agent.options,
        **shared(task, progress),
    )


def offline_part(recipe: str) -> Callable[[Builder], list[Phase]]:
    """The recipe that ends after the first phase of another."""

    def first(builder: Builder) -> list[Phase]:
        return names.find(recipe)(builder)[:1]

    first.__name__ = f"{recipe}, pre-training"
    return first


def fine_tune(task: Task, arm: Arm, home: Path, folder: Path, seeds: int, progress: Progress) -> None:
    """An arm, from the agent that it starts from."""
    start = None if arm.start is None else home / arm.start
    options = {**task.online, **task.by_recipe.get(arm.recipe, {}), **arm.options}
    data = source(task, home)
    api.run(arm.recipe, dataset=data, start=start, out=folder, seeds=seeds, **options, **shared(task, progress))


def shared(task: Task, progress: Progress) -> dict[str, Any]:
    """Arguments of every run on a task."""
    known = {"env": task.env, "env_options": task.env_options, "domain": task.domain}
    return {**known, "resume": "auto", "command": "fastrl reproduce", "progress": progress}


def source(task: Task, home: Path) -> Any:
    """Where the task's data is."""
    return home / "data.hdf5" if callable(task.dataset) else task.dataset


def summarise(paper: str, figures: Sequence[Figure], known: Mapping[str, Task], out: Path) -> str:
    """Draws the figures and examines their claims, from the logs in `out`.

    What they are drawn from is written beside them, a file for each task.
    """
    logs: dict[str, dict[str, quantities.Rows]] = {}
    arms: dict[str, Mapping[str, Arm]] = {}
    for name, task in known.items():
        arms[name] = PAPERS[paper].arms(task)  # type: ignore[attr-defined]
        logs[name] = {folder.name: quantities.read(folder) for folder in sorted((out / name / ARMS).iterdir())}
        manifest.replace(out / f"{name}.jsonl", "".join(quantities.lines(logs[name])).encode())
    lines, found = [f"# Claims of {paper}", ""], []
    for figure in figures:
        here = [name for name in figure.tasks if name in known]
        picture = out / f"{paper}-figure-{figure.number}.png"
        pictures.draw(figure, {name: (known[name], arms[name], logs[name]) for name in here}, picture)
        effects = [examine(claim, name, logs[name]) for claim in figure.claims for name in here]
        found += [{"figure": figure.number, **dataclasses.asdict(effect)} for effect in effects]
        lines += [f"## Figure {figure.number}: {figure.title}", "", f"![{figure.title}]({picture.name})", ""]
        lines += [*table(effects), ""]
    lines += ["## Tasks", "", *(f"- **{name}** ({task.env}): {task.why}." for name, task in known.items())]
    text = "\n".join(lines)
    manifest.replace(out / "claims.md", text.encode() + b"\n")
    manifest.replace(
        out / "claims.json", (json.dumps({"paper": paper, "claims": plain(found)}, indent=1) + "\n").encode()
    )
    return text


def table(effects: Sequence[Effect]) -> list[str]:
    """Lines of Markdown."""
    rows = ["| claim | task | seeds | effect, 95 % interval | verdict |", "|---|---|---|---|---|"]
    for one in effects:
        less = f", at least {number(-one.margin)}" if one.margin else ""
        shown = f"{number(one.effect)} [{number(one.low)}, {number(one.high)}]{less}"
        rows.append(f"| {one.claim} | {one.task} | {one.seeds} | {shown} | **{one.verdict}** |")
    return rows


def number(value: float) -> str:
    """To three digits, without an exponent where it is large."""
    return f"{value:,.0f}" if 100 <= abs(value) < math.inf else f"{value:.3g}"


def plain(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """JSON has no infinities."""
    return [{k: v if not isinstance(v, float) or math.isfinite(v) else None for k, v in row.items()} for row in rows]
