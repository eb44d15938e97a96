"""Readers of what the loggers write, that share no code with what wrote it."""

import json
import sqlite3
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from wandb.proto import wandb_internal_pb2

BLOCK, HEADER = 32768, 7  # LevelDB's log format: blocks of records, each with checksum, length and kind


def _records(path: Path) -> Iterator[Any]:
    """The records of a .wandb file; what a kill cut off is left out."""
    data, place, parts = path.read_bytes(), HEADER, b""
    assert data[:4] == b":W&B"
    while place + HEADER <= len(data):
        if BLOCK - place % BLOCK < HEADER:
            place += BLOCK - place % BLOCK
            continue
        _, length, kind = struct.unpack("<IHB", data[place : place + HEADER])
        part = data[place + HEADER : place + HEADER + length]
        place += HEADER + length
        if kind == 0 or len(part) < length:
            return
        parts += part
        if kind in (1, 4):  # whole, or the last part
            yield wandb_internal_pb2.Record.FromString(parts)
            parts = b""


def _items(items: Any) -> dict[str, Any]:
    return {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items}


def _wandb(folder: Path) -> dict[str, Any]:
    """What all the offline files of a run's folder say: ids, configuration, history, summary, axes and exit codes."""
    found: dict[str, Any] = {"ids": set(), "history": [], "summary": {}, "axes": {}, "exits": []}
    for path in sorted((folder / "wandb").glob("offline-run-*/run-*.wandb")):
        for record in _records(path):
            if record.HasField("run"):
                found["ids"].add(record.run.run_id)
                found |= {"config": _items(record.run.config.update), "tags": list(record.run.tags)}
                found |= {"group": record.run.run_group, "name": record.run.display_name}
            elif record.HasField("history"):
                found["history"].append(_items(record.history.item))
            elif record.HasField("summary"):
                found["summary"] |= _items(record.summary.update)
            elif record.HasField("metric"):
                found["axes"][record.metric.glob_name or record.metric.name] = record.metric.step_metric
            elif record.HasField("exit"):
                found["exits"].append(record.exit.exit_code)
    return found


def _ended(folder: Path, found: dict[str, Any]) -> bool:
    return len(found["exits"]) == len(list((folder / "wandb").glob("offline-run-*")))


@pytest.fixture(scope="session")
def wandb_files() -> Callable[..., dict[str, Any]]:
    """`(folder, rows) -> what its .wandb files say`, when they have so many rows, or, without rows, when all ended.

    W&B's own process writes them, and does so a moment after its library has said that a run is finished.
    """

    def read(folder: Path, rows: int | None = None) -> dict[str, Any]:
        deadline = time.monotonic() + 5
        while True:
            found = _wandb(folder)
            there = _ended(folder, found) if rows is None else len(found["history"]) >= rows
            if there or time.monotonic() > deadline:
                return found
            time.sleep(0.05)

    return read


@pytest.fixture(scope="session")
def trackio_rows() -> Callable[[Path], tuple[list[tuple[str, int, dict[str, Any]]], list[dict[str, Any]]]]:
    """`database -> ((run, step, metrics) of every row, configurations)`."""

    def read(path: Path) -> tuple[list[tuple[str, int, dict[str, Any]]], list[dict[str, Any]]]:
        with sqlite3.connect(path) as base:
            rows = base.execute("select run_name, step, metrics from metrics order by id").fetchall()
            configs = base.execute("select config from configs").fetchall()
        base.close()
        return [(name, step, json.loads(text)) for name, step, text in rows], [json.loads(x) for (x,) in configs]

    return read
