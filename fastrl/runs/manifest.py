"""The manifest of a saved step, and checksums of its files. Files are written whole or not at all."""

import contextlib
import hashlib
import importlib.metadata
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax

from fastrl import __version__, errors
from fastrl.runs import digests
from fastrl.runs.digests import Damaged as Damaged
from fastrl.types import UserError

FORMAT = 2
READABLE = (1, FORMAT)
"""Formats that this version reads; in 2 a leaf that several processes hold has a checksum for each of its pieces."""
PACKAGES = ("fastrl", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "mujoco")
_BLOCK = 1 << 24  # bytes hashed at a time


def files(folder: Path) -> dict[str, dict[str, Any]]:
    """Size in bytes and SHA-256 of every file under a folder, by its relative path."""
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): {
            "bytes": path.stat().st_size,
            "sha256": digests.sha256(_blocks(path)),
        }
        for path in found
    }


def verify(folder: Path, expected: dict[str, dict[str, Any]]) -> None:
    """Raises `Damaged`, naming the first file under a folder that is not as `files` recorded it."""
    for name, entry in expected.items():
        path = folder / name
        if ".." in Path(name).parts or Path(name).is_absolute():
            raise UserError(
                f"{folder}: its manifest names {name}, which is outside of it; do not use what others made so"
            )
        if not path.is_file():
            raise Damaged(f"file {name} is missing")
        if (size := path.stat().st_size) != entry["bytes"]:
            raise Damaged(f"file {name} has {size} bytes instead of {entry['bytes']}")
        if digests.sha256(_blocks(path)) != entry["sha256"]:
            raise Damaged(f"file {name} differs from its checksum")


def write(path: Path, content: dict[str, Any]) -> None:
    """Writes a manifest (JSON, with a checksum of itself) durably: temporary file, fsync, rename."""
    text = json.dumps({**content, "checksum": _checksum(content)}, indent=1, sort_keys=True)
    replace(path, text.encode())


def read(path: Path) -> dict[str, Any]:
    """What `write` wrote; raises `Damaged` if it is missing, damaged or of another format."""
    try:
        content = json.loads(path.read_bytes())
        checksum = content.pop("checksum")
    except FileNotFoundError:
        raise Damaged(f"{path.name} is missing (the save was cut short)") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Damaged(f"{path.name} is damaged") from None
    if checksum != _checksum(content):
        raise Damaged(f"{path.name} differs from its checksum")
    if content.get("format") not in READABLE:
        raise Damaged(f"{path.name} has format {content.get('format')}, this version reads up to {FORMAT}")
    return content


def make_folder(folder: Path) -> None:
    """Makes a folder and those above it; raises `UserError` where that cannot be."""
    check_name(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder} cannot be made ({error.strerror}); choose another place") from error


def check_name(folder: Path) -> None:
    """Refuses a folder whose path is no UTF-8: Orbax could neither write a checkpoint there nor read one."""
    try:
        str(folder.absolute()).encode()
    except UnicodeEncodeError as error:
        raise UserError(
            f"{folder.absolute()} is no UTF-8; rename it, or set a locale that has its letters (LC_ALL=C.UTF-8)"
        ) from error


def replace(path: Path, data: bytes) -> None:
    """Writes a whole file so that a reader, or a crash, finds the old or the new one, never half.

    Raises `UserError` where there is no folder, no permission or no room.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    with errors.writing(f"{path} cannot be written"):
        try:
            with temporary.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except OSError:
            with contextlib.suppress(OSError):
                temporary.unlink()
            raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def provenance() -> dict[str, Any]:
    """What produced a file: package versions, git revision (None outside a clone), devices."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    devices = jax.devices()
    return {
        "versions": versions,
        "git_revision": _revision(Path(__file__).resolve().parents[2]),
        "backend": jax.default_backend(),
        "device": devices[0].device_kind,
        "device_count": len(devices),
    }


def other_version(content: dict[str, Any]) -> str:
    """That another version of fastrl wrote a file with this `provenance`, in words; empty where it was this one."""
    made = content.get("versions", {}).get("fastrl", __version__)
    return "" if made == __version__ else f"it was made by fastrl {made} and this is {__version__}"


def _revision(root: Path) -> str | None:
    if not (root / ".git").exists():
        return None
    try:
        found = subprocess.run(
            ["git", "-C", str(root), "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip()


def _checksum(content: dict[str, Any]) -> str:
    return hashlib.sha256(digests.canonical(content)).hexdigest()


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            yield block
