"""Dict observations as vectors, in a stated order of their keys.

`order` names keys; their columns are joined as they stand. Without one, a Dict with `observation` and
`achieved_goal` becomes D4RL's vector of that family:

- AntMaze, 29 numbers: `achieved_goal` (xy), then `observation` (27). The goal is not in it; add `desired_goal` for a
  goal-conditioned policy.
- Kitchen, 60 numbers, where the goals are Dicts themselves: positions of the robot (9) and of the objects (21), out of
  `observation`, then the goal (30), zero but at the entries of the tasks in `desired_goal`: the order `("kitchen",)`.
"""

from typing import Any

import numpy as np

from fastrl.data import validate
from fastrl.envs import spaces
from fastrl.types import UserError

ANTMAZE = ("achieved_goal", "observation")
KITCHEN = ("kitchen",)
ROBOT, OBJECTS = slice(0, 9), slice(18, 39)  # of Franka Kitchen's 59: qpos 9, qvel 9, objects' qpos 21, qvel 20
GOAL_SIZE = 30
GOAL_ENTRIES = {  # D4RL's kitchen, OBS_ELEMENT_INDICES
    "bottom burner": slice(11, 13),
    "bottom left burner": slice(11, 13),
    "top burner": slice(15, 17),
    "top left burner": slice(15, 17),
    "light switch": slice(17, 19),
    "slide cabinet": slice(19, 20),
    "hinge cabinet": slice(20, 22),
    "microwave": slice(22, 23),
    "kettle": slice(23, 30),
}


def order_of(where: str, tree: Any, order: tuple[str, ...]) -> tuple[str, ...]:
    """The order to use for observations like `tree`: the one given, or the family's; () for plain arrays."""
    if not isinstance(tree, dict):
        if order:
            raise UserError(f"{where}: observations are one array, not a Dict; leave --dataset-order out")
        return ()
    if order:
        return order
    if {"observation", "achieved_goal"} <= tree.keys():
        return KITCHEN if isinstance(tree["achieved_goal"], dict) else ANTMAZE
    raise UserError(
        f"{where}: observations are a Dict of {', '.join(tree)}; "
        "say which, in which order, with --dataset-order KEYS (in Python order=...)"
    )


def flatten(where: str, tree: Any, order: tuple[str, ...]) -> np.ndarray:
    """Arrays [T, ..] by key, joined to float32 [T, O]."""
    if not order:
        return validate.numbers(where, "observations", spaces.rows(where, tree), 2)
    if order == KITCHEN:
        return _kitchen(where, tree)
    return np.concatenate([_part(where, tree, key) for key in order], axis=1)


def _part(where: str, tree: Any, key: str) -> np.ndarray:
    """[T, k] of one key; `goal/kettle` is a key of a Dict inside the Dict."""
    found = tree
    for name in key.split("/"):
        if not isinstance(found, dict) or name not in found:
            raise UserError(f"{where}: observations have no {key!r}; order names keys of {', '.join(tree)}")
        found = found[name]
    if isinstance(found, dict):
        raise UserError(f"{where}: {key!r} is a Dict itself; name its keys, as {key}/{next(iter(found), '')}")
    return validate.numbers(where, f"observations/{key}", spaces.rows(where, found), 2)


def _kitchen(where: str, tree: Any) -> np.ndarray:
    state = _part(where, tree, "observation")
    if state.shape[1] != 59:
        raise UserError(f"{where}: 'observation' has {state.shape[1]} numbers, Franka Kitchen's has 59; give an order")
    goal = np.zeros((len(state), GOAL_SIZE), np.float32)
    for task in tree.get("desired_goal", {}):
        if task not in GOAL_ENTRIES:
            raise UserError(f"{where}: unknown kitchen task {task!r}; give an order")
        goal[:, GOAL_ENTRIES[task]] = _part(where, tree, f"desired_goal/{task}")
    return np.concatenate([state[:, ROBOT], state[:, OBJECTS], goal], axis=1)
