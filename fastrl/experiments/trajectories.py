"""Whole trajectories on the host, of a dataset or of an agent: what they earned, how far they went from the data."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from fastrl.data.datasets import Dataset
from fastrl.replay import returns as replay_returns

STATES, REFERENCE = 1000, 8000
"""States that are looked for in the data, and rows of the data among which they are looked for."""
USUAL = 0.95
"""Share of the data's own states that count as inside of it."""
UNSEEN = 0.05
"""A return counts as known where what follows a cut is discounted to at most this share."""


@dataclasses.dataclass(frozen=True)
class Path:
    """One trajectory of T rows, to its end."""

    obs: np.ndarray  # [T, O]
    action: np.ndarray  # [T, A]
    reward: np.ndarray  # [T], raw
    terminal: np.ndarray  # [T] bool
    next_obs: np.ndarray  # [T, O]


def of_data(data: Dataset) -> list[Path]:
    """The trajectories of a dataset, an unfinished tail left out.

    A run of terminals, as in AntMaze where the ant stays at the goal, is one trajectory and not one a row: the next row
    starts where the last one ended, and is terminal itself.
    """
    goes_on = (data.obs[1:] == data.next_obs[:-1]).all(1) & (data.mask[1:] == 0) & (data.mask[:-1] == 0)
    ends = np.flatnonzero(data.boundary & ~np.r_[goes_on, False])
    starts = np.r_[0, ends[:-1] + 1] if ends.size else ends
    rows = [slice(start, end + 1) for start, end in zip(starts, ends)]
    return [Path(data.obs[r], data.action[r], data.reward[r], data.mask[r] == 0, data.next_obs[r]) for r in rows]


def of_rows(rows: dict[str, np.ndarray]) -> list[Path]:
    """The episodes of rows [T, P, ...], each as long as it is `alive`."""
    lengths = rows["alive"].sum(0)
    names = ("obs", "action", "reward", "terminal", "next_obs")
    return [Path(*(rows[name][:length, number] for name in names)) for number, length in enumerate(lengths)]


def joined(paths: Sequence[Path]) -> tuple[Path, np.ndarray]:
    """Trajectories one after another, and [M] bool where each ends."""
    columns = (np.concatenate([getattr(path, field.name) for path in paths]) for field in dataclasses.fields(Path))
    ends = np.cumsum([len(path.reward) for path in paths]) - 1
    together = Path(*columns)
    return together, np.isin(np.arange(len(together.reward)), ends)


def score(path: Path, failure: float | None) -> float:
    """The raw return up to the first terminal row; where a step without success pays `failure`, 1 or 0 for success."""
    last = int(path.terminal.argmax()) if path.terminal.any() else len(path.reward) - 1
    reward = path.reward[: last + 1].astype(np.float64)
    return float(reward.sum()) if failure is None else float((reward > failure).any())


def returns(
    reward: np.ndarray, mask: np.ndarray, boundary: np.ndarray, discount: float, failure: float | None
) -> tuple[np.ndarray, np.ndarray]:
    """Discounted returns-to-go [M] of scaled rewards, and [M] bool where they are known.

    A trajectory that was cut hides what would have followed: its rows are known where that is discounted to at most
    `UNSEEN`, or where all of it failed and failing for ever stands for it (Cal-QL's rule, `failure`).
    """
    found = replay_returns.monte_carlo(reward, mask, boundary, discount, failure)
    ends = np.union1d(np.flatnonzero(boundary), len(reward) - 1)
    end = ends[np.searchsorted(ends, np.arange(len(reward)))]
    known = (mask[end] == 0) | (discount ** (end - np.arange(len(reward)) + 1.0) <= UNSEEN)
    if failure is not None:
        known |= np.isclose(found, replay_returns.endless(failure, discount), rtol=1e-6)
    return found, known


def inside(data: Sequence[Path], own: Sequence[Sequence[Path]]) -> np.ndarray | None:
    """[S], the share of each seed's states that lie as near to the data as `USUAL` of the data's own states do.

    Near is the distance to the closest of `REFERENCE` rows, each number divided by its standard deviation in the data;
    the data's own states are compared with other trajectories than theirs. None where the data has only one.
    """
    if len(data) < 2:
        return None
    obs = np.concatenate([path.obs for path in data]).astype(np.float32)
    number = np.repeat(np.arange(len(data)), [len(path.obs) for path in data])
    spread = obs.std(0, dtype=np.float64).astype(np.float32)
    spread[spread == 0] = 1.0
    held, asked = some(np.arange(len(obs)), REFERENCE), some(np.arange(len(obs)), STATES, seed=1)
    known = obs[held] / spread
    apart = _distances(obs[asked] / spread, known)
    apart[number[asked][:, None] == number[held]] = np.inf
    usual = np.quantile(apart.min(1), USUAL)
    shares = []
    for paths in own:
        states = np.concatenate([path.obs for path in paths]).astype(np.float32)
        states = states[some(np.arange(len(states)), STATES)] / spread
        shares.append((_distances(states, known).min(1) <= usual).mean())
    return np.array(shares)


def some(rows: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
    """At most `count` of the rows, drawn without replacement, in their order."""
    if len(rows) <= count:
        return rows
    return np.sort(np.random.default_rng(seed).choice(rows, count, replace=False))


def _distances(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Euclidean distances [F, S] of points [F, O] and [S, O]."""
    squares = np.square(first).sum(1)[:, None] + np.square(second).sum(1) - 2.0 * first @ second.T
    return np.sqrt(np.maximum(squares, 0.0))
