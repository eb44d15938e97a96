"""Reads robomimic's HDF5 files: data/demo_N with actions, rewards, dones, obs/KEY and next_obs/KEY.

A demonstration is an episode. Its `dones` are terminals, as robomimic's own learners take them; one that ends without
a `done` is truncated. Observations are joined in a stated order of their keys.
"""

from pathlib import Path
from typing import Any

import h5py
import numpy as np

from fastrl.data import d4rl, flatten, hdf5
from fastrl.data.rows import Rows
from fastrl.data.successors import Successors
from fastrl.types import Spec, UserError

ROOT, DEMO = "data", "demo_"


def recognised(path: Path) -> bool:
    """Whether an HDF5 file has this layout; a file that cannot be opened has not."""
    try:
        with h5py.File(path, "r") as file:
            return file.id.links.exists(ROOT.encode()) and bool(_demos(file))
    except (OSError, RuntimeError, ValueError, KeyError):
        return False


def read(path: Path, order: tuple[str, ...], which: Successors, bounds: Any, spec: Spec | None) -> Rows:
    """All demonstrations, by their number."""
    name, parts = "", []
    try:
        with h5py.File(path, "r") as file:
            for name in _demos(file):
                group = hdf5.find(file, f"{ROOT}/{name}")
                parts.append(_episode(f"{path}: {name}", hdf5.tree(group), order))
    except d4rl.DAMAGED as error:
        raise UserError(f"{path}: {name or 'the file'} is cut short or damaged; download it again") from error
    keys = set.intersection(*(set(part) for part in parts))
    arrays = {key: np.concatenate([part[key] for part in parts]) for key in parts[0] if key in keys}
    return d4rl.rows_of(str(path), arrays, None, which, bounds, spec, order)._replace(order=order)


def _demos(file: h5py.File) -> list[str]:
    data = hdf5.find(file, ROOT)
    names = [name for name in data if name.startswith(DEMO)] if isinstance(data, h5py.Group) else []
    return sorted(names, key=lambda name: (len(name), name))


def _episode(where: str, demo: Any, order: tuple[str, ...]) -> dict[str, np.ndarray]:
    """One demonstration in D4RL's keys."""
    for key in ("obs", "actions", "rewards", "dones"):
        if key not in demo:
            raise UserError(f"{where} has no '{key}'; such demonstrations hold obs, actions, rewards and dones")
    if not order:
        raise UserError(
            f"{where} observes {', '.join(demo['obs'])}; say which, in which order, with --dataset-order KEYS"
        )
    dones = np.asarray(demo["dones"]).reshape(-1)
    last = np.arange(len(dones)) == len(dones) - 1
    found = {
        "observations": flatten.flatten(where, demo["obs"], order),
        "actions": demo["actions"],
        "rewards": demo["rewards"],
        "terminals": dones,
        "timeouts": last & (dones == 0),
    }
    return found | (
        {"next_observations": flatten.flatten(where, demo["next_obs"], order)} if "next_obs" in demo else {}
    )
