"""Options of every algorithm, as frozen dataclasses with their papers' common values. Imports no jax.

A subclass of another algorithm restates the fields whose default or meaning differs. What differs by domain is in
`fastrl.presets`, by dataset in the recipes.
"""

import dataclasses
import sys
from collections.abc import Mapping
from typing import Any

from fastrl.config import ActorCritic, Options
from fastrl.methods.aca import ACA as ACA
from fastrl.methods.aca import SACML as SACML
from fastrl.methods.baselines import AWAC as AWAC
from fastrl.methods.baselines import PEX as PEX
from fastrl.methods.baselines import SO2 as SO2
from fastrl.methods.ocr_cft import O2PPO as O2PPO
from fastrl.methods.ocr_cft import O2SAC as O2SAC
from fastrl.methods.ocr_cft import O2TD3 as O2TD3
from fastrl.methods.ocr_cft import Referenced as Referenced
from fastrl.methods.odt import ODT as ODT
from fastrl.methods.off2on import Off2On as Off2On
from fastrl.methods.ppo import PPO as PPO
from fastrl.methods.proto import PROTO as PROTO
from fastrl.methods.proto import PROTOTD3 as PROTOTD3
from fastrl.methods.proto import XQL as XQL
from fastrl.methods.proto import Regularised as Regularised
from fastrl.methods.soft import BC as BC
from fastrl.methods.soft import CQL as CQL
from fastrl.methods.soft import IQL as IQL
from fastrl.methods.soft import JSRL as JSRL
from fastrl.methods.soft import SAC as SAC
from fastrl.methods.soft import CalQL as CalQL
from fastrl.methods.td3 import TD3 as TD3
from fastrl.methods.td3 import TD3BC as TD3BC

ALGORITHMS: dict[str, type[ActorCritic]] = {
    "sac": SAC,
    "cql": CQL,
    "calql": CalQL,
    "jsrl": JSRL,
    "iql": IQL,
    "bc": BC,
    "so2": SO2,
    "awac": AWAC,
    "pex": PEX,
    "td3": TD3,
    "td3bc": TD3BC,
    "ppo": PPO,
    "o2sac": O2SAC,
    "o2td3": O2TD3,
    "o2ppo": O2PPO,
    "xql": XQL,
    "proto": PROTO,
    "prototd3": PROTOTD3,
    "sacml": SACML,
    "aca": ACA,
    "off2on": Off2On,
    "odt": ODT,
}


def name_of(config: Options) -> str:
    """`sac` and so on; of a class that is not ours, MODULE:NAME, or FILE.py:NAME as it was handed over."""
    kind = type(config)
    own = {cls: name for name, cls in ALGORITHMS.items()}
    where = getattr(sys.modules.get(kind.__module__), "__fastrl_file__", kind.__module__)
    return own.get(kind, f"{where}:{kind.__qualname__}")  # type: ignore[call-overload, arg-type]


def describe(config: Options) -> dict[str, Any]:
    """The configuration as a dictionary that `restore` reads back; an object in it is told apart by its text."""
    fields = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    plain = (bool, int, float, str, type(None))
    return {
        "algorithm": name_of(config),
        **{
            name: value if isinstance(value, plain) else list(value) if isinstance(value, tuple) else repr(value)
            for name, value in fields.items()
        },
    }


def restore(fields: Mapping[str, Any], kind: type | None = None) -> Any:
    """The configuration that `describe` wrote (lists become tuples); `kind`: a class that is not ours."""
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in fields.items() if k != "algorithm"}
    return (kind or ALGORITHMS[fields["algorithm"]])(**values)
