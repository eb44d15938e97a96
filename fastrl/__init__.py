"""fastrl: fine-tune an offline pre-trained actor-critic online, fast. The names below are the public ones."""

import importlib
from typing import Any

from fastrl.config import Options, option
from fastrl.errors import UserError
from fastrl.methods import (
    ACA,
    AWAC,
    BC,
    CQL,
    IQL,
    JSRL,
    O2PPO,
    O2SAC,
    O2TD3,
    ODT,
    PEX,
    PPO,
    PROTO,
    PROTOTD3,
    SAC,
    SACML,
    SO2,
    TD3,
    TD3BC,
    XQL,
    CalQL,
    Off2On,
)

__version__ = "0.2.0.dev0"

_LAZY = {
    "run": "fastrl.api",
    "pretrain": "fastrl.api",
    "finetune": "fastrl.api",
    "sweep": "fastrl.api",
    "evaluate": "fastrl.api",
    "Run": "fastrl.api",
    "load": "fastrl.data.datasets",
    "Dataset": "fastrl.data.datasets",
    "save_d4rl": "fastrl.data.export",
    "save_minari": "fastrl.data.export",
    "export": "fastrl.exports.export",
    "make": "fastrl.envs.registry",
    "register": "fastrl.envs.registry",
    "to_gymnasium": "fastrl.envs.to_gymnasium",
    "Agent": "fastrl.agent",
    "load_agent": "fastrl.agent",
    "Algorithm": "fastrl.types",
    "Builder": "fastrl.planning.builder",
    "Clock": "fastrl.types",
    "Group": "fastrl.algorithms.group",
    "Phase": "fastrl.engine.phase",
    "Spec": "fastrl.types",
    "Step": "fastrl.types",
    "Transition": "fastrl.types",
}

__all__ = [
    "ACA",
    "AWAC",
    "BC",
    "CQL",
    "IQL",
    "JSRL",
    "O2PPO",
    "O2SAC",
    "O2TD3",
    "ODT",
    "PEX",
    "PPO",
    "PROTO",
    "PROTOTD3",
    "SAC",
    "SACML",
    "SO2",
    "TD3",
    "TD3BC",
    "XQL",
    "CalQL",
    "Off2On",
    "Options",
    "UserError",
    "__version__",
    "envs",
    "option",
    "statistics",
    *_LAZY,
]


def __dir__() -> list[str]:
    """The public names, for completion."""
    return sorted(__all__)


def __getattr__(name: str) -> Any:
    """Imports what needs jax only when it is asked for, so that `fastrl --help` is instant."""
    if name in ("envs", "statistics"):
        return importlib.import_module(f"fastrl.{name}")
    if name not in _LAZY:
        raise AttributeError(f"module 'fastrl' has no attribute {name!r}")
    attribute = "load" if name == "load_agent" else name
    return getattr(importlib.import_module(_LAZY[name]), attribute)
