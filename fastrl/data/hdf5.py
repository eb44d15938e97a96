"""Reads one array of an HDF5 file, and no more than the file holds. Knows no layout."""

import math

import h5py
import numpy as np

UNWRITTEN = 16 << 20  # bytes that a chunked array may claim beyond its chunks: those are zeros


def array(node: h5py.Dataset) -> np.ndarray:
    """The array as it is stored.

    Raises `ValueError` where it claims far more than its chunks hold: a flipped bit in a shape would be filled with
    zeros, until memory ends.
    """
    if node.chunks and node.nbytes > UNWRITTEN:
        stored = node.id.get_num_chunks() * math.prod(node.chunks) * node.dtype.itemsize
        if node.nbytes > stored + UNWRITTEN:
            raise ValueError(f"{node.name} claims {node.nbytes} bytes and has {stored}")
    return np.asarray(node[()])
