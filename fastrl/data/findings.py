"""What in a dataset is legal but probably a mistake, a sentence each: shown by the datasheet and at a run's start.

What is certainly a mistake is refused by the readers (`fastrl.data.validate`).
"""

import numpy as np

from fastrl.data.datasets import Dataset
from fastrl.data.validate import ACTION_LIMIT
from fastrl.types import Spec, UserError

EPISODES = 5  # of one length, all terminal, from which that length looks like a time limit
WORDS = 6  # different whole numbers that are still shown


def said(data: Dataset) -> list[str]:
    """The reader's notes on a dataset, and what its numbers show."""
    found = (_rewards(data), _ends(data), _still(data), _choices(data), _limit(data), _unconnected(data))
    return [f"{data.name}: {line}" for line in (*data.notes, *found) if line]


def raw_actions(data: Dataset, spec: Spec) -> str:
    """Whether actions look as if they were stored as the environment takes them; empty where they do not.

    They do where some component's bounds lie inside of [-1, 1] and no action of the data leaves the bounds.
    """
    low, high = (np.broadcast_to(np.asarray(b, float), spec.action_size) for b in (spec.action_low, spec.action_high))
    narrow = bool((low > -ACTION_LIMIT).any() or (high < ACTION_LIMIT).any())
    inside = bool(((data.action >= low - 1e-6) & (data.action <= high + 1e-6)).all())
    if not narrow or not inside or any(word.startswith("actions=") for word in data.reading):
        return ""
    return (
        f"{data.name}: no action leaves {spec.name}'s own bounds, {low.min():g} to {high.max():g}: if they are stored "
        "as the environment takes them, add --actions environment; they are taken as scaled to [-1, 1]"
    )


def check_followed(data: Dataset) -> None:
    """Refuses data whose rows do not follow one another, where returns are needed."""
    if line := _unconnected(data):
        raise UserError(f"{data.name}: {line}; Monte-Carlo returns need whole trajectories in their order")


def _rewards(data: Dataset) -> str:
    return f"every reward is {data.reward[0]:g}; nothing to improve on" if np.ptp(data.reward) == 0 else ""


def _ends(data: Dataset) -> str:
    return "" if data.boundary.any() else "no episode ends; Monte-Carlo returns are not available"


def _still(data: Dataset) -> str:
    still = np.flatnonzero(np.ptp(data.action, axis=0) == 0)
    return f"action {still[0]} never changes; was it recorded?" if still.size else ""


def _choices(data: Dataset) -> str:
    """Whole numbers, up to where actions are clipped."""
    whole = np.round(data.action)
    if (np.abs(data.action - whole) > 2 * (1 - ACTION_LIMIT)).any() or np.ptp(whole) == 0:
        return ""
    words = ", ".join(f"{value:g}" for value in np.unique(whole)[:WORDS])
    return f"every action is a whole number ({words}): these look like choices, and are learnt as continuous actions"


def _limit(data: Dataset) -> str:
    """Episodes of one length above 1, all terminal."""
    ends = np.flatnonzero(data.boundary)
    length = np.diff(ends, prepend=-1)
    if len(ends) < EPISODES or length[0] < 2 or np.ptp(length) or (data.mask[ends] != 0).any():
        return ""
    return (
        f"all {len(ends)} episodes end as terminal after exactly {length[0]} steps: if that is a time limit, store it "
        "in 'timeouts'; as a terminal it cuts the bootstrap"
    )


def _unconnected(data: Dataset) -> str:
    """Most trajectories are one row that is not terminal."""
    ends = np.flatnonzero(data.boundary)
    alone = int(((np.diff(ends, prepend=-1) == 1) & (data.mask[ends] != 0)).sum())
    if data.rows < 10 or 2 * alone < data.rows:
        return ""
    return f"{alone} of {data.rows} rows are not followed by their successor: no trajectory can be followed"
