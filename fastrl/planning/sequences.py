"""What a sequence model learns from and plays for: windows of the dataset with raw returns, and a return to reach."""

import dataclasses

import numpy as np

from fastrl.data.datasets import Dataset
from fastrl.methods import ODT
from fastrl.replay.draws import Draw
from fastrl.replay.returns import monte_carlo
from fastrl.replay.windows import windows
from fastrl.types import Spec

TARGETS = {"hopper": 3_600.0, "walker2d": 5_000.0, "halfcheetah": 6_000.0}
"""Returns that ODT plays for by environment (released scripts; the last two second-hand)."""


def aimed(config: ODT, spec: Spec, data: Dataset | None) -> ODT:
    """The options with a return to play for: the user's, the paper's for the task, else the best of the dataset."""
    if config.target_return is not None:
        return config
    known = 1.0 if spec.domain == "antmaze" else TARGETS.get(spec.name)
    if known is None and data is not None and data.boundary.any():
        known = float(data.episode_returns().max())
    return dataclasses.replace(config, target_return=known)


def learning(config: ODT, data: Dataset | None) -> Draw:
    """Windows whose rows know the return that came after them, their own reward included."""
    if data is None:
        return windows(config.context, np.zeros(0))
    return windows(config.context, monte_carlo(data.reward, np.ones(data.rows), data.boundary, 1.0))


def labelling(config: ODT, data: Dataset | None) -> Draw:
    """Windows as long as it sees while it plays, whose rows know what their trajectory was paid before them."""
    if data is None:
        return windows(config.eval_context, np.zeros(0))
    first = np.r_[True, data.boundary[:-1]]
    paid = monte_carlo(data.reward[::-1], np.ones(data.rows), first[::-1], 1.0)[::-1]
    return windows(config.eval_context, paid - data.reward)
