"""Checksums of a saved tree: of each leaf, of each file and of the whole. Files are written whole or not at all."""

import hashlib
import importlib.metadata
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fastrl.types import UserError

FORMAT = 1
PACKAGES = ("fastrl", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy", "mujoco")
_BLOCK = 1 << 24  # bytes hashed at a time


class Damaged(Exception):
    """What was read is not what was written; the message names the leaf or the file."""


def leaves(tree: Any) -> dict[str, Any]:
    """The leaves of a pytree by their dotted path, in tree order."""
    flat, _ = jax.tree_util.tree_flatten_with_path(tree)
    named = {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in flat}
    if len(named) != len(flat):
        raise ValueError("two leaves of the tree have the same path")
    return named


def is_key(leaf: Any) -> bool:
    """Whether a leaf (concrete or abstract) is a typed PRNG key."""
    return hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def describe(leaf: Any) -> dict[str, Any]:
    """Dtype and shape of a leaf, concrete or abstract: `{"dtype": "float32", "shape": [2, 3]}`."""
    if not hasattr(leaf, "dtype"):
        leaf = np.asarray(leaf)
    return {"dtype": str(leaf.dtype), "shape": list(leaf.shape)}


def abstract(digests: dict[str, dict[str, Any]]) -> dict[str, jax.ShapeDtypeStruct]:
    """What `digest` recorded, as leaves without values by their path."""
    key = jax.random.key(0).dtype
    return {
        path: jax.ShapeDtypeStruct(entry["shape"], key if entry["dtype"] == str(key) else entry["dtype"])
        for path, entry in digests.items()
    }


def digest(tree: Any) -> dict[str, dict[str, Any]]:
    """Dtype, shape and SHA-256 of every leaf's bytes in C order, whatever devices hold it.

    Typed keys count by their key data. One leaf is on the host at a time.
    """
    return {path: {**describe(leaf), "sha256": _sha256(_pieces(leaf))} for path, leaf in leaves(tree).items()}


def combine(digests: dict[str, dict[str, Any]]) -> str:
    """One SHA-256 over `digest`'s answer; the order of the leaves does not matter."""
    return hashlib.sha256(_canonical(digests)).hexdigest()


def total(tree: Any) -> str:
    """One SHA-256 of a whole tree: equal exactly if every leaf has the same path, type and bits."""
    return combine(digest(tree))


def files(folder: Path) -> dict[str, dict[str, Any]]:
    """Size in bytes and SHA-256 of every file under a folder, by its relative path."""
    found = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): {
            "bytes": path.stat().st_size,
            "sha256": _sha256(_blocks(path)),
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
        if _sha256(_blocks(path)) != entry["sha256"]:
            raise Damaged(f"file {name} differs from its checksum")


def verify_leaves(tree: Any, expected: dict[str, dict[str, Any]]) -> None:
    """Raises `Damaged`, naming the first leaf that is not as `digest` recorded it."""
    found = digest(tree)
    for path in expected.keys() | found.keys():
        if path not in found or path not in expected:
            raise Damaged(f"leaf {path} is {'missing' if path in expected else 'unknown'}")
    for path, entry in expected.items():
        if found[path] != entry:
            raise Damaged(f"leaf {path} differs from its checksum")


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
    if content.get("format") != FORMAT:
        raise Damaged(f"{path.name} has format {content.get('format')}, this version reads {FORMAT}")
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
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror}); choose another place or make room") from error
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


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def _checksum(content: dict[str, Any]) -> str:
    return hashlib.sha256(_canonical(content)).hexdigest()


def _sha256(pieces: Iterator[Any]) -> str:
    total = hashlib.sha256()
    for piece in pieces:
        total.update(piece)
    return total.hexdigest()


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            yield block


def _pieces(leaf: Any) -> Iterator[Any]:
    """The bytes of a leaf in C order; shards of a leading axis one after the other."""
    if is_key(leaf):
        leaf = jax.random.key_data(leaf)
    for part in _shards(leaf):
        array = np.ascontiguousarray(part)
        if array.size:
            yield array.reshape(-1).view(np.uint8)


def _shards(leaf: Any) -> list[Any]:
    """Pieces whose bytes, joined, are the leaf's: a view per shard, so that the host copy is not kept."""
    if not isinstance(leaf, jax.Array) or leaf.ndim == 0:
        return [leaf]
    by_start = {(shard.index[0].start or 0): shard for shard in leaf.addressable_shards}
    parts = [by_start[start].data for start in sorted(by_start)]
    whole = all(part.shape[1:] == leaf.shape[1:] for part in parts)
    return parts if whole and sum(part.shape[0] for part in parts) == leaf.shape[0] else [leaf]
