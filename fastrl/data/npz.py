"""Reads flat npz files: observations, actions, rewards, terminals, and what else D4RL or OGBench store. Knows no task.

With `next_observations` every row is a transition; without, rows follow one another as in a D4RL file. OGBench's files
say `masks` (0 where the episode truly ended) and mark with `terminals` the last row of each trajectory; those of its
goal-conditioned tasks have no rewards and are refused.
"""

import zipfile
import zlib
from pathlib import Path

import numpy as np

from fastrl.data import d4rl, rows, validate
from fastrl.data.rows import Rows
from fastrl.types import UserError

KEYS = (*d4rl.RANKS, "masks", "next_observations")


def read(path: Path, horizon: int | None) -> Rows:
    """The rows of an npz file; `horizon` stands in for `timeouts` where the file has neither them nor `masks`."""
    where, arrays = str(path), _arrays(path)
    if "masks" in arrays:
        if "timeouts" in arrays:
            raise UserError(f"{where}: has 'masks' (OGBench's) and 'timeouts' (D4RL's); leave one of them out")
        masks = validate.numbers(where, "masks", arrays.pop("masks"), 1)
        validate.binary(where, "masks", masks)
        arrays["timeouts"], arrays["terminals"] = arrays.get("terminals", 0 * masks), 1 - masks
    if "next_observations" not in arrays:
        return d4rl.rows_of(where, arrays, horizon)
    arrays = d4rl.checked(where, arrays)
    obs, following, terminal = arrays["observations"], arrays["next_observations"], arrays["terminals"] == 1
    if obs.shape != following.shape:
        raise UserError(f"{where}: 'next_observations' has shape {following.shape} but 'observations' has {obs.shape}")
    boundary = terminal | rows.jumps(obs, following) | (arrays.get("timeouts", 0 * arrays["rewards"]) == 1)
    return Rows(obs, arrays["actions"], arrays["rewards"], terminal, following, boundary)


def _arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as file:
            found = {key: np.asarray(file[key]) for key in KEYS if key in file}
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
        raise UserError(f"{path}: the file is cut short or damaged; download it again") from error
    return found
