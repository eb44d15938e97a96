"""Where a dataset is and how to read it: its format is recognised by its content.

One reader a format: `fastrl.data.d4rl`, `fastrl.data.minari_files`, `fastrl.data.npz`, `fastrl.data.robomimic`.
"""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import h5py

from fastrl.data import cache, d4rl, links, minari_files, npz, robomimic, rows
from fastrl.data.rows import SUPPORTED, Rows
from fastrl.data.successors import Successors
from fastrl.data.validate import Bounds
from fastrl.types import Spec, UserError

Format = Literal["d4rl", "minari", "npz", "robomimic"]
WORTH = 8 << 20  # bytes of a source from which a converted copy saves tenths of a second


def _silent(line: str) -> None:
    """Drops the line."""


@dataclasses.dataclass(frozen=True)
class Source:
    """A dataset by its name, not read yet."""

    ref: str | Path  # a file, FILE:/GROUP of an HDF5 file, a Minari dataset's folder, or its id
    sha256: str | None = None  # refuse any other bytes (of a Minari dataset: what `Dataset.sha256` said)
    order: tuple[str, ...] = ()  # of the keys of a Dict observation; none is the family's (fastrl.data.flatten)
    next_observations: Successors = "row"  # the row after it, or what the file says (fastrl.data.successors)
    actions: Literal["unit", "environment"] | Bounds = "unit"  # in [-1, 1]; or in the environment's bounds, or these
    spec: Spec | None = None  # refuse other sizes than this environment's
    root: str | Path | None = None  # folder of Minari ids; none is Minari's own
    download: bool = False  # of a Minari id that is not there
    cache: str | Path | None = None  # folder of converted copies; none keeps none
    report: Callable[[str], None] = _silent  # gets a line where the cache fails

    def read(self, horizon: int | None) -> tuple[Rows, str]:
        """The rows and the sha256 of the file's bytes; `horizon` where a file has no `timeouts`."""
        kind, path = self.find()
        if self.cache is None:
            return self._read(kind, path, horizon, self._digest(kind, path))
        stamp = [[s.st_size, s.st_mtime_ns, s.st_ctime_ns] for s in (file.stat() for file in _files(path))]
        if sum(size for size, *_ in stamp) < WORTH:
            return self._read(kind, path, horizon, self._digest(kind, path))
        entry = cache.entry_of(Path(self.cache), path, [self.group, horizon, self.order, *self.reading])
        asked = None if self.sha256 is None else self._digest(kind, path)
        if (kept := cache.load(entry, stamp, asked, self.report)) is not None:
            return kept
        found, sha256 = self._read(kind, path, horizon, asked or self._digest(kind, path))
        cache.store(entry, stamp, sha256, found, self.report)
        return found, sha256

    @property
    def group(self) -> str:
        """The group of an HDF5 file in which the arrays are, "" for its root."""
        return self._split()[1]

    @property
    def reading(self) -> tuple[str, ...]:
        """The options that change the file's rows."""
        own = ("next_observations=file",) if self.next_observations == "file" else ()
        return own if self.actions == "unit" else (*own, f"actions={json.dumps(self.actions)}")

    def _split(self) -> tuple[Path, str]:
        text = str(self.ref)
        file, colon, group = text.rpartition(":/")
        return (Path(file), group.strip("/")) if colon and not Path(text).exists() else (Path(text), "")

    def find(self) -> tuple[Format, Path]:
        """The format and the place: the file, or the folder of a Minari dataset's metadata.json."""
        try:
            return self._find(self._split()[0])
        except OSError as error:
            raise UserError(f"{self.ref}: cannot be read ({error.strerror}); {SUPPORTED}") from error

    def _find(self, path: Path) -> tuple[Format, Path]:
        if not path.exists() and minari_files.ID.fullmatch(str(self.ref)):
            path = minari_files.fetch(str(self.ref), None if self.root is None else Path(self.root), self.download)
        if path.is_dir() and (folder := minari_files.home(path)) is not None:
            return "minari", _own(folder)
        start = rows.start(path)
        if start.startswith(b"PK"):
            return "npz", path
        if start.startswith(b"\x93NUMPY"):
            raise UserError(f"{path}: is one NumPy array; demonstrations of Adroit need `fastrl datasets convert`")
        if not h5py.is_hdf5(path):
            raise UserError(f"{path}: is not an HDF5 file; {SUPPORTED}")
        if path.name == "main_data.hdf5" and (folder := minari_files.home(path)) is not None:
            return "minari", _own(folder)
        return ("robomimic" if not self.group and robomimic.recognised(path) else "d4rl"), path

    def _digest(self, kind: Format, path: Path) -> str:
        found = minari_files.digest(path) if kind == "minari" else rows.digest(path)
        if self.sha256 is not None and found != self.sha256.lower():
            raise UserError(
                f"{self.ref}: has sha256 {found}, not {self.sha256}; download it again or correct the sha256"
            )
        return found

    def _read(self, kind: Format, path: Path, horizon: int | None, sha256: str) -> tuple[Rows, str]:
        if self.actions == "environment":
            raise UserError(
                f"{path}: the environment's bounds are not known here; name it, or give them as (low, high)"
            )
        bounds = None if self.actions == "unit" else self.actions
        if kind == "minari":
            if self.reading:
                raise UserError(
                    f"{path}: Minari says itself what follows a row and where actions lie; leave out {self.reading[0]}"
                )
            return minari_files.read(path, self.order), sha256
        if kind == "robomimic":
            return robomimic.read(path, self.order, self.next_observations, bounds, self.spec), sha256
        if self.order:
            raise UserError(f"{path}: observations are one array, not a Dict; leave --dataset-order out")
        if kind == "npz":
            return npz.read(path, horizon, self.next_observations, bounds, self.spec), sha256
        return d4rl.read(path, self.group, horizon, self.next_observations, bounds, self.spec), sha256


def _own(folder: Path) -> Path:
    """A Minari dataset's folder, once no link leads out of it."""
    links.check(folder)
    return folder


def _files(path: Path) -> list[Path]:
    """The files that a source is made of."""
    return [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
