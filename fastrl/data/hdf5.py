"""Reads one array of an HDF5 file, and no more than the file holds. Knows no layout."""

import math

import h5py
import numpy as np

CHUNKS, BYTES = 1_000, 64 << 20  # that may be missing because nobody wrote to them: those are zeros


def array(node: h5py.Dataset) -> np.ndarray:
    """The array as it is stored.

    Raises `ValueError` where it claims far more chunks than it has: a flipped bit in a shape would be filled with
    zeros, until memory ends.
    """
    if node.chunks:
        claimed = math.prod(-(-size // chunk) for size, chunk in zip(node.shape, node.chunks))
        missing = claimed - node.id.get_num_chunks()
        if missing > CHUNKS or missing * math.prod(node.chunks) * node.dtype.itemsize > BYTES:
            raise ValueError(f"{node.name} has {missing} chunks less than it claims")
    return np.asarray(node[()])
