"""python benchmarks/reliability/damage.py [--cases 1000]: damaged datasets: refused, repaired, harmless, or wrong.

Files of every format that `fastrl.load` reads, and entries of its cache, each damaged once: a flipped bit, a cut, a
block of zeros, a missing key or file, a wrong shape, a NaN. A case ends `refused` (one line), `repaired` (a cached
copy, with a line), `harmless` (the same rows), `silent` (other rows and no line) or `crashed` (anything else, the
process dying included). Every damaged file is also loaded with the sha256 of the good one. Prints a JSON line for each
format, and writes them with the faults to `--json`. Exit code 1 if anything crashed, or was silent where there is a
checksum.
"""

import collections
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from fastrl.benchmarks.reliability import common
from fastrl.data import datasets, export, sources
from fastrl.data.datasets import Dataset
from fastrl.types import UserError

FIGURE = "A damaged dataset is refused in one line, repaired with one, or harmless; a checksum lets no damage pass."
ROWS, BLOCK = 500, 512
FORMATS = ("d4rl", "d4rl-plain", "minari", "npz", "cache")
CHECKSUMS = ("d4rl", "npz", "cache")  # those that can see a flipped bit without a sha256
DAMAGES = ("flip", "flip", "flip", "cut", "zeros", "missing", "shape", "nan")
FIELDS = ("obs", "action", "reward", "mask", "next_obs", "boundary")


def good(kind: str, folder: Path) -> Path:
    """Writes an undamaged dataset of that format and returns what to load."""
    rng = np.random.default_rng(0)
    path = rng.normal(size=(ROWS + 1, 8))
    rest = rng.uniform(-1, 1, (ROWS, 3)), rng.normal(size=ROWS), rng.random(ROWS) > 0.02, path[1:]
    data = Dataset.from_arrays(path[:-1], *rest, np.arange(ROWS) % 50 == 49)
    columns = export.columns(data)
    if kind == "minari":
        return export.save_minari(data, "damage-v0", folder)
    if kind == "npz":
        np.savez(folder / "d.npz", **columns)  # type: ignore[arg-type]
        return folder / "d.npz"
    if kind == "d4rl-plain":
        with h5py.File(folder / "d.hdf5", "w") as file:
            for key, column in columns.items():
                file[key] = column
    else:
        export.save_d4rl(columns, folder / "d.hdf5")
    return folder / "d.hdf5"


def bytes_of(path: Path, damage: str, rng: np.random.Generator) -> None:
    """Flips a bit of a file, cuts it, or zeroes a block."""
    content = bytearray(path.read_bytes())
    at = int(rng.integers(len(content)))
    if damage == "flip":
        content[at] ^= 1 << int(rng.integers(8))
    elif damage == "cut":
        del content[at:]
    else:
        content[at : at + BLOCK] = bytes(len(content[at : at + BLOCK]))
    path.write_bytes(content)


def arrays_of(column: np.ndarray, damage: str, rng: np.random.Generator) -> np.ndarray | None:
    """A column that is missing, has another shape, or a NaN in one place."""
    if damage == "missing":
        return None
    if damage == "shape":
        return column[: -int(rng.integers(1, 5))] if rng.random() < 0.5 else column[..., None, None]
    changed = column.astype(np.float32)
    changed.reshape(-1)[rng.integers(changed.size)] = np.nan
    return changed


def rewrite(source: Path, damage: str, rng: np.random.Generator) -> None:
    """Damages one array of a dataset and writes it as if it had always been so."""
    if source.suffix == ".npz":
        with np.load(source) as file:
            columns: dict[str, Any] = dict(file)
        key = list(columns)[rng.integers(len(columns))]
        columns[key] = arrays_of(columns[key], damage, rng)
        np.savez(source, **{k: v for k, v in columns.items() if v is not None})
        return
    with h5py.File(source if source.is_file() else source / "data" / "main_data.hdf5", "a") as file:
        group = file if source.is_file() else file[f"episode_{rng.integers(len(file))}"]
        keys = [key for key in group if isinstance(group[key], h5py.Dataset)]
        key = keys[rng.integers(len(keys))]
        changed = arrays_of(group[key][()], damage, rng)
        del group[key]
        if changed is not None:
            group.create_dataset(key, data=changed)


def strike(source: Path, cache: Path, damage: str, rng: np.random.Generator) -> str:
    """Damages one file of a dataset or of its cached copy; what was done."""
    if cache.is_dir():
        files = sorted(path for path in cache.rglob("*") if path.is_file())
    else:
        files = [source] if source.is_file() else sorted(path for path in source.rglob("*") if path.is_file())
    path = files[rng.integers(len(files))]
    if damage in ("flip", "cut", "zeros"):
        bytes_of(path, damage, rng)
    elif not cache.is_dir():
        rewrite(source, damage, rng)
    elif damage == "missing":
        path.unlink()
    else:
        path = path.with_suffix(".npy") if path.suffix == ".npy" else cache.glob("*/obs.npy").__next__()
        changed = arrays_of(np.load(path), damage, rng)
        np.save(path, changed)  # type: ignore[arg-type]
    return path.name


def outcome(load: Callable[[], Dataset], told: list[str], want: Dataset) -> tuple[str, str]:
    """How a load ended, and its line if it has one."""
    try:
        found = load()
    except UserError as error:
        return ("refused" if len(str(error).splitlines()) == 1 else "crashed"), str(error)
    except BaseException as error:
        return "crashed", f"{type(error).__name__}: {error}"
    same = all(np.array_equal(getattr(found, field), getattr(want, field)) for field in FIELDS)
    if told:
        return ("repaired" if same and len(told) == 1 else "crashed"), told[0]
    return ("harmless" if same else "silent"), ""


def case(number: int) -> dict[str, Any]:
    """One damaged dataset."""
    rng = np.random.default_rng(number)
    kind, damage = FORMATS[number % len(FORMATS)], DAMAGES[number // len(FORMATS) % len(DAMAGES)]
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        source, cache = good(kind, folder), folder / "cache"
        options = {"cache": cache} if kind == "cache" else {}
        want = datasets.load(source, **options)  # type: ignore[arg-type]
        file = strike(source, cache, damage, rng)
        told: list[str] = []
        ended, line = outcome(lambda: datasets.load(source, **options, report=told.append), told, want)  # type: ignore[arg-type]
        row = {"case": number, "format": kind, "damage": damage, "file": file, "outcome": ended}
        row["line"] = line.replace(place, "")
        if kind != "cache":
            row["with_sha256"] = outcome(lambda: datasets.load(source, sha256=want.sha256), [], want)[0]
    return row


def cases(total: int) -> list[dict[str, Any]]:
    """All cases, in processes of their own: one that dies is a case that crashed, and the next goes on after it."""
    rows: list[dict[str, Any]] = []
    while len(rows) < total:
        words = [sys.executable, __file__, "--cases", str(total), "--first", str(len(rows))]
        done = subprocess.run(words, capture_output=True, text=True)
        rows += [json.loads(line) for line in done.stdout.splitlines()]
        if done.returncode != 0:
            ended = f"process ended with {done.returncode}: {done.stderr[-200:]}"
            kind, damage = FORMATS[len(rows) % len(FORMATS)], DAMAGES[len(rows) // len(FORMATS) % len(DAMAGES)]
            rows.append({"case": len(rows), "format": kind, "damage": damage, "outcome": "crashed", "line": ended})
    return rows


def main() -> int:
    """The cases, counted."""
    parser = common.parser("damage", __doc__)
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--first", type=int, help="print the cases from this one on, in this process")
    found, started = parser.parse_args(), time.monotonic()
    sources.WORTH = 0  # these files are small
    if found.first is not None:
        for number in range(found.first, found.cases):
            print(json.dumps(case(number)), flush=True)
        return 0
    rows = cases(found.cases)
    counts = []
    for kind in FORMATS:
        mine = [row for row in rows if row["format"] == kind]
        counted: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
        for row in mine:
            counted[row["damage"]][row["outcome"]] += 1
        sha256 = collections.Counter(row["with_sha256"] for row in mine if "with_sha256" in row)
        counts.append({"format": kind, "checksum": kind in CHECKSUMS, **counted, "with_sha256": sha256})
        print(json.dumps(counts[-1]), flush=True)
    crashed = [row for row in rows if "crashed" in (row["outcome"], row.get("with_sha256"))]
    silent = [row for row in rows if row["outcome"] == "silent" and row["format"] in CHECKSUMS]
    silent += [row for row in rows if row.get("with_sha256") == "silent"]
    sums = dict(collections.Counter(row["outcome"] for row in rows))
    total = {"cases": len(rows), **sums, "silent_with_checksum": len(silent), "formats": counts}
    return common.write(found.json, FIGURE, total, not crashed and not silent, crashed + silent, started)


if __name__ == "__main__":
    sys.exit(main())
