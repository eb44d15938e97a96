"""D4RL's normalised scores: of data whose metadata says that it is D4RL's own, and of policies on D4RL's tasks.

Reference returns: d4rl/infos.py. Only Minari's copies of D4RL's Adroit data say what they are, in their metadata; of an
HDF5 file there is no more than its name, which proves nothing. Left out are Kitchen, where the rows that learning
sees do not sum to the return that D4RL scores, and Minari's MuJoCo data, collected anew on other versions of the tasks.
A policy is scored by where it plays, whatever it learnt from: references that were measured here, for every other task,
are in `fastrl.data.references`.
"""

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

REFERENCES: dict[str, tuple[float, float]] = {  # return of a random policy, of an expert
    "pen": (96.262799, 3076.8331017826877),
    "door": (-56.512833, 2880.5693087298737),
    "hammer": (-274.856578, 12794.134825156867),
    "relocate": (-6.425911, 4233.877797728884),
}
TASKS: dict[str, tuple[float, float]] = {  # the same of tasks that a policy is played in; raw returns
    "halfcheetah": (-280.178953, 12135.0),
    "hopper": (-20.272305, 3234.3),
    "walker2d": (1.629008, 4592.3),
    "ant": (-325.6, 3879.7),
}
ANTMAZE = (0.0, 1.0)
"""Of every AntMaze: the success."""
OTHERWISE = {
    ("walker2d", "v5"): "v5's right foot rubs more than that of v2 to v4",
    ("ant", "v5"): "v5 charges contact forces, which are 0 in v2 and left out of v4",
}
"""Versions of Gymnasium's tasks that are not D4RL's v2 under another name, and why."""
NAME = re.compile(r"D4RL/(pen|door|hammer|relocate)/(?:human|cloned|expert)-v\d+")


def reference(kind: str, name: str) -> tuple[float, float] | None:
    """Random and expert return for a dataset of that format and name; none where no score would be comparable."""
    found = NAME.fullmatch(name) if kind == "minari" else None
    return REFERENCES[found[1]] if found else None


def score(returns: np.ndarray, bounds: tuple[float, float]) -> np.ndarray:
    """`100 (R - random) / (expert - random)` of raw, undiscounted returns (d4rl/infos.py)."""
    low, high = bounds
    return 100 * (returns - low) / (high - low)


def named(env: str, options: Mapping[str, Any]) -> tuple[str, str, dict[str, Any]]:
    """The task of an environment, Gymnasium's version of it ("" of a task that is not Gymnasium's), other options."""
    others = {key: value for key, value in options.items() if key != "version" and (key, value) != ("physics", "d4rl")}
    if (found := re.fullmatch(r"gymnasium:(\w+)-(v\d+)", env)) and found[1].lower() in TASKS:
        return found[1].lower(), found[2], others
    return env, str(options.get("version", "v5")) if env in TASKS else "", others


def of_task(env: str, options: Mapping[str, Any]) -> tuple[float, float] | None:
    """D4RL's random and expert return of the task that an environment is; none where it is another task than D4RL's."""
    task, version, others = named(env, options)
    if others or (task, version) in OTHERWISE:
        return None
    return ANTMAZE if task.startswith("antmaze-") else TASKS.get(task)
