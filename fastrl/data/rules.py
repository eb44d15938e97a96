"""What the papers do to the data of a domain before they learn from it (WSRL's released code). Knows no file.

Rewards here are raw, before any scale and bias. Returns follow from the rows: `fastrl.data.returns`.
"""

import dataclasses

import numpy as np

from fastrl.data.datasets import Dataset
from fastrl.types import UserError


def apply(data: Dataset, domain: str) -> Dataset:
    """The dataset as that domain's papers learn from it; of any other domain, the dataset. Applying twice is once."""
    rule = {"antmaze": antmaze, "kitchen": kitchen, "adroit": adroit}.get(domain)
    return data if rule is None else rule(data)


def antmaze(data: Dataset) -> Dataset:
    """Every step at the goal is terminal, so that a run of them becomes trajectories of one step with return 1.

    D4RL's files say so themselves (its issue 199); Minari's, whose episodes go on at the goal, do not.
    """
    return _terminal(data, data.reward == 1)


def kitchen(data: Dataset) -> Dataset:
    """The step with all four tasks solved (reward 4) is terminal; D4RL's files never say so."""
    return _terminal(data, data.reward == 4)


def adroit(data: Dataset) -> Dataset:
    """Binary tasks (reward 0 at success, else -1): trajectories with a success, cut at their last one.

    Steps of success are terminal. What follows the last success, and all of a trajectory without one, is dropped.
    """
    if not np.isin(data.reward, (-1.0, 0.0)).all():
        row = int(np.argmin(np.isin(data.reward, (-1.0, 0.0))))
        raise UserError(
            f"{data.name}: reward is {data.reward[row]:g} at row {row}, not -1 or 0; the binary Adroit tasks need "
            "their own data (fastrl datasets convert)"
        )
    success = data.reward == 0
    starts = np.r_[0, np.flatnonzero(data.boundary)[:-1] + 1] if data.boundary.any() else np.array([0])
    if data.boundary.any() and not data.boundary[-1]:
        starts = np.r_[starts, np.flatnonzero(data.boundary)[-1] + 1]
    later = np.zeros(data.rows, bool)  # a success comes at this row or after it, in its trajectory
    for first, stop in zip(starts, np.r_[starts[1:], data.rows]):
        later[first:stop] = np.logical_or.accumulate(success[first:stop][::-1])[::-1]
    if not later.any():
        raise UserError(f"{data.name}: no trajectory has a success (reward 0); there is nothing to learn from")
    return _terminal(data.only(later), success[later])


def _terminal(data: Dataset, rows: np.ndarray) -> Dataset:
    """`rows` [M] bool, made terminal."""
    mask = np.where(rows, np.float32(0), data.mask)
    return dataclasses.replace(data, mask=mask, boundary=data.boundary | rows)
