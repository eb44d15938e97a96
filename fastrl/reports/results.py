"""A finished (or running) run folder as arrays: what was evaluated, where, and what it cost.

It only reads files; `report` and `plot` present what it loads.
"""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np

from fastrl.data import references
from fastrl.data.references import Scale
from fastrl.engine import health
from fastrl.planning import sweep
from fastrl.runs import log
from fastrl.types import UserError


@dataclasses.dataclass(frozen=True)
class Frozen:
    """A seed that stopped learning, and what it had until then."""

    seed: int
    why: str  # what was not finite, and where
    values: np.ndarray  # [evals]; NaN from then on


@dataclasses.dataclass(frozen=True)
class Results:
    """The evaluations of the S seeds that learnt to the end, and the record beside them."""

    folder: Path
    config: dict[str, Any]
    timing: list[dict[str, Any]]  # a phase each: name, seconds, steps, compile_seconds, ...
    measure: str  # of `QUANTITIES`
    values: np.ndarray  # [S, evals]; NaN where a value was not finite
    phase: list[str]  # [evals]
    online: np.ndarray  # [evals] environment steps so far
    offline: np.ndarray  # [evals] gradient steps so far
    seeds: list[int]  # [S], their numbers
    frozen: list[Frozen]  # the others, in no mean and no interval
    point: str = ""  # of a sweep, in words
    eval_steps: int = 0  # environment steps of one seed that evaluations took

    @property
    def left_out(self) -> str:
        """The frozen seeds by number, in words; empty where there are none."""
        numbers = ", ".join(str(lost.seed) for lost in self.frozen)
        return f"seed{'s' if len(self.frozen) > 1 else ''} {numbers}" if self.frozen else ""

    @property
    def label(self) -> str:
        """The run's name beside other runs."""
        return self.point or str(self.config.get("recipe") or self.folder.name)

    @property
    def quantity(self) -> str:
        """The measure in words."""
        return log.QUANTITIES[self.measure]

    @property
    def rate(self) -> bool:
        """Whether values are shares, from 0 to 1."""
        return self.measure != "return"

    @property
    def scale(self) -> Scale | None:
        """What makes scores of these values; none where the task has no references."""
        options = self.config.get("identity", {}).get("env_options", {})
        return references.scale(str(self.config.get("env", "")), options)

    @property
    def switch(self) -> int | None:
        """The last evaluation before the first online step, if there was one."""
        before = np.flatnonzero(self.online == 0)
        return int(before[-1]) if before.size else None

    @property
    def scratch(self) -> bool:
        """Whether nothing was learnt before the first online step."""
        return not self.offline[-1] and not self.config.get("identity", {}).get("start")

    @property
    def start(self) -> str | None:
        """The agent that the run began with, as it was named, and its checksum's first digits; None without one."""
        checksum = self.config.get("identity", {}).get("start")
        if not checksum:
            return None
        return f"{self.config.get('start') or 'an agent'} ({str(checksum)[:8]})"

    @property
    def origin(self) -> str:
        """The word for the first online step."""
        return "start" if self.scratch else "switch"

    @property
    def went_online(self) -> bool:
        """Whether anything was evaluated after online steps."""
        return bool(self.online[-1] > 0)

    def boundaries(self) -> list[tuple[str, int, int]]:
        """Each phase after the first, with the (online, offline) steps at which it begins."""
        return [
            (self.phase[n], int(self.online[n - 1]), int(self.offline[n - 1]))
            for n in range(1, len(self.phase))
            if self.phase[n] != self.phase[n - 1]
        ]


def load(folder: Path | str) -> Results:
    """Reads a run folder: metrics.jsonl, and config.json and timing.json if they are there; of a sweep all rows."""
    return _load(Path(folder), None)


def by_point(folder: Path | str) -> list[Results]:
    """As `load`, a run for each point of a sweep; of any other run that run alone."""
    folder = Path(folder)
    points = _json(folder / "config.json").get("identity", {}).get("points", [])
    if len(points) < 2:
        return [load(folder)]
    return [_load(folder, (number, len(points), sweep.label(point))) for number, point in enumerate(points)]


def _load(folder: Path, point: tuple[int, int, str] | None) -> Results:
    """The rows of one point of several (its number, how many there are, its words), or all rows."""
    if not (folder / log.METRICS).is_file():
        raise UserError(f"{folder} has no {log.METRICS}; name the folder of a run (its --out)")
    log.verify(folder)
    logged = log.read(folder)
    rows = [row for row in logged if row.get("kind") == "eval"]
    if not rows:
        raise UserError(f"{folder}: {log.METRICS} has no evaluation yet; wait for one, or run with an environment")
    name = log.measure(rows)
    values = np.array([row[name] for row in rows], np.float64).T
    number, count, words = point or (0, 1, "")
    each = len(values) // count
    values = values[number * each : (number + 1) * each]
    lost = {
        row["seed"] - number * each: health.said(row["what"], row["at"], row["phase"])
        for row in logged
        if row.get("kind") == "frozen" and row["seed"] // each == number
    }
    kept = [seed for seed in range(len(values)) if seed not in lost]
    if not kept:
        raise UserError(f"{folder}: no seed learnt to the end ({next(iter(lost.values()))}); nothing can be reported")
    return Results(
        folder=folder,
        config=_json(folder / "config.json"),
        timing=_json(folder / "timing.json").get("phases", []),
        measure=name,
        values=values[kept],
        phase=[row["phase"] for row in rows],
        online=np.array([row["online"] for row in rows]),
        offline=np.array([row["offline"] for row in rows]),
        seeds=kept,
        frozen=[Frozen(seed, why, values[seed]) for seed, why in sorted(lost.items())],
        point=words,
        eval_steps=int(rows[-1].get("eval_steps", 0)),
    )


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise UserError(f"{path} is not JSON ({error}); restore it or remove it") from error
