"""Metrics of a run: one JSON object per row. Other forms of them are made of these rows (`fastrl.loggers`).

Rows hold what is deterministic (no wall time), so that a resumed run's file equals an uninterrupted one's.
"""

import contextlib
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from fastrl import errors
from fastrl.types import UserError

METRICS = "metrics.jsonl"
TIMING = "timing.json"
"""Seconds of each phase, and what the rows of the log were when the run last saved."""
ADDRESS = ("step", "phase", "kind", "online", "offline")
"""Where a row stands, not what it measures."""

QUANTITIES = {"success": "success rate", "completed": "completion rate of subtasks", "return": "return"}
"""What evaluations measure, in words; reports use the first that a run has. All but the return are rates."""


def measure(rows: list[dict[str, Any]]) -> str:
    """The first of `QUANTITIES` that all rows of evaluations have."""
    return next(name for name in QUANTITIES if all(name in row for row in rows))


class MetricsLog:
    """Appends rows to `metrics.jsonl` of a run's folder; `rows` counts them."""

    def __init__(self, folder: Path | str):
        self.folder = Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._path = self.folder / METRICS
        self.rows = len(_whole_lines(self._path))
        _cut(self._path, self.rows)
        self._file = self._path.open("ab")

    def append(self, row: dict[str, Any]) -> dict[str, Any]:
        """Writes one row, durably: numbers, strings, or arrays `[S]` (a value per seed). Returns it as `read` does."""
        plain = {name: _plain(value) for name, value in row.items()}
        with errors.writing(f"{self._path} cannot be written"):
            self._file.write(json.dumps(plain, allow_nan=False).encode() + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())  # a later checkpoint relies on this row
        self.rows += 1
        return plain

    def truncate(self, rows: int) -> None:
        """Keeps the first `rows` rows and drops those that the checkpoint being resumed has not seen."""
        if rows > self.rows:
            raise UserError(
                f"{self._path} has {self.rows} rows but the checkpoint was made after {rows}; restore the file from"
                " a copy, or start a new run"
            )
        self.close()
        _cut(self._path, rows)
        self._file = self._path.open("ab")
        self.rows = rows

    def sum(self, rows: int | None = None) -> dict[str, Any]:
        """How many rows there are, of the first `rows`, and their SHA-256: what `verify` looks for in `TIMING`."""
        return _sum(_whole_lines(self._path)[:rows])

    def read(self, folder: Path | str | None = None) -> list[dict[str, Any]]:
        """The rows so far."""
        return read(self.folder if folder is None else folder)

    def close(self) -> None:
        """Closes the file; everything is on disk but a row that was refused."""
        with contextlib.suppress(OSError):
            self._file.close()


def read(folder: Path | str) -> list[dict[str, Any]]:
    """The rows of a run's folder, in order; a torn last line is left out. None stands for non-finite."""
    path, rows = Path(folder) / METRICS, []
    for line in _whole_lines(path):
        try:
            rows.append(json.loads(line))
        except ValueError as error:
            where = f"{path}: line {len(rows) + 1}"
            raise UserError(f"{where} is damaged ({error}); restore the file from a copy, or run anew") from error
    return rows


def verify(folder: Path | str) -> None:
    """Raises `UserError` where the rows are not those of the last save; an earlier version did not describe them."""
    path = Path(folder) / METRICS
    try:
        known = json.loads(path.with_name(TIMING).read_bytes())["log"]
        same = known == _sum(_whole_lines(path)[: known["rows"]])
    except (OSError, ValueError, KeyError, TypeError):
        return
    if not same:
        what = f"its first {known['rows']} rows are not those that were written"
        raise UserError(f"{path} is damaged: {what}; restore the file from a copy, or run anew")


def _plain(value: Any) -> Any:
    """Numbers and arrays as JSON has them: non-finite ones as None."""
    if isinstance(value, (str, bool)) or value is None:
        return value
    array = np.asarray(value)
    if array.dtype.kind in "bui":
        return array.tolist()
    exact = array.astype(np.float64)
    return np.where(np.isfinite(exact), exact.astype(object), np.array(None)).tolist()


def _sum(lines: list[bytes]) -> dict[str, Any]:
    return {"rows": len(lines), "sha256": hashlib.sha256(b"\n".join(lines)).hexdigest()}


def _whole_lines(path: Path) -> list[bytes]:
    """The lines that were written to their end."""
    if not path.exists():
        return []
    lines = path.read_bytes().split(b"\n")
    return lines[:-1]


def _cut(path: Path, rows: int) -> None:
    """Shortens a file in place to its first `rows` lines (and drops a torn one)."""
    if path.exists():
        size = sum(len(line) + 1 for line in _whole_lines(path)[:rows])
        os.truncate(path, size)
