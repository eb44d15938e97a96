"""What a random and an expert policy earn in our own tasks, measured here: the ends of normalised scores.

The table is `reference_scores.json` beside this file, written by `benchmarks/reference_scores.py`. Where D4RL's own
references apply (`fastrl.data.scores`), they are used instead. An expert is the best policy that comes with the package
(`fastrl/behaviours/README.md`), or the controller that data of a maze is collected with: it sets the unit of the score
and is no upper bound of what can be earned.
"""

import dataclasses
import functools
import json
import math
from collections.abc import Mapping
from importlib import resources
from typing import Any

import numpy as np

from fastrl.data import scores


@dataclasses.dataclass(frozen=True)
class Measured:
    """What one policy earned, its raw return or, in a sparse task, its success."""

    mean: float
    low: float  # of the 95 % interval of the mean
    high: float
    episodes: int
    who: str  # acted


@dataclasses.dataclass(frozen=True)
class Reference:
    """The two ends of a task's normalised score."""

    env: str
    version: str  # of Gymnasium's task; empty for our own mazes
    random: Measured
    expert: Measured
    made: str  # with which fastrl, commit, MuJoCo and jax


@dataclasses.dataclass(frozen=True)
class Scale:
    """What turns raw returns into scores, and the name of those."""

    name: str  # a column's
    low: float  # raw return of 0
    high: float  # raw return of 100

    def of(self, returns: np.ndarray) -> np.ndarray:
        """`100 (R - low) / (high - low)`."""
        return scores.score(returns, (self.low, self.high))


@functools.cache
def table() -> dict[str, Reference]:
    """Every measured task by its name."""
    text = (resources.files("fastrl") / "data" / "reference_scores.json").read_text()
    return {env: parsed(row) for env, row in json.loads(text).items()}


def parsed(row: Mapping[str, Any]) -> Reference:
    """A reference from its JSON, which is `dataclasses.asdict` of it."""
    ends = {end: Measured(**row[end]) for end in ("random", "expert")}
    return Reference(**{**row, **ends})


def scale(env: str, options: Mapping[str, Any]) -> Scale | None:
    """D4RL's score where it compares, else ours where it was measured on this very task, else none.

    `env` is the name of an environment, `options` are those it was made with: any but `version` make another task.
    """
    if (bounds := scores.of_task(env, options)) is not None:
        return Scale("D4RL score", *bounds)
    task, version, others = scores.named(env, options)
    known = table().get(measured_as(task))
    if known is None or others or version not in ("", known.version):
        return None
    return Scale("normalised score", known.random.mean, known.expert.mean)


def measured_as(env: str) -> str:
    """The name under which a task is in the table: the kinds of an AntMaze differ in their data alone."""
    if not env.startswith("antmaze-"):
        return env
    maze, layout, *_ = env.split("-")
    return f"{maze}-{layout}" if layout == "umaze" else f"{maze}-{layout}-play"


def measured(values: np.ndarray, who: str, shares: bool) -> Measured:
    """Mean and 95 % interval of values [P] of independent episodes.

    Wilson's where each is a success or none (`shares`), which has a width where all are alike; Student's elsewhere.
    """
    values = np.asarray(values, np.float64)
    count, mean = len(values), float(values.mean())
    if shares:
        z = 1.959964
        centre, half = mean + z * z / (2 * count), z * math.sqrt(mean * (1 - mean) / count + (z / (2 * count)) ** 2)
        low, high = ((centre + sign * half) / (1 + z * z / count) for sign in (-1, 1))
        return Measured(mean, max(0.0, low), min(1.0, high), count, who)
    from scipy import stats  # takes a second, and only measuring needs it

    half = float(stats.t.ppf(0.975, count - 1)) * float(values.std(ddof=1)) / math.sqrt(count)
    return Measured(mean, mean - half, mean + half, count, who)
