"""What a run found, as a page of Markdown and as a table of several runs.

It states numbers with their intervals and concludes no more than they support.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fastrl import statistics
from fastrl.reports import html
from fastrl.reports.plot import curves
from fastrl.reports.results import Results, by_point, load
from fastrl.reports.tables import Block, Table
from fastrl.runs import manifest
from fastrl.statistics import Interval

PICTURE = "curves.png"
REPORT, PAGE = "report.md", "report.html"
FEW = 5
"""With fewer seeds all lie on one side by chance in more than 1 case of 10, so nothing is concluded."""


def write_report(folder: Path | str) -> Path:
    """Writes `curves.png`, `report.md` and `report.html` into a run folder; returns the path of `report.md`."""
    run, points = load(folder), by_point(folder)
    curves([run.folder], run.folder / PICTURE)
    parts = blocks(run, points)
    manifest.replace(run.folder / REPORT, ("\n\n".join(map(str, parts)) + "\n").encode(errors="surrogateescape"))
    write_page([run.folder], run.folder / PAGE)
    return run.folder / REPORT


def write_page(folders: list[Path | str], out: Path, between: Sequence[Block] = ()) -> Path:
    """Writes one HTML page of run folders: curves, tables (with those `between` runs) and the options that differ."""
    loaded = [by_point(folder) for folder in folders]
    runs = [run for points in loaded for run in points]
    details = [blocks(load(points[0].folder), points) for points in loaded]
    manifest.replace(out, html.page(runs, [compared(runs), *between], details))
    return out


def blocks(run: Results, points: list[Results]) -> list[Block]:
    """A run's page in parts, as Markdown and HTML show it; `points` are those of `by_point`."""
    found = [*_outcome(run), *_seeds(run)] if len(points) == 1 else _points(points)
    return [part for part in [*_what(run), *found, *_cost(run), *_command(run)] if part]


def table(folders: list[Path | str]) -> str:
    """One Markdown table over several run folders, a row each; with scores where a task of theirs has any."""
    return str(compared([run for folder in folders for run in by_point(folder)]))


def compared(runs: list[Results]) -> Table:
    """The table of `table`."""
    scored = any(run.scale for run in runs)
    head = ["run", "recipe", "environment", "seeds", "online steps", "measure"]
    head += ["at the switch", "final", "best", "final minus switch"]
    head += ["score of the final"] if scored else []
    rows = [[name, *_row(run, scored)] for name, run in zip(html.named(runs), runs, strict=True)]
    return Table([*head, "wall time"], rows)


def _points(points: list[Results]) -> list[Block]:
    """The points of a sweep, a row each: the seeds of every point are the same."""
    head = ["point", "seeds", f"{points[0].quantity} at the {points[0].origin}", "final", "best"]
    head += [f"{points[0].scale.name} of the final"] if points[0].scale else []
    rows = []
    for run in points:
        found = statistics.summary(run.values)
        before = "-" if run.switch is None else _estimate(run, run.values[:, run.switch])
        final = with_interval(run, found.final_iqm, found.final_interval)
        rows.append([run.point, str(len(run.values)), before, final])
        rows[-1].append(with_interval(run, found.best_iqm, found.best_interval))
        rows[-1] += [_scored(run, found.final_iqm, found.final_interval)] if run.scale else []
    return ["## Points of the sweep", Table(head, rows)]


def _row(run: Results, scored: bool) -> list[str]:
    """What follows a run's name in `compared`."""
    found = statistics.summary(run.values)
    switch, difference = "-", "-"
    if run.switch is not None:
        switch = _estimate(run, run.values[:, run.switch])
        if run.went_online:
            difference = _estimate(run, run.values[:, -1] - run.values[:, run.switch])
    score = _scored(run, found.final_iqm, found.final_interval) + (f", {run.scale.name}" if run.scale else "")
    return [
        str(run.config.get("recipe", "-")),
        str(run.config.get("env", "-")),
        f"{len(run.values)} ({run.left_out} frozen)" if run.frozen else str(len(run.values)),
        f"{run.online[-1]:,}",
        run.measure,
        switch,
        with_interval(run, found.final_iqm, found.final_interval),
        with_interval(run, found.best_iqm, found.best_interval),
        difference,
        *([score] if scored else []),
        _duration(sum(_seconds(phase) for phase in run.timing)) if run.timing else "-",
    ]


def _what(run: Results) -> list[Block]:
    """Title, picture and the run in one table."""
    config = run.config
    options = config.get("identity", {}).get("env_options", {})
    named = " ".join([str(config.get("env")), *(f"{name}={value}" for name, value in options.items())])
    rows: list[list[Any]] = [["recipe", config.get("recipe")], ["environment", named if config.get("env") else None]]
    rows += [["dataset", config.get("dataset")], ["agent at the start", run.start], ["seeds", len(run.values)]]
    rows += [[f"left out: seed {lost.seed}", f"frozen at its last good update; {lost.why}"] for lost in run.frozen]
    rows += [["offline gradient steps", f"{run.offline[-1]:,}" if run.offline[-1] else None]]
    rows += [["online environment steps, per seed", f"{run.online[-1]:,}"]]
    rows += [["environment steps of evaluations, per seed at most", f"{run.eval_steps:,}" if run.eval_steps else None]]
    shown = [[name, str(value)] for name, value in rows if value is not None]
    title = f"# {run.label}" + (f" on {config['env']}" if config.get("env") else "")
    return [title, f"![evaluations]({PICTURE})", Table(["what ran", ""], shown)]


def _outcome(run: Results) -> list[Block]:
    """Before, after, best, and the difference, with intervals, as they are and as scores."""
    found, values = statistics.summary(run.values), run.values
    centre = "interquartile mean" if len(values) >= 4 else "mean"
    known: list[tuple[str, float, Interval]] = []
    if run.switch is not None and run.went_online:
        what = "learning" if run.scratch else "fine-tuning"
        known.append((f"before {what} (at the {run.origin})", *_estimated(values[:, run.switch])))
        later = run.switch + 1 + int(np.argmin(values[:, run.switch + 1 :].mean(0)))
        known.append((f"lowest after it ({_where(run, later)})", *_estimated(values[:, later])))
    known.append(("final", found.final_iqm, found.final_interval))
    known.append((f"best ({_where(run, found.best_index)})", found.best_iqm, found.best_interval))
    rows = [[what, with_interval(run, x, ends), _scored(run, x, ends)] for what, x, ends in known]
    statement = ""
    if run.switch is not None and run.went_online:
        difference = values[:, -1] - values[:, run.switch]
        rows.append([f"final minus {run.origin}, seed by seed", _estimate(run, difference), ""])
        statement = _statement(run, difference)
    head = [run.quantity, f"{centre} over {_count(len(values))}, 95 % interval"]
    if run.scale is None:
        rows = [row[:2] for row in rows]
    else:
        head.append(run.scale.name)
    return ["## Outcome", Table(head, rows), statement, _references(run)]


def _statement(run: Results, difference: np.ndarray) -> str:
    """What the difference supports, in one sentence: below `FEW` seeds, how many went which way."""
    low, high = statistics.stratified_bootstrap(difference)
    if not np.isfinite(difference).all():
        bad = ", ".join(str(run.seeds[place]) for place in np.flatnonzero(~np.isfinite(difference)))
        return f"**The {run.quantity} was not finite (seed {bad}).**"
    if math.isnan(low):
        return (
            f"With {_count(len(difference))} there is no interval: whether the {run.quantity} at the"
            f" end differs from that at the {run.origin} cannot be said."
        )
    method = "Intervals are stratified bootstrap percentiles over seeds (2,000 draws)"
    if (seeds := len(difference)) < FEW:
        above, below = int((difference > 0).sum()), int((difference < 0).sum())
        chance = (
            f": chance alone puts {seeds} on one side in 1 case of {2 ** (seeds - 1)}"
            if seeds in (above, below)
            else ""
        )
        return (
            f"**{above} of {seeds} seeds end above their {run.quantity} at the {run.origin}, {below} below.** So few"
            f" support no verdict{chance}. {method} and with so few too narrow."
        )
    relation = "above" if low > 0 else "below" if high < 0 else "not clearly different from"
    verb = "is" if relation.startswith("not") else "lies"
    return f"**The {run.quantity} at the end {verb} {relation} the {run.quantity} at the {run.origin}.** {method}."


def _seeds(run: Results) -> list[Block]:
    """Every seed's numbers."""
    head, columns = ["seed"], []
    if run.switch is not None and run.went_online:
        head.append(f"at the {run.origin}")
        columns.append(run.values[:, run.switch])
    head += ["final", "best"]
    columns += [run.values[:, -1], run.values.max(1)]
    rows = [[str(seed), *(number(run, float(column[n])) for column in columns)] for n, seed in enumerate(run.seeds)]
    rows += [[str(lost.seed), "frozen", *[""] * (len(head) - 2)] for lost in run.frozen]
    return [f"## Each seed ({run.quantity})", Table(head, rows)]


def _cost(run: Results) -> list[Block]:
    """Wall time and speed of each phase; steps are those of one seed."""
    if not run.timing:
        return []
    rows = []
    for phase in run.timing:
        seconds, steps = float(phase["seconds"]), int(phase["steps"])
        rate = f"{steps / seconds:,.0f}" if seconds > 0 else "-"
        rows.append([str(phase["name"]), f"{steps:,}", _duration(seconds), rate])
        rows[-1] += [_duration(float(phase.get(f"{name}_seconds", 0.0))) for name in ("evaluation", "compile")]
    head = ["phase", "steps per seed", "wall time", "steps/s", "evaluation", "compile"]
    total = _duration(sum(_seconds(phase) for phase in run.timing))
    return ["## Cost", Table(head, rows), f"{total} in all, {_count(len(run.values))} at once."]


def _command(run: Results) -> list[Block]:
    command = run.config.get("command")
    if not command:
        return []
    line = command if isinstance(command, str) else " ".join(command)
    return ["## Command", f"```\n{line}\n```"]


def _seconds(phase: dict[str, Any]) -> float:
    names = ("seconds", "compile_seconds", "evaluation_seconds")
    return sum(float(phase.get(name, 0.0)) for name in names)


def _estimate(run: Results, x: np.ndarray) -> str:
    return with_interval(run, *_estimated(x))


def _estimated(x: np.ndarray) -> tuple[float, Interval]:
    return statistics.iqm(x), statistics.stratified_bootstrap(x)


def with_interval(run: Results, centre: float, interval: Interval) -> str:
    """A number of a run's measure and its interval, where there is one."""
    text = number(run, centre)
    if math.isnan(interval[0]):
        return text
    return f"{text} [{number(run, interval[0])}, {number(run, interval[1])}]"


def _scored(run: Results, centre: float, interval: Interval) -> str:
    """The same as a score."""
    if run.scale is None:
        return "-"
    middle, low, high = (f"{score:.1f}" for score in run.scale.of(np.array([centre, *interval])))
    shown = middle if math.isnan(interval[0]) else f"{middle} [{low}, {high}]"
    return "not finite" if math.isnan(centre) else shown


def _references(run: Results) -> str:
    """What 0 and 100 of the score are."""
    if run.scale is None:
        return ""
    low, high = (number(run, end) for end in (run.scale.low, run.scale.high))
    ends = f"{run.scale.name[0].upper()}{run.scale.name[1:]}: 0 is a {run.quantity} of {low}, 100 one of {high}"
    if run.scale.name.startswith("D4RL"):
        return f"{ends}, D4RL's references; it compares with published scores where the data were D4RL's own."
    return f"{ends}, measured here (`fastrl scores {run.config['env']}`); it compares with no score of D4RL."


def number(run: Results, x: float) -> str:
    """A number of a run's measure as people write it."""
    if math.isnan(x):
        return "not finite"
    if run.rate:
        return f"{100 * x:.1f} %"
    return f"{x:,.1f}" if abs(x) >= 10 else f"{x:.3f}"


def _count(seeds: int) -> str:
    return "1 seed" if seeds == 1 else f"{seeds} seeds"


def _where(run: Results, index: int) -> str:
    """The place of an evaluation in words."""
    if run.online[index] > 0:
        return f"at {run.online[index]:,} online steps"
    return f"at {run.offline[index]:,} offline steps"


def _duration(seconds: float) -> str:
    """Seconds in the largest units that matter."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
