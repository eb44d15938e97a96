"""fastrl: fine-tune an offline pre-trained actor-critic online, fast. The names below are the public ones."""

import importlib
from typing import Any

from fastrl.config import BC, CQL, IQL, SAC, CalQL
from fastrl.errors import UserError

__version__ = "0.1.0"

_LAZY = {
    "run": "fastrl.api",
    "pretrain": "fastrl.api",
    "finetune": "fastrl.api",
    "evaluate": "fastrl.api",
    "Run": "fastrl.api",
    "load": "fastrl.data.datasets",
    "Dataset": "fastrl.data.datasets",
    "save_d4rl": "fastrl.data.export",
    "save_minari": "fastrl.data.export",
    "make": "fastrl.envs.registry",
    "register": "fastrl.envs.registry",
    "Agent": "fastrl.agent",
    "load_agent": "fastrl.agent",
    "Spec": "fastrl.types",
    "Step": "fastrl.types",
    "Transition": "fastrl.types",
}

__all__ = ["BC", "CQL", "IQL", "SAC", "CalQL", "UserError", "__version__", "envs", *_LAZY]


def __getattr__(name: str) -> Any:
    """Imports what needs jax only when it is asked for, so that `fastrl --help` is instant."""
    if name == "envs":
        return importlib.import_module("fastrl.envs")
    if name not in _LAZY:
        raise AttributeError(f"module 'fastrl' has no attribute {name!r}")
    attribute = "load" if name == "load_agent" else name
    return getattr(importlib.import_module(_LAZY[name]), attribute)
