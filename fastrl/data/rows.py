"""The rows that every reader returns, and the checksum of a file."""

import hashlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fastrl.types import UserError

SUPPORTED = "give a D4RL HDF5 file, a Minari folder or id, or an npz file"
JUMP = 1e-6  # a row whose successor starts further than this from `next_obs` ends its trajectory


class Rows(NamedTuple):
    """Transitions in their stored order, and where their trajectories end."""

    obs: np.ndarray  # [M, O]
    action: np.ndarray  # [M, A]
    reward: np.ndarray  # [M]
    terminal: np.ndarray  # [M] bool
    next_obs: np.ndarray  # [M, O]
    boundary: np.ndarray  # [M] bool
    order: tuple[str, ...] = ()  # of the keys of a Dict observation
    notes: tuple[str, ...] = ()  # what the reader found that the user should know, a sentence each
    dropped: str = ""  # how many rows of the file are none of these, and why; empty where all are


COLUMNS = Rows._fields[:-3]  # those that are arrays


def start(path: Path) -> bytes:
    """The first bytes of a file, after a check that it is there, readable and not empty."""
    if not path.exists():
        raise UserError(f"{path}: no such dataset; {SUPPORTED}")
    if not path.is_file():
        raise UserError(f"{path}: is a directory without a Minari dataset; {SUPPORTED}")
    try:
        with path.open("rb") as file:
            found = file.read(8)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror}); {SUPPORTED}") from error
    if not found:
        raise UserError(f"{path}: is empty; download it again")
    return found


def digest(path: Path) -> str:
    """The sha256 of a file's bytes, checked as `start` does."""
    start(path)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def jumps(obs: np.ndarray, next_obs: np.ndarray) -> np.ndarray:
    """[M] bool: the row after this one does not start at its `next_obs` (CORL's test); False at the last."""
    found = np.zeros(len(obs), bool)
    found[:-1] = np.linalg.norm(obs[1:] - next_obs[:-1], axis=1) > JUMP
    return found
