"""Environments: two pure functions and a spec. The package imports no algorithm, no data and no engine."""

from fastrl.envs.check import check
from fastrl.envs.registry import known, make, names, register
from fastrl.envs.wrappers import Outcome, Rescale, TimeLimit, Vector, VectorState

__all__ = [
    "Outcome",
    "Rescale",
    "TimeLimit",
    "Vector",
    "VectorState",
    "check",
    "known",
    "make",
    "names",
    "register",
]
