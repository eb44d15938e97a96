"""Reads flat npz files: observations, actions, rewards, terminals, and what else D4RL or OGBench store.

Rows are taken as those of a D4RL file (`fastrl.data.successors`). OGBench's files say `masks` (0 where the episode
truly ended) and mark with `terminals` the last row of each trajectory; those of its goal-conditioned tasks have no
rewards and are refused.
"""

import zipfile
import zlib
from pathlib import Path

import numpy as np

from fastrl.data import d4rl, validate
from fastrl.data.rows import Rows
from fastrl.data.successors import Successors
from fastrl.data.validate import Bounds
from fastrl.types import Spec, UserError

KEYS = (*d4rl.RANKS, "masks")


def read(path: Path, horizon: int | None, which: Successors, bounds: Bounds | None, spec: Spec | None) -> Rows:
    """The rows of an npz file; `horizon` stands in for `timeouts` where the file has neither them nor `masks`."""
    where, arrays = str(path), _arrays(path)
    if "masks" in arrays:
        if "timeouts" in arrays:
            raise UserError(f"{where}: has 'masks' (OGBench's) and 'timeouts' (D4RL's); leave one of them out")
        masks = validate.numbers(where, "masks", arrays.pop("masks"), 1)
        validate.binary(where, "masks", masks)
        last = np.asarray(arrays.get("terminals", 0 * masks))
        arrays["terminals"] = 1 - masks
        arrays["timeouts"] = last * (masks == 1) if last.shape == masks.shape else last  # terminal rows are marked too
    return d4rl.rows_of(where, arrays, horizon, which, bounds, spec)


def _arrays(path: Path) -> dict[str, np.ndarray]:
    key = ""
    try:
        with np.load(path, allow_pickle=False) as file:
            found = {}
            for key in [key for key in KEYS if key in file]:
                found[key] = np.asarray(file[key])
    except (
        OSError,
        ValueError,
        KeyError,
        EOFError,
        MemoryError,
        RuntimeError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        if "allow_pickle" in str(error):
            raise UserError(
                f"{path}: '{key}' holds Python objects; store it as one float32 array of numbers"
            ) from error
        raise UserError(f"{path}: the file is cut short or damaged; download it again") from error
    return found
