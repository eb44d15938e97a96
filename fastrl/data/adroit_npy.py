"""Adroit's binary demonstrations, pickled lists of trajectories, as a dataset. Reading a pickle runs what is in it.

Each trajectory is a dictionary: observations (arrays, or dictionaries with `state_observation`), actions, rewards (0 at
success, else -1), perhaps next_observations. `fastrl.data.rules.adroit` says which rows stay.
"""

from pathlib import Path
from typing import Any

import numpy as np

from fastrl.data import rows, rules
from fastrl.data.datasets import Dataset
from fastrl.types import UserError


def convert(paths: list[Path], allow_pickle: bool) -> Dataset:
    """The trajectories of all files, cut at their last success.

    Raises `UserError` unless `allow_pickle`, and where a file is something else.
    """
    if not allow_pickle:
        raise UserError(
            f"{paths[0]}: is a pickle, and reading a pickle runs any code that is in it; add --allow-pickle if you "
            "trust where it comes from"
        )
    parts = [part for path in paths for part in _read(path)]
    joined = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    name = " + ".join(str(path) for path in paths)
    return rules.adroit(Dataset.from_arrays(**joined, name=name))


def _read(path: Path) -> list[dict[str, np.ndarray]]:
    rows.start(path)  # says what is wrong with the file
    try:
        return [_trajectory(item) for item in np.load(path, allow_pickle=True)]
    except UserError:
        raise
    except Exception as error:  # a pickle may raise anything
        line = next(iter(str(error).splitlines()), "")
        raise UserError(
            f"{path}: is no list of trajectories ({type(error).__name__}: {line}); download it again"
        ) from error


def _trajectory(item: dict[str, Any]) -> dict[str, np.ndarray]:
    """Columns of `Dataset.from_arrays`; without next_observations a last row that is no success is dropped."""
    obs, reward = _states(item["observations"]), np.asarray(item["rewards"], np.float32).reshape(-1)
    if "next_observations" in item:
        following = _states(item["next_observations"])
    else:  # a success is terminal and needs none
        following = np.concatenate([obs[1:], obs[-1:]]) if len(reward) == len(obs) and reward[-1] == 0 else obs[1:]
    count = len(following)
    ends = np.arange(count) == count - 1
    reward = reward[:count]
    action = np.asarray(item["actions"])[:count]
    return {
        "obs": obs[:count],
        "action": np.clip(action, -1, 1),
        "reward": reward,
        "mask": reward != 0,
        "next_obs": following,
        "boundary": ends,
    }


def _states(column: Any) -> np.ndarray:
    return np.stack([step["state_observation"] if isinstance(step, dict) else step for step in column])
