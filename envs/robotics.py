"""Kitchen and Adroit tasks by name: their sizes, horizons and domains. The physics are in kitchen.py and adroit.py.

Sizes are stated, not asked for, so that a name costs no simulator.
"""

import importlib.util
from pathlib import Path

from fastrl.envs.from_gymnasium import Hosted, hosted
from fastrl.envs.host import BACKEND
from fastrl.types import Spec, UserError

HAND = {"pen": (45, 24, 100), "door": (39, 28, 200), "relocate": (39, 30, 200)}
"""Observation, action, horizon of the Adroit tasks."""


def kitchen(task: str, *, horizon: int | None = None, timeout: float = 60.0) -> Hosted:
    """D4RL's kitchen as WSRL ran it, 280 steps (Cal-QL: 1000). `timeout`: seconds for a step."""
    spec = Spec(f"kitchen-{task}", 60, 9, horizon or 280, "kitchen", BACKEND, subtasks=4)
    return _hosted(spec, "kitchen.py", task, timeout)


def adroit(task: str, *, horizon: int | None = None, timeout: float = 60.0) -> Hosted:
    """Adroit with reward 0 at a success, which ends the episode, else -1. `timeout`: seconds for a step."""
    obs, action, steps = HAND[task]
    spec = Spec(f"{task}-binary", obs, action, horizon or steps, "adroit", BACKEND, sparse=True, failure_reward=-1.0)
    return _hosted(spec, "adroit.py", task, timeout)


def _hosted(spec: Spec, file: str, task: str, timeout: float) -> Hosted:
    if importlib.util.find_spec("gymnasium_robotics") is None:
        raise UserError(f"environment {spec.name!r} needs gymnasium-robotics: pip install 'fastrl[robotics]'")
    return hosted(spec, str(Path(__file__).with_name(file)), "make", {"task": task}, timeout)
