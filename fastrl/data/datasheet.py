"""What a dataset is, in numbers, as a page of Markdown and as a picture.

Trajectories are what learning sees: they end at every terminal row, so that a run of terminals counts one by one, and
their returns are the raw, undiscounted sums of the rows that are kept (D4RL's readers drop a timed-out row).
"""

import io
from pathlib import Path
from typing import Any

import numpy as np

from fastrl.data import d4rl, datasets, findings, minari_files, scores
from fastrl.data.datasets import Dataset
from fastrl.data.sources import Source
from fastrl.types import UserError

PAGE, PICTURE = "datasheet.md", "datasheet.png"
BINS, MOST = 60, 200_000  # of the histograms; points drawn of a maze


def row(source: Source) -> tuple[str, ...]:
    """Name, format, rows, trajectories, mean and best return, and the D4RL score of the mean where it is comparable."""
    kind, path = source.find()
    data = datasets.open_source(source)
    returns = data.episode_returns()
    mean, best = (f"{returns.mean():.1f}", f"{returns.max():.1f}") if returns.size else ("-", "-")
    bounds = scores.reference(kind, title(kind, path))
    points = f"{scores.score(returns.mean(), bounds):.1f}" if bounds and returns.size else "raw return"
    return str(source.ref), kind, str(data.rows), str(len(returns)), mean, best, points


def title(kind: str, path: Path) -> str:
    """A dataset's own name: a file's stem, or the id in Minari's metadata."""
    return minari_files.identity(path) if kind == "minari" else path.stem


def page(source: Source, data: Dataset) -> str:
    """The datasheet."""
    kind, path = source.find()
    lines = [f"# {title(kind, path)}", "", f"`{data.name}`, read as {kind}, sha256 `{data.sha256}`.", ""]
    lines += _table(["", "value"], _facts(data))
    lines += ["", *_table(["per finished trajectory", "least", "mean", "median", "most"], _spread(data, path, kind))]
    lines += ["", *(f"- {line}" for line in _remarks(source, data))]
    return "\n".join(lines) + "\n"


def write(source: Source, data: Dataset, folder: Path, force: bool = False) -> None:
    """Writes page and picture into a folder, which is made; over those that are there only where `force`."""
    for name in (PAGE, PICTURE):
        if (folder / name).exists() and not force:
            raise UserError(f"{folder / name} exists already: add --force to write over it, or name another folder")
    kind, path = source.find()
    drawn = picture(data, "maze" in title(kind, path).lower() and data.obs.shape[1] > 1)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / PAGE).write_text(
            f"{page(source, data)}\n![returns, lengths]({PICTURE})\n", "utf-8", "surrogateescape"
        )
        (folder / PICTURE).write_bytes(drawn)
    except OSError as error:
        raise UserError(f"{folder} cannot be written ({error.strerror}); name another folder") from error


def picture(data: Dataset, maze: bool) -> bytes:
    """A PNG: histograms of returns and lengths; of a maze (observations start with x and y) also where the rows are."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # takes a second, and most commands draw nothing
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5 * (2 + maze), 4), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, 2 + maze)
    for axes, values, name in zip(panels, (data.episode_returns(), lengths(data)), ("return", "length")):
        axes.hist(values, bins=BINS, color="#0072B2")
        scale = "log" if len(values) else "linear"
        axes.set(xlabel=f"{name} of a trajectory", ylabel="trajectories", yscale=scale, ylim=(0.5, None))
        axes.yaxis.set_major_formatter("{x:,g}")
        axes.yaxis.set_minor_formatter("")
    if maze:
        places = data.obs[:: max(1, data.rows // MOST), :2]
        panels[-1].hist2d(places[:, 0], places[:, 1], bins=BINS, norm="log", cmap="viridis")
        panels[-1].set(xlabel="x", ylabel="y", aspect="equal", title="rows by place")
    image = io.BytesIO()
    figure.savefig(image, format="png")
    return image.getvalue()


def lengths(data: Dataset) -> np.ndarray:
    """Rows of each finished trajectory, [trajectories]."""
    return np.diff(np.flatnonzero(data.boundary), prepend=-1)


def _facts(data: Dataset) -> list[list[Any]]:
    tail = data.rows - int(lengths(data).sum())
    values, counts = np.unique(data.reward, return_counts=True)
    common = ", ".join(f"{value:g} ({count:,} rows)" for value, count in zip(values, counts))
    reward = common if len(values) <= 5 else f"{data.reward.min():g} to {data.reward.max():g}"
    return [
        ["rows", f"{data.rows:,}"],
        *([["rows of the file left out", data.dropped]] if data.dropped else []),
        ["observation size", data.obs.shape[1]],
        *([["read with", ", ".join(data.reading)]] if data.reading else []),
        *([["order of the Dict observation", ", ".join(data.order)]] if data.order else []),
        ["action size", data.action.shape[1]],
        ["finished trajectories", f"{int(data.boundary.sum()):,}"],
        ["rows of an unfinished tail", f"{tail:,}"],
        ["terminal rows", f"{int((data.mask == 0).sum()):,}"],
        ["reward", reward],
        ["observations", f"{data.obs.min():g} to {data.obs.max():g}"],
        ["actions", f"{data.action.min():g} to {data.action.max():g}"],
        ["actions at a bound", f"{100 * (np.abs(data.action) > 0.999).mean():.1f} %"],
    ]


def _spread(data: Dataset, path: Path, kind: str) -> list[list[str]]:
    returns = data.episode_returns()
    if not returns.size:
        return []
    bounds = scores.reference(kind, title(kind, path))
    found = {"raw return": returns, "length": lengths(data)}
    if bounds:
        found["D4RL score"] = scores.score(returns, bounds)
    return [
        [name, *(f"{value:,.1f}" for value in (column.min(), column.mean(), np.median(column), column.max()))]
        for name, column in found.items()
    ]


def _remarks(source: Source, data: Dataset) -> list[str]:
    kind, path = source.find()
    remarks = [line.removeprefix(f"{data.name}: ") for line in findings.said(data)]
    again = int(((data.mask[1:] == 0) & (data.mask[:-1] == 0)).sum())
    if 10 * again > data.boundary.sum():
        remarks.append(f"{again:,} trajectories are one row of a run of terminals, which learning takes one by one")
    if kind in ("minari", "robomimic") or (kind == "d4rl" and not d4rl.checksummed(path, source.group)):  # npz has them
        remarks.append("the file's arrays have no checksums: a flipped bit inside a number is not seen without sha256")
    return [*remarks, "actions are clipped to +-(1 - 1e-5); rewards are raw"]


def _table(head: list[str], rows: list[list[Any]]) -> list[str]:
    return [f"| {' | '.join(map(str, line))} |" for line in [head, ["---"] * len(head), *rows]]
