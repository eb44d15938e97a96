"""The picture of one or several runs: evaluations against online steps, pre-training to the left.

It draws what `results` loads, with matplotlib's objects only, so that no global state changes.
"""

import io
import textwrap
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import FuncFormatter, MaxNLocator

from fastrl import statistics
from fastrl.errors import printable
from fastrl.reports.results import Results, by_point
from fastrl.runs import manifest

# Okabe and Ito's colours, told apart with every kind of colour blindness
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#4D4D4D")
INK, GREY = "#222222", "#767676"
WARMUP = "warmup"


def curves(folders: list[Path | str], out_png: Path | str, labels: list[str] | None = None) -> Path:
    """Draws the evaluations of run folders into a PNG of 1600 x 900 pixels and returns its path."""
    runs = [run for folder in folders for run in by_point(folder)]
    names = _names(runs) if labels is None else list(labels)
    figure = Figure(figsize=(10, 5.625), dpi=160)
    FigureCanvasAgg(figure)
    left, right = _panels(figure, runs)
    panels = [axes for axes in (left, right) if axes is not None]
    for number, run in enumerate(runs):
        _draw(run, left, right, PALETTE[number % len(PALETTE)], alone=len(runs) == 1)
    for axes in panels:
        style(axes)
    _limits(panels, runs)
    row = 0
    for axes in panels:
        row = _boundaries(axes, runs, axes is left, row)
    if left is not None and right is not None:  # the zero where they meet is written once
        left.xaxis.set_major_formatter(FuncFormatter(lambda x, _: short(x) if x else ""))
    if right is not None and len(runs) == 1 and runs[0].switch is not None:
        right.axhline(statistics.iqm(runs[0].values[:, runs[0].switch]), color=INK, lw=1.1, ls=(0, (1, 3)), zorder=3)
    _words(figure, panels, left, right, runs)
    if len(runs) > 1:
        _label_ends(panels[-1], runs, names)
    for text in figure.findobj(Text):  # names come from files: they are no formulas
        text.set(text=printable(text.get_text()), parse_math=False)
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=160)
    out = Path(out_png)
    manifest.replace(out, image.getvalue())
    return out


def _names(runs: list[Results]) -> list[str]:
    """Recipes, with the folder's name where two runs share one."""
    names = [run.label for run in runs]
    return [
        name if names.count(name) == 1 else f"{name} ({run.folder.name})" for name, run in zip(names, runs, strict=True)
    ]


def _panels(figure: Figure, runs: list[Results]) -> tuple[Axes | None, Axes | None]:
    """Offline and online panels, one scale; a panel nothing would be drawn in is left out."""
    offline = any((run.online == 0).sum() > 1 for run in runs)
    online = any(run.went_online for run in runs)
    edge = 0.97 if len(runs) == 1 else 0.79
    box = {"left": 0.085, "right": edge, "top": 0.785, "bottom": 0.135}
    if offline and online:
        grid = figure.add_gridspec(1, 2, width_ratios=[1, 3], wspace=0.03, **box)
        left = figure.add_subplot(grid[0])
        return left, figure.add_subplot(grid[1], sharey=left)
    axes = figure.add_subplot(figure.add_gridspec(1, 1, **box)[0])
    return (None, axes) if online else (axes, None)


def _draw(run: Results, left: Axes | None, right: Axes | None, colour: str, alone: bool) -> None:
    """A run's seeds, band and centre, in the panels its evaluations belong to; frozen seeds where it stands alone."""
    frozen = np.array([lost.values for lost in run.frozen]) if alone and run.frozen else np.empty((0, len(run.online)))
    before = run.online == 0
    if left is not None and before.any():
        steps = run.offline[before] - run.offline[before][-1]
        _lines(left, steps, run.values[:, before], colour, alone)
        _frozen(left, steps, frozen[:, before])
    if right is not None and run.went_online:
        after = ~before
        if run.switch is not None:
            after[run.switch] = True
        _lines(right, run.online[after], run.values[:, after], colour, alone)
        _frozen(right, run.online[after], frozen[:, after])


def _lines(axes: Axes, steps: np.ndarray, values: np.ndarray, colour: str, thin: bool) -> None:
    centre = [statistics.iqm(column) for column in values.T]
    if len(values) > 1:
        band = np.array([statistics.stratified_bootstrap(column) for column in values.T])
        axes.fill_between(steps, band[:, 0], band[:, 1], color=colour, alpha=0.18, lw=0, zorder=2)
        if thin:
            axes.plot(steps, values.T, color=colour, lw=0.7, alpha=0.35, zorder=3)
    marker = "o" if len(steps) == 1 else None
    axes.plot(steps, centre, color=colour, lw=2.4, zorder=4, marker=marker, solid_capstyle="round")


def _frozen(axes: Axes, steps: np.ndarray, values: np.ndarray) -> None:
    """Seeds [S, evals] that stopped learning: grey, with a cross where their last evaluation is."""
    for line in values:
        known = np.flatnonzero(np.isfinite(line))
        if known.size:
            axes.plot(steps[known], line[known], color=GREY, lw=0.9, ls=(0, (4, 2)), zorder=3)
        if known.size and known[-1] < len(line) - 1:
            axes.plot(steps[known[-1]], line[known[-1]], "x", color=INK, ms=8, mew=1.6, zorder=5)


def style(axes: Axes) -> None:
    """The look of a panel, without its limits."""
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(GREY)
    axes.grid(axis="y", color="#E3E3E3", lw=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, pad=6, labelsize=11, labelcolor=INK)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: short(x)))


def _limits(panels: list[Axes], runs: list[Results]) -> None:
    """One scale for all; where there are only rates, it shows 0 to 100 %."""
    for axes in panels:
        axes.margins(x=0.0)
        axes.xaxis.set_major_locator(MaxNLocator(7 if axes is panels[-1] else 3, steps=[1, 2, 5, 10]))
    panels[-1].autoscale_view()
    if all(run.rate for run in runs):
        panels[0].set_ylim(-0.03, 1.03)
        panels[0].set_yticks(np.linspace(0, 1, 6))
        panels[0].yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{100 * y:.0f} %"))
    else:
        panels[0].yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
        panels[0].yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:,.6g}"))
    for axes in panels[1:]:
        axes.tick_params(axis="y", labelleft=False)


def _boundaries(axes: Axes, runs: list[Results], offline: bool, row: int) -> int:
    """Labelled lines where phases begin; warm-ups shaded. Equal boundaries of several runs are one.

    The first label stands in `row`, the next ones a row higher each (three in turn); returns the next row.
    """
    drawn: set[tuple[str, int]] = set()
    for number, run in enumerate(runs):
        spots = run.boundaries()
        ends = [spot[1] for spot in spots[1:]] + [int(run.online[-1])]
        at_switch = 0 if run.switch is None else int(run.offline[run.switch])
        for (name, online, gradients), end in zip(spots, ends):
            at_start = online == 0 and gradients == at_switch and run.went_online
            if (online > 0 or at_start) == offline:
                continue
            at = gradients - at_switch if offline else online
            if (name, at) in drawn:
                continue
            drawn.add((name, at))
            if name == WARMUP and not offline and len(runs) == 1:
                axes.axvspan(online, end, color="#F0F0F0", lw=0, zorder=0)
            if name == WARMUP and len(runs) > 1:
                continue
            colour = GREY if len(runs) == 1 else PALETTE[number % len(PALETTE)]
            label = {WARMUP: "warm-up", "finetune": "learning" if run.scratch else "fine-tuning"}.get(name, name)
            _mark(axes, at, label, row, colour)
            row += 1
    return row


def _mark(axes: Axes, at: int, label: str, row: int, colour: str) -> None:
    """One thin line with its label above the panel, in one of three rows."""
    axes.axvline(at, color=colour, lw=0.9, zorder=1)
    axes.annotate(
        label,
        (at, 1.0),
        xycoords=("data", "axes fraction"),
        xytext=(3, 4 + 12 * (row % 3)),
        textcoords="offset points",
        fontsize=9.5,
        color=colour,
        annotation_clip=False,
    )


def _words(figure: Figure, panels: list[Axes], left: Axes | None, right: Axes | None, runs: list[Results]) -> None:
    """Title, what the lines are, and the axes' names with units."""
    seeds = sorted({len(run.values) for run in runs})
    environments = sorted({str(run.config["env"]) for run in runs if run.config.get("env")})
    title = " and ".join(environments) or "evaluation"
    if len(runs) == 1 and runs[0].config.get("recipe"):
        title = f"{runs[0].config['recipe']} on {title}"
    figure.text(0.085, 0.945, title, fontsize=16, fontweight="bold", color=INK)
    count = f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
    if seeds == [1]:
        subtitle = "one seed"
    else:
        centre = "interquartile mean" if seeds[-1] >= 4 else "mean"
        if seeds[0] < 4 <= seeds[-1]:
            centre += " (mean below 4 seeds)"
        thin = "; thin: each seed" if len(runs) == 1 else ""
        subtitle = f"{count} seeds; thick: {centre}, band: 95 % bootstrap interval{thin}"
    if right is not None and len(runs) == 1 and runs[0].switch is not None:
        subtitle += f"; dotted: level at the {runs[0].origin}"
    left_out = [f"{run.left_out} of {run.label}" if len(runs) > 1 else run.left_out for run in runs if run.frozen]
    if left_out:
        words = (
            f"left out, as numbers stopped being finite{' (cross)' if len(runs) == 1 else ''}: {', '.join(left_out)}"
        )
        figure.text(0.085, 0.867, words, fontsize=10.5, color=INK)
    figure.text(0.085, 0.902, subtitle, fontsize=10.5, color=GREY)
    quantities = dict.fromkeys(run.quantity if run.rate else "return of an episode" for run in runs)
    panels[0].set_ylabel(" or ".join(quantities), fontsize=12, color=INK)
    if left is not None:
        text = "offline gradient steps" if right is None else "offline (gradient steps)"
        left.set_xlabel(text, fontsize=12, color=INK)
    if right is not None:
        right.set_xlabel("online (environment steps)", fontsize=12, color=INK)


def _label_ends(axes: Axes, runs: list[Results], names: list[str]) -> None:
    """Each run's name beside the end of its curve, pushed apart where two would overlap."""
    low, high = axes.get_ylim()
    wrapped = [textwrap.fill(name, 18) for name in names]
    ends = [(statistics.iqm(run.values[:, -1]) - low) / (high - low) for run in runs]
    places: dict[int, float] = {}
    floor = -1.0
    for number in np.argsort(ends):
        rows = len(wrapped[int(number)].splitlines())
        floor = places[int(number)] = max(float(ends[number]), floor + 0.02 + 0.05 * rows)
    over = max(0.0, floor - 1.0)
    for number, place in places.items():
        axes.annotate(
            wrapped[number],
            (1.0, place - over),
            xycoords="axes fraction",
            xytext=(8, 0),
            textcoords="offset points",
            va="center",
            fontsize=11.5,
            fontweight="bold",
            color=PALETTE[number % len(PALETTE)],
            annotation_clip=False,
        )


def short(steps: float) -> str:
    """A count of steps as people write it: 250k, 1.5M."""
    size = abs(steps)
    for unit, name in ((1e6, "M"), (1e3, "k")):
        if size >= unit:
            return f"{steps / unit:.4g}{name}".replace("-", "\N{MINUS SIGN}")
    return f"{steps:.4g}".replace("-", "\N{MINUS SIGN}")
