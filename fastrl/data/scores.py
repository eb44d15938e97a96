"""D4RL's normalised scores, for data whose name says that it is D4RL's own. Knows no run and no environment.

Reference returns: d4rl/infos.py. Left out are AntMaze and Kitchen, where the rows that learning sees do not sum to the
return that D4RL scores, and Minari's MuJoCo data, which were collected anew on other versions of the tasks.
"""

import re

import numpy as np

REFERENCES: dict[str, tuple[float, float]] = {  # return of a random policy, of an expert
    "halfcheetah": (-280.178953, 12135.0),
    "hopper": (-20.272305, 3234.3),
    "walker2d": (1.629008, 4592.3),
    "ant": (-325.6, 3879.7),
    "pen": (96.262799, 3076.8331017826877),
    "door": (-56.512833, 2880.5693087298737),
    "hammer": (-274.856578, 12794.134825156867),
    "relocate": (-6.425911, 4233.877797728884),
    "maze2d-umaze": (23.85, 161.86),
    "maze2d-medium": (13.13, 277.39),
    "maze2d-large": (6.7, 273.99),
}
NAMES = (
    r"(halfcheetah|hopper|walker2d|ant)-(?:random|medium|expert|medium-replay|medium-expert|full-replay)-v[012]",
    r"(pen|door|hammer|relocate)-(?:human|cloned|expert)-v[01]",
    r"(maze2d-(?:umaze|medium|large))-v1",
    r"D4RL/(pen|door|hammer|relocate)/(?:human|cloned|expert)-v\d+",  # Minari's copies of the same data
)


def reference(name: str) -> tuple[float, float] | None:
    """Random and expert return for a file's stem or a Minari id; none where the score would not be comparable."""
    task = name if name.startswith("D4RL/") else name.replace("_", "-")
    found = next((match for pattern in NAMES if (match := re.fullmatch(pattern, task))), None)
    return REFERENCES[found[1]] if found else None


def score(returns: np.ndarray, bounds: tuple[float, float]) -> np.ndarray:
    """`100 (R - random) / (expert - random)` of raw, undiscounted returns (d4rl/infos.py)."""
    low, high = bounds
    return 100 * (returns - low) / (high - low)
