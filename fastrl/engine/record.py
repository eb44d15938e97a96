"""The rows of a run's log, as they are written between two calls of the scan: training, evaluations, frozen seeds."""

import math
from pathlib import Path
from typing import Any

import numpy as np

from fastrl.engine import health
from fastrl.engine.phase import Carry
from fastrl.engine.plan import Plan
from fastrl.loggers.beside import Loggers
from fastrl.runs import folder, log, processes
from fastrl.runs.log import MetricsLog
from fastrl.runs.progress import Progress


class Diverged(Exception):
    """Numbers stopped being finite, and no seed goes on."""


class Record:
    """The log of a run, in memory and, where there is a folder, on disk."""

    def __init__(self, plan: Plan, path: Path | None, progress: Progress):
        self.plan, self.path, self.progress = plan, path, progress
        writes = path is not None and processes.first()
        self.log = MetricsLog(path) if path and writes else None
        self.loggers = Loggers(path, plan.log, progress.message) if path and writes else None
        self.rows: list[dict[str, Any]] = []

    def restart(self, count: int, timing: list[dict[str, Any]]) -> None:
        """Forgets all but the first rows: what a checkpoint being resumed has not seen. Raises if they are others."""
        if self.path is None:
            return
        if self.log is not None:
            log.verify(self.path)
            if count < self.log.rows:  # before they go: what is described is there whenever this process is killed
                self.describe(timing, count)
            self.log.truncate(count)
        self.rows = log.read(self.path)[:count]
        if self.loggers is not None:
            self.loggers.start(self.rows)

    def position(self, number: int, done: int) -> dict[str, Any]:
        """Where a row stands: the phase, its step, and the steps online and offline so far."""
        counts = {"online": 0, "offline": 0}
        for n, phase in enumerate(self.plan.phases[: number + 1]):
            steps = done * self.plan.per_iteration(phase) if n == number else phase.steps
            counts["online" if phase.online else "offline"] += steps
        return {"phase": self.plan.phases[number].name, "step": done, **counts}

    def append(self, row: dict[str, Any]) -> None:
        """Adds a row, durably."""
        self.rows.append(row)
        if self.log and self.loggers:
            self.loggers.append(self.log.append(row))

    def describe(self, timing: list[dict[str, Any]], rows: int | None = None) -> None:
        """Writes the seconds of the phases, and what the first rows of the log are, by which damage is seen."""
        if self.log is not None and self.path is not None:
            folder.write_json(self.path / log.TIMING, {"phases": timing, "log": self.log.sum(rows)})

    def close(self, complete: bool) -> None:
        """Closes the log and ends the loggers; `complete`: the run is done."""
        if self.log and self.loggers:
            self.log.close()
            self.loggers.finish(self.log.read(), complete)

    def train(self, number: int, done: int, carry: Carry) -> None:
        """One row of training metrics: means over the steps since the last row, NaN for a frozen seed."""
        self.frozen(number, done, carry)
        found, totals = self.plan.mesh.fetch((carry.seeds.health, carry.seeds.totals))
        steps, ended = totals.pop("steps"), totals.pop("rollout/episodes", None)
        row: dict[str, Any] = {"kind": "train", **self.position(number, done)}
        for name, value in sorted(totals.items()):
            count = ended if name.startswith("rollout/") else steps
            assert count is not None
            means = [float(v / c) if c else math.nan for v, c in zip(value, count, strict=True)]
            row[name] = np.where(found.good, means, math.nan).tolist()
        self.append(row)

    def frozen(self, number: int, done: int, carry: Carry) -> None:
        """Logs the seeds that were frozen since the last row; `Diverged` where none may be, or none is left."""
        known, found = (
            {row["seed"] for row in self.rows if row["kind"] == "frozen"},
            self.plan.mesh.fetch(carry.seeds.health),
        )
        bad, at = found.bad, found.step
        phase, line = self.plan.phases[number], ""
        for seed in (int(seed) for seed in np.flatnonzero(bad) if seed not in known):
            what, remedy = health.cause(int(bad[seed]), health.names(carry.seeds.totals, phase.online))
            line = f"seed {seed}: {health.said(what, int(at[seed]) + 1, phase.name)}; {remedy}"
            if not self.plan.freeze:
                others = "; --resume --on-nan freeze lets the other seeds go on" if len(bad) > 1 and self.path else ""
                raise Diverged(line + others)
            row = {"kind": "frozen", **self.position(number, done), "seed": seed, "at": int(at[seed]) + 1}
            self.append({**row, "what": what})
            self.progress.message(f"{line}; this seed is frozen at its last good update, the others go on")
        if bad.all():
            raise Diverged(f"every seed is frozen, the last one for this: {line}" if len(bad) > 1 else line)

    def note(self) -> str:
        """What the last evaluation found, for the progress bar."""
        last = next((row for row in reversed(self.rows) if row["kind"] == "eval"), None)
        if last is None:
            return ""
        name = log.measure([last])
        return f"{log.QUANTITIES[name]} {np.nanmean(np.asarray(last[name], float)):.2f}"
