"""Converted datasets on disk: float32 columns that are verified and mapped, instead of read and checked again.

An entry is a folder: a `.npy` a column and `entry.json`, which says what it was made from and the sha256 of each column
and of itself.
"""

import errno
import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from fastrl.data import rows
from fastrl.data.rows import Rows
from fastrl.types import UserError

FORMAT = 3
DAY = 86_400  # seconds
Report = Callable[[str], None]


class Damaged(Exception):
    """An entry is not what was written."""


def entry_of(cache: Path, source: Path, options: Any) -> Path:
    """The folder of a source read with `options` (JSON)."""
    words = json.dumps([FORMAT, str(source.resolve()), options])
    return cache / hashlib.sha256(words.encode()).hexdigest()[:32]


def load(entry: Path, stamp: list[list[int]], sha256: str | None, report: Report) -> tuple[Rows, str] | None:
    """What `store` kept: the rows, mapped, and the source's sha256; None where it has to be read (again).

    `stamp` is the source's sizes and times, `sha256` what its bytes must have, if anything was asked. A damaged entry
    is reported in one line to `report` and deleted.
    """
    try:
        if not entry.is_dir():
            return None
        content = _read(entry / "entry.json")
        if content["stamp"] != stamp or (sha256 is not None and content["sha256"] != sha256):
            return None
        columns = {}
        for name in rows.COLUMNS:
            path = entry / f"{name}.npy"
            if rows.digest(path) != content["columns"][name]:
                raise Damaged(f"{path.name} differs from its checksum")
            columns[name] = np.load(path, mmap_mode="r")
        words = {"order": tuple(content["order"]), "notes": tuple(content["notes"]), "dropped": content["dropped"]}
        return Rows(**columns, **words), content["sha256"]
    except (Damaged, UserError, OSError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, PermissionError) or not entry.is_dir():  # no permission, or just replaced by another run
            return None
        report(f"{entry}: the cached copy is damaged ({error}); it is made again")
        shutil.rmtree(entry, ignore_errors=True)
        return None


def store(entry: Path, stamp: list[list[int]], sha256: str, found: Rows, report: Report) -> None:
    """Keeps rows for `load`, whole or not at all; a full or read-only disk is reported to `report` and is no error.

    Of several processes that store at a time, one succeeds. What killed processes left is removed after a day.
    """
    try:
        entry.parent.mkdir(parents=True, exist_ok=True)
        for left in entry.parent.glob(".*"):
            if time.time() - left.stat().st_mtime > DAY:
                shutil.rmtree(left, ignore_errors=True)
        with tempfile.TemporaryDirectory(dir=entry.parent, prefix=".", ignore_cleanup_errors=True) as folder:
            new, old = Path(folder, "new"), Path(folder, "old")
            new.mkdir()
            for name in rows.COLUMNS:
                np.save(new / f"{name}.npy", getattr(found, name))
            columns = {name: rows.digest(new / f"{name}.npy") for name in rows.COLUMNS}
            words = {"order": found.order, "notes": found.notes, "dropped": found.dropped}
            _write(new / "entry.json", {"stamp": stamp, "sha256": sha256, "columns": columns, **words})
            if entry.is_dir():  # of an older source; moved in one step, so that no reader finds half of it
                entry.rename(old)
            new.rename(entry)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.ENOENT):  # else another process was faster
            report(f"{entry.parent}: no cached copy of the dataset ({error}); it is read again next time")


def _write(path: Path, content: dict[str, Any]) -> None:
    line = json.dumps(content)
    path.write_text(f"{line}\n{hashlib.sha256(line.encode()).hexdigest()}\n")


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise Damaged(f"{path.name} is missing")
    line, _, sha256 = path.read_bytes().partition(b"\n")
    if hashlib.sha256(line).hexdigest().encode() + b"\n" != sha256:
        raise Damaged(f"{path.name} differs from its checksum")
    return json.loads(line)
