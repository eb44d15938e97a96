"""The picture of several algorithms over several tasks: a performance profile and a sample-efficiency curve."""

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from fastrl import statistics
from fastrl.reports.plot import GREY, INK, PALETTE, short, style
from fastrl.reports.results import Results
from fastrl.reports.scores import Table, table, task
from fastrl.runs import manifest
from fastrl.types import UserError

THRESHOLDS = 201


def written(runs: Sequence[Results], out: Path) -> list[str]:
    """The picture's path where the runs have several tasks, or why there is none, in words; nothing for one task."""
    if len({task(run) for run in runs}) < 2:
        return []
    try:
        found = table(runs)
    except UserError as error:
        return [f"no picture over the tasks: {error}"]
    if not found.comparable:
        return ["no picture over the tasks: not every task has a normalised score (fastrl scores measures one)"]
    return [str(picture(found, out))]


def picture(found: Table, out: Path) -> Path:
    """Draws both into a PNG of 1600 x 900 pixels; the curve is left out where no evaluations are shared."""
    figure = Figure(figsize=(10, 5.625), dpi=160)
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, 2 if found.curves else 1, squeeze=False)[0]
    figure.subplots_adjust(left=0.085, right=0.97, top=0.785, bottom=0.135, wspace=0.22)
    _profiles(panels[0], found)
    if found.curves:
        _efficiency(panels[1], found)
    for axes in panels:
        style(axes)
        axes.margins(x=0.0)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:,.6g}"))
    panels[0].xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.6g}"))
    panels[0].legend(frameon=False, fontsize=11, loc="best", labelcolor="linecolor")
    title = f"{len(found.tasks)} tasks: {', '.join(found.tasks)}"
    figure.text(0.085, 0.945, title if len(title) < 80 else f"{len(found.tasks)} tasks", fontsize=16, fontweight="bold")
    seeds = sorted({len(scores) for scores in found.finals.values()})
    count = f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
    words = f"{count} seeds of each task; band: 95 % stratified bootstrap interval; score: {found.unit}"
    figure.text(0.085, 0.902, words, fontsize=10.5, color=GREY)
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=160)
    manifest.replace(out, image.getvalue())
    return out


def _profiles(axes: Axes, found: Table) -> None:
    """How many runs end above each score."""
    known = np.concatenate([scores.ravel() for scores in found.finals.values()])
    known = known[np.isfinite(known)]
    thresholds = np.linspace(min(0.0, known.min(initial=0.0)), max(1.0, known.max(initial=1.0)), THRESHOLDS)
    for number, (name, scores) in enumerate(found.finals.items()):
        _line(axes, statistics.performance_profile(scores, thresholds), name, number)
    axes.set_ylim(-0.03, 1.03)
    axes.set_title("performance profile", fontsize=12, color=INK, loc="left")
    axes.set_xlabel("final score", fontsize=12, color=INK)
    axes.set_ylabel("share of runs above it", fontsize=12, color=INK)


def _efficiency(axes: Axes, found: Table) -> None:
    """The interquartile mean over seeds and tasks while learning."""
    for number, (name, scores) in enumerate(found.curves.items()):
        _line(axes, statistics.sample_efficiency(scores, found.steps), name, number)
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: short(x)))
    axes.set_title("sample efficiency", fontsize=12, color=INK, loc="left")
    axes.set_xlabel("online environment steps", fontsize=12, color=INK)
    axes.set_ylabel("interquartile mean of the score", fontsize=12, color=INK)


def _line(axes: Axes, curve: statistics.Curve, name: str, number: int) -> None:
    colour = PALETTE[number % len(PALETTE)]
    axes.fill_between(curve.at, curve.low, curve.high, color=colour, alpha=0.18, lw=0, zorder=2)
    axes.plot(curve.at, curve.value, color=colour, lw=2.4, zorder=4, label=name, solid_capstyle="round")
