"""Run folders as arrays of scores: for each algorithm [seeds, tasks], and [seeds, tasks, evaluations].

Seeds of different tasks stand in one row without belonging together: the statistics redraw them task by task.
"""

import dataclasses
import itertools
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fastrl import statistics
from fastrl.reports.results import Results
from fastrl.types import UserError


@dataclasses.dataclass(frozen=True)
class Table:
    """Every algorithm on every task."""

    tasks: list[str]
    finals: statistics.Scores  # [seeds, tasks], each run's last evaluation
    curves: statistics.Scores  # [seeds, tasks, N]; empty where the runs share fewer than two evaluations
    steps: np.ndarray  # [N] online environment steps of those evaluations
    unit: str  # of the scores, in words
    comparable: bool  # whether a score of one task can be averaged with one of another
    left_out: list[str]  # seeds beyond the fewest that an algorithm has on a task, in words


def table(runs: Sequence[Results]) -> Table:
    """The scores of runs; `UserError` where an algorithm has no run, or two, on a task of another algorithm.

    An algorithm is a recipe, or a point of a sweep; where two runs of one recipe have the same task, those of that
    recipe go by the names of their folders. A score is 1 where the D4RL or normalised score is 100. Where a task has
    neither, all values stay as they are.
    """
    cells: dict[tuple[str, str], Results] = {}
    for run, name in zip(runs, _names(runs), strict=True):
        key = (name, task(run))
        if key in cells:
            raise UserError(f"{cells[key].folder} and {run.folder} are both {name} on {key[1]}; name one of them")
        cells[key] = run
    names, tasks = (list(dict.fromkeys(key[place] for key in cells)) for place in (0, 1))
    for name, where in itertools.product(names, tasks):
        if (name, where) not in cells:
            raise UserError(f"there is no run of {name} on {where}; scores need every algorithm on every task")
    scaled = all(run.scale for run in runs)
    rates = all(run.rate for run in runs)
    shared = set.intersection(*(set(run.online.tolist()) for run in runs))
    steps = np.array(sorted(shared)) if len(shared) > 1 else np.empty(0, int)
    finals, curves, left_out = {}, {}, []
    for name in names:
        each = [cells[name, where] for where in tasks]
        fewest = min(len(run.values) for run in each)
        left_out += [
            f"{name} on {where}: {fewest} of {len(run.values)} seeds, as another task has no more"
            for where, run in zip(tasks, each, strict=True)
            if len(run.values) > fewest
        ]
        values = [_scores(run, scaled)[:fewest] for run in each]
        finals[name] = np.stack([rows[:, -1] for rows in values], axis=1)
        if steps.size:
            places = [[int(np.flatnonzero(run.online == step)[-1]) for step in steps] for run in each]
            curves[name] = np.stack([rows[:, place] for rows, place in zip(values, places, strict=True)], axis=1)
    kinds = " or ".join(sorted({run.scale.name for run in runs if run.scale}))
    unit = f"1 is 100 of the {kinds}" if scaled else "shares" if rates else "values as they are"
    return Table(tasks, finals, curves, steps, unit, scaled or rates, left_out)


def export(runs: Sequence[Results], path: Path) -> str:
    """Writes the final scores to a file, the curves to another beside it, and returns what they hold, in words."""
    found = table(runs)
    beside = path.with_name(f"{path.stem}-curves{path.suffix}")
    for each in (path, beside):
        if each.exists():
            raise UserError(f"--export {path}: {each} exists; name another file")
    tasks = "1 task" if len(found.tasks) == 1 else f"{len(found.tasks)} tasks"
    lines = [f"{statistics.save(path, found.finals)}: {', '.join(found.finals)}: seeds x {tasks}; {found.unit}"]
    if found.steps.size:
        statistics.save(beside, found.curves)
        lines.append(f"{beside}: the same x {found.steps.size} evaluations, at online steps {_listed(found.steps)}")
    lines.append(f"tasks in order: {', '.join(found.tasks)}")
    return "\n".join([*lines, *found.left_out])


def task(run: Results) -> str:
    """The environment of a run, with its options."""
    options = run.config.get("identity", {}).get("env_options", {})
    return " ".join([str(run.config.get("env", "-")), *(f"{name}={value}" for name, value in options.items())])


def _names(runs: Sequence[Results]) -> list[str]:
    keys = [(run.label, task(run)) for run in runs]
    crowded = {key[0] for key in keys if keys.count(key) > 1}
    apart = lambda run: ": ".join(filter(None, (run.folder.absolute().name, run.point)))
    return [apart(run) if run.label in crowded else run.label for run in runs]


def _scores(run: Results, scaled: bool) -> np.ndarray:
    """[seeds, evaluations]."""
    return run.scale.of(run.values) / 100 if scaled and run.scale else run.values


def _listed(steps: np.ndarray) -> str:
    words = [f"{step}" for step in steps]
    return ", ".join(words if len(words) <= 12 else [*words[:3], "...", words[-1]])
