"""Checksums of a saved tree: of each leaf and of the whole, whatever devices and processes hold it."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


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


def describe(leaf: Any, rows: int | None = None) -> dict[str, Any]:
    """Dtype and shape of a leaf, concrete or abstract: `{"dtype": "float32", "shape": [2, 3]}`, at most `rows` long."""
    if not hasattr(leaf, "dtype"):
        leaf = np.asarray(leaf)
    shape = list(leaf.shape)
    return {
        "dtype": str(leaf.dtype),
        "shape": shape if rows is None else [*(min(rows, n) for n in shape[:1]), *shape[1:]],
    }


def abstract(digests: dict[str, dict[str, Any]]) -> dict[str, jax.ShapeDtypeStruct]:
    """What `digest` recorded, as leaves without values by their path."""
    key = jax.random.key(0).dtype
    return {
        path: jax.ShapeDtypeStruct(entry["shape"], key if entry["dtype"] == str(key) else entry["dtype"])
        for path, entry in digests.items()
    }


def digest(tree: Any, rows: int | None = None) -> dict[str, dict[str, Any]]:
    """Dtype, shape and SHA-256 of every leaf's bytes in C order: of its first `rows`, what is behind them is padding.

    Typed keys count by their key data. One leaf is on the host at a time. Of a leaf that other processes hold a part
    of, it is the SHA-256 of each of this process's pieces, by the piece's first row: `merge` puts them together.
    """
    return {path: _entry(leaf, rows) for path, leaf in leaves(tree).items()}


def merge(parts: Sequence[dict[str, dict[str, Any]]]) -> dict[str, dict[str, Any]]:
    """What several processes found of one tree."""
    whole = {path: dict(entry) for path, entry in parts[0].items()}
    for path, entry in whole.items():
        if "pieces" in entry:
            entry["pieces"] = {start: sha for part in parts for start, sha in part[path]["pieces"].items()}
    return whole


def combine(digests: dict[str, dict[str, Any]]) -> str:
    """One SHA-256 over `digest`'s answer; the order of the leaves does not matter."""
    return hashlib.sha256(canonical(digests)).hexdigest()


def total(tree: Any) -> str:
    """One SHA-256 of a whole tree: equal exactly if every leaf has the same path, type and bits."""
    return combine(digest(tree))


def verify(tree: Any, expected: dict[str, dict[str, Any]], rows: int | None = None) -> None:
    """Raises `Damaged`, naming the first leaf of which what this process holds is not as `digest` recorded it."""
    found = leaves(tree)
    for path in expected.keys() | found.keys():
        if path not in found or path not in expected:
            raise Damaged(f"leaf {path} is {'missing' if path in expected else 'unknown'}")
    for path, entry in expected.items():
        described = describe(found[path], rows)
        if described != {"dtype": entry["dtype"], "shape": entry["shape"]} or not _agrees(found[path], entry):
            raise Damaged(f"leaf {path} differs from its checksum")


def canonical(value: Any) -> bytes:
    """JSON, in one way."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()


def sha256(pieces: Iterable[Any]) -> str:
    """The SHA-256 of bytes that come piece by piece."""
    total = hashlib.sha256()
    for piece in pieces:
        total.update(piece)
    return total.hexdigest()


def _entry(leaf: Any, rows: int | None) -> dict[str, Any]:
    described, held = describe(leaf, rows), _held(leaf)
    shape = described["shape"]
    whole = _between(held, 0, shape[0] if shape else None)
    if whole is not None:
        return {**described, "sha256": sha256(whole)}
    pieces = {}
    for start, part in held.items():
        if (end := min(start + len(part), shape[0])) > start:
            pieces[str(start)] = sha256(_between(held, start, end) or ())
    return {**described, "pieces": pieces}


def _agrees(leaf: Any, entry: dict[str, Any]) -> bool:
    """Whether those pieces of a leaf that this process holds are as recorded."""
    held, last = _held(leaf), entry["shape"][0] if entry["shape"] else None
    pieces = {int(start): sha for start, sha in entry["pieces"].items()} if "pieces" in entry else {0: entry["sha256"]}
    starts = sorted(pieces)
    for start, end in zip(starts, [*starts[1:], last], strict=True):
        part = _between(held, start, end)
        if part is not None and sha256(part) != pieces[start]:
            return False
    return True


def _held(leaf: Any) -> dict[int, Any]:
    """What this process holds of a leaf by its first row: a view per device, so that the host copy is not kept."""
    if is_key(leaf):
        leaf = jax.random.key_data(leaf)
    if not isinstance(leaf, jax.Array) or leaf.ndim == 0 or leaf.is_fully_replicated:
        return {0: np.asarray(leaf)}
    parts = {(shard.index[0].start or 0): shard.data for shard in leaf.addressable_shards}
    if any(part.shape[1:] != leaf.shape[1:] for part in parts.values()):
        return {0: np.asarray(leaf)}
    return dict(sorted(parts.items()))


def _between(held: dict[int, Any], first: int, last: int | None) -> Iterator[Any] | None:
    """The bytes of rows first to last, None where this process does not hold them all; of a number, its own."""
    if last is None:
        return iter([np.ascontiguousarray(held[0]).reshape(-1).view(np.uint8)])
    chosen, at = [], first
    for start, part in held.items():
        if start <= at < start + len(part):
            chosen.append((part, at - start, min(last, start + len(part)) - start))
            at = min(last, start + len(part))
    if at < last:
        return None
    flat = (np.ascontiguousarray(np.asarray(part)[a:b]).reshape(-1) for part, a, b in chosen)
    return (array.view(np.uint8) for array in flat if array.size)
