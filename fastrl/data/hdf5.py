"""Reads what an HDF5 file holds itself, and no more than it holds.

HDF5 follows links, external storage and virtual datasets into other files of the reading user: all are refused.
"""

import math
from typing import Any

import h5py
import numpy as np

from fastrl.types import UserError

CHUNKS, BYTES = 1_000, 64 << 20  # that may be missing: HDF5 reads chunks that were never written as zeros
DEPTH = 16  # soft links that are followed one after another


def find(group: h5py.Group, path: str, depth: int = 0) -> h5py.Dataset | h5py.Group | None:
    """What lies at a path below a group, None where nothing does; `UserError` where it lies in another file."""
    at: h5py.Dataset | h5py.Group | None = group.file if path.startswith("/") else group
    for name in filter(None, path.split("/")):
        if not isinstance(at, h5py.Group) or not at.id.links.exists(name.encode()):
            return None
        kind = at.id.links.get_info(name.encode()).type
        if kind == h5py.h5l.TYPE_SOFT and depth < DEPTH:
            at = find(at, at.id.links.get_val(name.encode()).decode(), depth + 1)
        elif kind == h5py.h5l.TYPE_HARD:
            at = at[name]
        else:
            raise _elsewhere(group, path, "a link leads out of it")
    return at


def array(node: h5py.Dataset) -> np.ndarray:
    """The array as it is stored.

    Raises `ValueError` where it claims far more chunks than it has: a flipped bit in a shape would be filled with
    zeros, until memory ends. `UserError` where its numbers lie in another file.
    """
    if node.is_virtual or node.external:
        raise _elsewhere(node, node.name, "it is virtual" if node.is_virtual else "its raw data is external")
    if node.chunks:
        claimed = math.prod(-(-size // chunk) for size, chunk in zip(node.shape, node.chunks))
        missing = claimed - node.id.get_num_chunks()
        if missing > CHUNKS or missing * math.prod(node.chunks) * node.dtype.itemsize > BYTES:
            raise ValueError(f"{node.name} has {missing} chunks less than it claims")
    return np.asarray(node[()])


def tree(node: h5py.Dataset | h5py.Group) -> Any:
    """An array, or a dictionary of what a group holds."""
    if isinstance(node, h5py.Group):
        return {key: tree(find(node, key)) for key in node}
    return array(node)


def _elsewhere(node: h5py.Dataset | h5py.Group, path: str, why: str) -> UserError:
    return UserError(f"{node.file.filename}: '{path}' is stored outside of the file ({why}); copy its numbers into it")
