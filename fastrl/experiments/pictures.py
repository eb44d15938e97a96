"""The picture of a figure: one colour an arm, means and 95 % intervals over seeds.

A task's panels make a row; tasks of one panel stand side by side.
"""

import io
import math
import textwrap
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Canvas
from matplotlib.gridspec import GridSpec
from matplotlib.ticker import FuncFormatter, MaxNLocator
from scipy import stats

from fastrl.experiments import quantities
from fastrl.experiments.figures import Arm, Figure, Panel, Task
from fastrl.reports.plot import GREY, INK, PALETTE, short
from fastrl.runs import log, manifest

COLOURS = (*PALETTE, "#882255", "#999933")

Known = Mapping[str, tuple[Task, Mapping[str, Arm], Mapping[str, quantities.Rows]]]
"""Task, arms, and their logs, by the task's name."""


def draw(figure: Figure, known: Known, out: Path) -> None:
    """Writes the PNG, replacing one that is there."""
    panels = len(figure.panels)
    columns = min(2, len(known)) if panels == 1 else 3 if panels == 3 else 2
    cells = [(name, panel) for name in known for panel in figure.panels]
    rows = math.ceil(len(cells) / columns)
    width, height = 3.2 + 4.4 * columns, 1.5 + 3.4 * rows
    canvas = Canvas(figsize=(width, height), dpi=130)
    FigureCanvasAgg(canvas)
    colours: dict[str, str] = {}  # by label
    box = {"left": 0.75 / width, "right": 1 - 2.6 / width, "top": 1 - 1.0 / height, "bottom": 0.65 / height}
    grid = GridSpec(rows, columns, canvas, wspace=0.3, hspace=0.3, **box)
    for place, (name, panel) in enumerate(cells):
        row, column = divmod(place, columns)
        axes = canvas.add_subplot(grid[row, column])
        _, arms, logs = known[name]
        for arm, label in zip(panel.arms, panel.roles or [arms[arm].label for arm in panel.arms], strict=True):
            colour = colours.setdefault(label, COLOURS[len(colours) % len(COLOURS)])
            curve(axes, panel, logs[arm], colour)
        dress(axes, panel, name, logs[panel.arms[0]], bottom=place + columns >= len(cells))
    words(canvas, figure, known, (width, height))
    legend(canvas, colours, width, height)
    image = io.BytesIO()
    canvas.savefig(image, format="png", dpi=130)
    manifest.replace(out, image.getvalue())


def curve(axes: Axes, panel: Panel, rows: quantities.Rows, colour: str) -> None:
    """One arm's mean over seeds with its 95 % Student interval."""
    if panel.phase is not None:
        steps, values = quantities.inside(rows, panel.phase)
    else:
        steps, values = quantities.evaluations(rows) if panel.metric is None else quantities.series(rows, panel.metric)
    kept = steps >= 0
    steps, values = steps[kept], values[:, kept]
    mean = np.nanmean(values, 0)
    count = np.isfinite(values).sum(0)
    if len(values) > 1:
        half = stats.t.ppf(0.975, np.maximum(count - 1, 1)) * np.nanstd(values, 0, ddof=1) / np.sqrt(count)
        low, high = mean - half, mean + half
        if panel.metric is None and log.measure([row for row in rows if row["kind"] == "eval"]) != "return":
            low, high = np.clip(low, 0, 1), np.clip(high, 0, 1)
        axes.fill_between(steps, low, high, color=colour, alpha=0.15, lw=0)
    axes.plot(steps, mean, color=colour, lw=2.2, solid_capstyle="round")


def dress(axes: Axes, panel: Panel, task: str, rows: quantities.Rows, bottom: bool) -> None:
    """Titles, scales and grid of one panel."""
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(GREY)
    axes.grid(axis="y", color="#E3E3E3", lw=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, pad=5, labelsize=10, labelcolor=INK)
    axes.margins(x=0)
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: short(x)))
    axes.set_title(f"{task}: {panel.title}", fontsize=11, color=INK, loc="left")
    found = [row for row in rows if row["kind"] == "eval"]
    if panel.metric is None and log.measure(found) != "return":
        axes.set_ylim(-0.03, 1.03)
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{100 * y:.0f} %"))
    else:
        axes.yaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:,.6g}"))
    if panel.metric is not None and panel.metric.endswith("td"):
        axes.set_yscale("log")
    name = log.QUANTITIES[log.measure(found)] if panel.metric is None else panel.label
    axes.set_ylabel(name, fontsize=10.5, color=INK)
    if bottom:
        what = "online environment steps" if panel.phase is None else f"gradient steps of the phase {panel.phase}"
        axes.set_xlabel(what, fontsize=10.5, color=INK)


def words(canvas: Canvas, figure: Figure, known: Known, size: tuple[float, float]) -> None:
    """The figure's title, and what lines and bands are."""
    width, height = size
    seeds = sorted({quantities.seeds(rows) for _, _, logs in known.values() for rows in logs.values()})
    count = f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
    canvas.text(0.75 / width, 1 - 0.38 / height, figure.title, fontsize=15, fontweight="bold", color=INK)
    text = f"mean of {count} seeds, band: 95 % interval"
    canvas.text(0.75 / width, 1 - 0.62 / height, text, fontsize=10, color=GREY)


def legend(canvas: Canvas, colours: Mapping[str, str], width: float, height: float) -> None:
    """The arms' names in their colours, to the right."""
    at = 1 - 1.1 / height
    for label, colour in colours.items():
        lines = textwrap.wrap(label, 22)
        canvas.text(1 - 2.35 / width, at, "\n".join(lines), fontsize=11, fontweight="bold", color=colour, va="top")
        at -= (0.13 + 0.2 * len(lines)) / height
