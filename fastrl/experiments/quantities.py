"""Numbers of a finished run, one for each seed: what a paper's sentence is about, read from the run's log."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fastrl.runs import log

Rows = list[dict[str, Any]]
Quantity = Callable[[Rows], np.ndarray]
"""From the rows of a log to numbers [S]."""


def read(folder: Path) -> Rows:
    """The rows of a run's folder."""
    return log.read(folder)


def lines(logs: Mapping[str, Rows]) -> Iterator[str]:
    """Evaluations and diagnostics of several runs as lines of JSON, each with its `arm`, to five digits."""
    for arm, rows in logs.items():
        for row in rows:
            if row["kind"] in ("eval", "probe"):
                yield json.dumps({"arm": arm, **{name: _short(value) for name, value in row.items()}}) + "\n"


def _short(value: Any) -> Any:
    if isinstance(value, list):
        return [_short(one) for one in value]
    return float(f"{value:.5g}") if isinstance(value, float) else value


def evaluations(rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    """Online steps [T] and what was measured [S, T], the last evaluation before the first online step included."""
    found = [row for row in rows if row["kind"] == "eval"]
    name = log.measure(found)
    first = max((n for n, row in enumerate(found) if row["online"] == 0), default=0)
    kept = found[first:]
    return np.array([row["online"] for row in kept]), np.array([row[name] for row in kept], float).T


def series(rows: Rows, name: str, kind: str = "probe") -> tuple[np.ndarray, np.ndarray]:
    """Steps [T] and values [S, T] of a diagnostic or training metric; offline steps count below 0, up to the switch."""
    found = [row for row in rows if row["kind"] == kind and name in row]
    switch = max((row["offline"] for row in rows), default=0)
    steps = np.array([row["online"] if row["online"] else row["offline"] - switch for row in found])
    values = np.array([np.broadcast_to(row[name], seeds(rows)) for row in found], float)
    return steps, values.T.reshape(seeds(rows), len(found))


def seeds(rows: Rows) -> int:
    """S."""
    return next((len(value) for row in rows for value in row.values() if isinstance(value, list)), 0)


def final(rows: Rows) -> np.ndarray:
    """The mean of the last tenth of the evaluations: one alone is noisy."""
    _, values = evaluations(rows)
    return values[:, -max(1, values.shape[1] // 10) :].mean(1)


def average(rows: Rows) -> np.ndarray:
    """The mean over all online steps, the warm-up's included: the area under the curve, by the trapezoidal rule."""
    steps, values = evaluations(rows)
    width = np.diff(steps)
    return ((values[:, 1:] + values[:, :-1]) / 2 * width).sum(1) / width.sum()


def learning(rows: Rows, steps: np.ndarray) -> np.ndarray:
    """[T] bool: the steps after the first update online."""
    warm = max((row["online"] for row in rows if row["phase"] == "warmup"), default=0)
    return steps > warm


def before(rows: Rows) -> np.ndarray:
    """The pre-trained policy: the mean of its evaluations at the end of the offline phase and of the warm-up."""
    steps, values = evaluations(rows)
    return values[:, ~learning(rows, steps)].mean(1)


def gain(rows: Rows) -> np.ndarray:
    """The end minus the pre-trained policy."""
    return final(rows) - before(rows)


def dip(rows: Rows) -> np.ndarray:
    """The mean over the first quarter of the evaluations while it learns, minus the pre-trained policy."""
    steps, values = evaluations(rows)
    learnt = values[:, learning(rows, steps)]
    return learnt[:, : max(1, learnt.shape[1] // 4)].mean(1) - before(rows)


def inside(rows: Rows, phase: str) -> tuple[np.ndarray, np.ndarray]:
    """Gradient steps [T] into a phase and its evaluations [S, T], the last evaluation before it first."""
    found = [row for row in rows if row["kind"] == "eval"]
    name = log.measure(found)
    first = next(n for n, row in enumerate(found) if row["phase"] == phase)
    kept = [row for n, row in enumerate(found) if row["phase"] == phase or n == first - 1]
    steps = np.array([row["step"] if row["phase"] == phase else 0 for row in kept])
    return steps, np.array([row[name] for row in kept], float).T


def phase(name: str) -> Quantity:
    """The mean evaluation of a phase."""
    return lambda rows: inside(rows, name)[1][:, 1:].mean(1)


def change(name: str) -> Quantity:
    """The mean evaluation of a phase minus the last one before it."""
    return lambda rows: phase(name)(rows) - inside(rows, name)[1][:, 0]


def rise(name: str) -> Quantity:
    """A diagnostic's mean over the last quarter online minus its last value before the first update online."""

    def measure(rows: Rows) -> np.ndarray:
        steps, values = series(rows, name)
        after = values[:, learning(rows, steps)]
        start = values[:, ~learning(rows, steps)]
        first = start[:, -1] if start.shape[1] else after[:, 0]
        return after[:, -max(1, after.shape[1] // 4) :].mean(1) - first

    return measure


def early(name: str) -> Quantity:
    """A diagnostic's mean over its first quarter after the first update online, minus its last value before it."""

    def measure(rows: Rows) -> np.ndarray:
        steps, values = series(rows, name)
        after = values[:, learning(rows, steps)]
        start = values[:, ~learning(rows, steps)]
        first = start[:, -1] if start.shape[1] else after[:, 0]
        return after[:, : max(1, after.shape[1] // 4)].mean(1) - first

    return measure


def level(name: str) -> Quantity:
    """A diagnostic's mean over all of its values since the first update online."""

    def measure(rows: Rows) -> np.ndarray:
        steps, values = series(rows, name)
        return values[:, learning(rows, steps)].mean(1)

    return measure
