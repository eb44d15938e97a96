"""Datasets out, as files that D4RL's or Minari's own readers and `fastrl.load` read back.

The numbers come back bit for bit, but the rows may change in two ways. Both formats chain observations, so a row whose
successor does not start at its `next_obs` to the last bit ends its trajectory in the file. A D4RL file needs a row more
(`timeouts` set, no action, no reward, dropped by every reader of transitions) after each trajectory whose last
observation is not the next row's.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from fastrl.data import d4rl, minari_files
from fastrl.data.datasets import Dataset
from fastrl.data.rows import Rows


def save_d4rl(data: Dataset | Mapping[str, np.ndarray], path: str | Path) -> None:
    """Writes a dataset, or arrays by their key in the file (`observations` [N, O], ..), as D4RL HDF5 with checksums.

    Raises `UserError` where the file exists or its folder does not.
    """
    d4rl.write(path, columns(data) if isinstance(data, Dataset) else data)


def save_minari(data: Dataset, identity: str, root: str | Path | None = None) -> Path:
    """Writes a dataset as the Minari id `identity` under `root` (none: Minari's own folder) and returns its folder.

    Raises `UserError` where the id is none or exists.
    """
    rows = Rows(data.obs, data.action, data.reward, data.mask == 0, data.next_obs, data.boundary)
    return minari_files.write(identity, None if root is None else Path(root), rows)


def columns(data: Dataset) -> dict[str, np.ndarray]:
    """A dataset's rows in D4RL's layout, [N, ..] by key, with the rows that hold a trajectory's last observation."""
    terminal = data.mask == 0
    apart = np.ones(data.rows, bool)
    apart[:-1] = (data.obs[1:] != data.next_obs[:-1]).any(axis=1)
    closing = apart | (data.boundary & ~terminal)
    timeout = np.ones(data.rows, bool)
    timeout[-1] = data.boundary[-1]  # an unfinished tail stays one
    after = np.flatnonzero(closing) + 1

    def insert(column: np.ndarray, values: np.ndarray | float | bool) -> np.ndarray:
        return np.insert(column, after, values, axis=0)

    return {
        "observations": insert(data.obs, data.next_obs[closing]),
        "actions": insert(data.action, 0.0),
        "rewards": insert(data.reward, 0.0),
        "terminals": insert(terminal, False),
        "timeouts": insert(np.zeros(data.rows, bool), timeout[closing]),
    }
