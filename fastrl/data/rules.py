"""What the papers do to the data of a domain before they learn from it (WSRL's released code).

Rewards here are raw, before any scale and bias. Returns follow from the rows: `fastrl.replay.returns`.
"""

import dataclasses

import numpy as np

from fastrl.data.datasets import Dataset
from fastrl.types import UserError


def apply(data: Dataset, domain: str) -> Dataset:
    """The dataset as that domain's papers learn from it; unchanged for any other domain, and by a second call."""
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
    known = np.isin(data.reward, (-1.0, 0.0))
    if not known.all():
        row = int(np.argmin(known))
        raise UserError(
            f"{data.name}: reward is {data.reward[row]:g} at row {row}, not -1 or 0; the binary Adroit tasks need "
            "their own data (fastrl datasets convert)"
        )
    success = data.reward == 0
    count = np.cumsum(success)
    starts, number = data.starts(), np.cumsum(np.r_[0, data.boundary[:-1]])
    last = np.r_[count[starts[1:] - 1], count[-1]][number]  # successes up to the end of the row's trajectory
    later = (last > count) | success  # one comes at this row, or after it in its trajectory
    if not later.any():
        raise UserError(
            f"{data.name}: no trajectory has a success (reward 0), and no other is learnt from; use demonstrations"
        )
    return _terminal(data.only(later), success[later])


def _terminal(data: Dataset, rows: np.ndarray) -> Dataset:
    """`rows` [M] bool, made terminal."""
    mask = np.where(rows, np.float32(0), data.mask)
    return dataclasses.replace(data, mask=mask, boundary=data.boundary | rows)
