"""A finished (or running) run folder as arrays: what was evaluated, where, and what it cost.

Reads files and judges nothing; `report` and `plot` speak about what is found here.
"""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np

from fastrl.engine import log
from fastrl.types import UserError


@dataclasses.dataclass(frozen=True)
class Results:
    """The evaluations of S seeds and the record beside them."""

    folder: Path
    config: dict[str, Any]
    timing: list[dict[str, Any]]  # a phase each: name, seconds, steps, compile_seconds, ...
    measure: str  # "success" (a rate) where the rows have it, else "return"
    values: np.ndarray  # [S, evals]; NaN where a value was not finite
    phase: list[str]  # [evals]
    online: np.ndarray  # [evals] environment steps so far
    offline: np.ndarray  # [evals] gradient steps so far

    @property
    def label(self) -> str:
        """What the run is called beside others."""
        return str(self.config.get("recipe") or self.folder.name)

    @property
    def switch(self) -> int | None:
        """The last evaluation before the first online step, if there was one."""
        before = np.flatnonzero(self.online == 0)
        return int(before[-1]) if before.size else None

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
    """Reads a run folder: metrics.jsonl, and config.json and timing.json if they are there."""
    folder = Path(folder)
    if not (folder / log.METRICS).is_file():
        raise UserError(f"{folder} has no {log.METRICS}; name the folder of a run (its --out)")
    rows = [row for row in log.read(folder) if row.get("kind") == "eval"]
    if not rows:
        raise UserError(f"{folder}: {log.METRICS} has no evaluation yet; wait for one, or run with an environment")
    measure = "success" if all("success" in row for row in rows) else "return"
    return Results(
        folder=folder,
        config=_json(folder / "config.json"),
        timing=_json(folder / "timing.json").get("phases", []),
        measure=measure,
        values=np.array([row[measure] for row in rows], np.float64).T,
        phase=[row["phase"] for row in rows],
        online=np.array([row["online"] for row in rows]),
        offline=np.array([row["offline"] for row in rows]),
    )


def _json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise UserError(f"{path} is not JSON ({error}); restore it or remove it") from error
