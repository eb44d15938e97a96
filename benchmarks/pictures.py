"""Two pictures of one machine's lines: a roofline, and how throughput grows with seeds and with copies.

Both ceilings of the roofline were measured in the processes of the points; a line's own operations and bytes say where
its point stands. matplotlib's objects only, as in `fastrl.reports.plot`.
"""

import io
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from fastrl.benchmarks import provenance, schema
from fastrl.errors import UserError
from fastrl.reports.plot import GREY, INK, PALETTE, short
from fastrl.runs import manifest

Line = dict[str, Any]
BOX = {"left": 0.085, "right": 0.97, "top": 0.82, "bottom": 0.135}
APART = 0.045  # of the panel's height, between two labels


def draw(lines: Sequence[Line], folder: Path) -> list[Path]:
    """Writes what can be drawn of `roofline.png` and `scaling.png` into a folder; returns their paths."""
    lines = [line for line in lines if "checkout" not in line]
    machines = sorted({provenance.machine(line) for line in lines})
    if len(machines) != 1:
        raise UserError(f"a picture is of one machine, and there are {len(machines)}; name files of one")
    folder.mkdir(parents=True, exist_ok=True)
    drawn = {"roofline.png": _roofline(lines, machines[0]), "scaling.png": _scaling(lines, machines[0])}
    if not (found := {name: figure for name, figure in drawn.items() if figure is not None}):
        raise UserError("nothing to draw: no line has operations and bytes; measure env, learner, loop or scaling")
    for name, figure in found.items():
        image = io.BytesIO()
        figure.savefig(image, format="png", dpi=160)
        manifest.replace(folder / name, image.getvalue())
    return [folder / name for name in found]


def points(lines: Iterable[Line]) -> dict[tuple[str, str], tuple[float, float]]:
    """(FLOP per byte, GFLOP/s) of every workload that has both, medians over launches."""
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for line in lines:
        if line["gflop"] and line["megabytes"] and "gflops" in line:
            intensity = line["gflop"] / line["megabytes"] * 1e3
            found.setdefault((line["benchmark"], line["workload"]), []).append((intensity, line["gflops"]))
    middle = lambda rows, column: statistics.median(row[column] for row in rows)
    return {key: (middle(rows, 0), middle(rows, 1)) for key, rows in found.items()}


def _figure(title: str, subtitle: str) -> Figure:
    figure = Figure(figsize=(10, 5.625), dpi=160)
    FigureCanvasAgg(figure)
    figure.text(0.085, 0.935, title, fontsize=16, fontweight="bold", color=INK)
    figure.text(0.085, 0.875, subtitle, fontsize=10.5, color=GREY)
    return figure


def _style(axes: Axes, x: str, y: str) -> None:
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(GREY)
    axes.grid(axis="y", color="#E3E3E3", lw=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(which="both", length=0, pad=6, labelsize=11, labelcolor=INK)
    axes.set_xlabel(x, fontsize=12, color=INK)
    axes.set_ylabel(y, fontsize=12, color=INK)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: short(value)))
        axis.set_minor_formatter(NullFormatter())


def _roofline(lines: Sequence[Line], machine: str) -> Figure | None:
    if not (found := points(lines)):
        return None
    peak, copy = (statistics.median(line["ceilings"][name] for line in lines) for name in schema.CEILINGS)
    figure = _figure(
        f"Roofline of {machine}",
        "ceilings and points of the same processes, medians of launches; bytes are the least that must move",
    )
    axes = figure.add_subplot(figure.add_gridspec(1, 1, **{**BOX, "right": 0.71})[0])
    xs, ys = np.array(list(found.values())).T
    left, right = min(xs.min(), peak / copy) / 12, max(xs.max(), peak / copy) * 4
    roof = np.geomspace(left, right, 200)
    axes.plot(roof, np.minimum(peak, copy * roof), color=INK, lw=2.0, zorder=3)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(left, right)
    axes.set_ylim(min(ys.min(), copy * left) / 2, peak * 2.5)
    above: Any = {"textcoords": "offset points", "fontsize": 10, "color": INK, "va": "bottom"}
    slope = (left * peak / copy) ** 0.5
    axes.annotate(f"product, {peak:,.0f} GFLOP/s", (right, peak), xytext=(0, 5), ha="right", **above)
    axes.annotate(f"copy, {copy:,.1f} GB/s", (slope, copy * slope), xytext=(-10, 0), ha="right", **above)
    _style(axes, "operations per byte that must move (FLOP / byte)", "GFLOP / s")
    parts = list(dict.fromkeys(part for part, _ in found))
    _labels(axes, found, {part: PALETTE[number % len(PALETTE)] for number, part in enumerate(parts)})
    return figure


def _labels(axes: Axes, found: dict[tuple[str, str], tuple[float, float]], colours: dict[str, str]) -> None:
    """Points with their names in one column beside the panel, in the order of their heights, a thin line to each."""
    low, high = np.log10(axes.get_ylim())
    place = lambda y: (np.log10(y) - low) / (high - low)
    order = sorted(found.items(), key=lambda item: item[1][1])
    spots: list[float] = []
    for _, (_, y) in order:
        spots.append(max(place(y), spots[-1] + APART) if spots else place(y))
    over = max(0.0, spots[-1] - 0.97) if spots else 0.0
    for spot, ((part, workload), (x, y)) in zip(spots, order, strict=True):
        axes.plot(x, y, "o", color=colours[part], ms=8, zorder=5)
        axes.annotate(
            f"{part}: {workload}",
            (x, y),
            xycoords="data",
            xytext=(1.03, spot - over),
            textcoords="axes fraction",
            va="center",
            fontsize=9,
            annotation_clip=False,
            color=colours[part],
            arrowprops={
                "arrowstyle": "-",
                "color": colours[part],
                "lw": 0.6,
                "alpha": 0.6,
                "shrinkB": 5,
                "relpos": (0, 0.5),
            },
        )


def _scaling(lines: Sequence[Line], machine: str) -> Figure | None:
    """Two panels: by seeds with one copy each, by copies of one seed."""
    found: dict[tuple[int, int], list[float]] = {}
    for line in lines:
        if line["benchmark"] == "scaling":
            found.setdefault((line["seeds"], line["environments"]), []).append(line["steps_per_second"])
    if not found:
        return None
    figure = _figure(
        f"Throughput of the whole loop on {machine}",
        "Hopper, small networks, an update a step; medians of launches, band: lowest to highest, dotted: in proportion",
    )
    grid = figure.add_gridspec(1, 2, wspace=0.22, **BOX)
    by = (
        ("seeds, one environment each", {s: v for (s, c), v in found.items() if c == 1}),
        (
            "environments of one seed",
            {c: v for (s, c), v in found.items() if s == 1},
        ),
    )
    for number, (name, values) in enumerate(by):
        axes = figure.add_subplot(grid[number])
        counts = sorted(values)
        middle = np.array([statistics.median(values[count]) for count in counts])
        low, high = (np.array([pick(values[count]) for count in counts]) for pick in (min, max))
        axes.fill_between(counts, low, high, color=PALETTE[number], alpha=0.18, lw=0, zorder=2)
        axes.plot(counts, middle, "o-", color=PALETTE[number], lw=2.4, zorder=4)
        axes.plot(counts, middle[0] * np.array(counts) / counts[0], color=GREY, lw=1.1, ls=(0, (1, 3)), zorder=3)
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        axes.set_xticks(counts)
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.set_ylim(middle.min() / 2, max(middle.max() * 2, middle[0] * counts[-1] / counts[0] * 1.3))
        for count, value in zip(counts, middle, strict=True):
            axes.annotate(
                short(float(f"{value:.3g}")),
                (count, value),
                xytext=(0, -16),
                textcoords="offset points",
                ha="center",
                color=INK,
            )
        _style(axes, name, "environment steps / s" if number == 0 else "")
    return figure
