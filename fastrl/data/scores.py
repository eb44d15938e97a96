"""D4RL's normalised scores, for data whose metadata says that it is D4RL's own.

Reference returns: d4rl/infos.py. Only Minari's copies of D4RL's Adroit data say what they are, in their metadata; of an
HDF5 file there is no more than its name, which proves nothing. Left out are Kitchen, where the rows that learning
sees do not sum to the return that D4RL scores, and Minari's MuJoCo data, collected anew on other versions of the tasks.
"""

import re

import numpy as np

REFERENCES: dict[str, tuple[float, float]] = {  # return of a random policy, of an expert
    "pen": (96.262799, 3076.8331017826877),
    "door": (-56.512833, 2880.5693087298737),
    "hammer": (-274.856578, 12794.134825156867),
    "relocate": (-6.425911, 4233.877797728884),
}
NAME = re.compile(r"D4RL/(pen|door|hammer|relocate)/(?:human|cloned|expert)-v\d+")


def reference(kind: str, name: str) -> tuple[float, float] | None:
    """Random and expert return for a dataset of that format and name; none where no score would be comparable."""
    found = NAME.fullmatch(name) if kind == "minari" else None
    return REFERENCES[found[1]] if found else None


def score(returns: np.ndarray, bounds: tuple[float, float]) -> np.ndarray:
    """`100 (R - random) / (expert - random)` of raw, undiscounted returns (d4rl/infos.py)."""
    low, high = bounds
    return 100 * (returns - low) / (high - low)
