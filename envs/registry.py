"""Environments by name. Imports an environment's module (and simulator) only when it is made."""

import difflib
import functools
import importlib
import inspect
from collections.abc import Callable, Iterable
from typing import Any

from fastrl.envs.wrappers import TimeLimit
from fastrl.types import Environment, UserError

Factory = Callable[..., Environment]

# A factory, or where to import it from: "module:function:first arguments".
_FACTORIES: dict[str, str | Factory] = {
    "door-binary": "fastrl.envs.robotics:adroit:door",
    "hopper": "fastrl.envs.locomotion:hopper",
    "kitchen-complete": "fastrl.envs.robotics:kitchen:complete",
    "kitchen-mixed": "fastrl.envs.robotics:kitchen:mixed",
    "kitchen-partial": "fastrl.envs.robotics:kitchen:partial",
    "pen-binary": "fastrl.envs.robotics:adroit:pen",
    "pointmaze-umaze": "fastrl.envs.maze:pointmaze:umaze",
    "pointmaze-medium": "fastrl.envs.maze:pointmaze:medium",
    "pointmaze-large": "fastrl.envs.maze:pointmaze:large",
    "probe-action": "fastrl.envs.probe:action",
    "probe-constant": "fastrl.envs.probe:constant",
    "probe-delayed": "fastrl.envs.probe:delayed",
    "probe-termination": "fastrl.envs.probe:termination",
    "probe-truncation": "fastrl.envs.probe:truncation",
    "relocate-binary": "fastrl.envs.robotics:adroit:relocate",
}

# "PREFIX:ID" is an environment of another library: where its adapter's `make(id, **options)` is.
_ADAPTERS: dict[str, str] = {
    "gymnasium": "fastrl.envs.from_gymnasium:make",
}


def names() -> list[str]:
    """Every name that `make` knows."""
    return sorted(_FACTORIES)


def register(name: str, factory: Factory) -> None:
    """Adds an environment of your own: `factory(**options)` returns it."""
    if name in _FACTORIES:
        raise UserError(f"environment {name!r} is registered already: choose another name")
    _FACTORIES[name] = factory


def make(name: str, *, horizon: int | None = None, **options: Any) -> Environment:
    """The environment `name` with a time limit (`horizon` steps; none is its own default)."""
    entry = _factory(name)
    known = inspect.signature(entry).parameters
    open_ended = any(p.kind is p.VAR_KEYWORD for p in known.values())
    for option in options:
        if option not in known and not open_ended:
            hint = _nearest(option, [*known, "horizon"])
            raise UserError(f"environment {name!r} has no option {option!r}{hint}")
    if horizon is not None and horizon < 1:
        raise UserError(f"environment {name!r}: horizon is {horizon}, it must be at least 1")
    if horizon is not None and "horizon" in known:
        options["horizon"] = horizon
    env = entry(**options)
    return TimeLimit(env, env.spec.horizon if horizon is None else horizon)


def _factory(name: str) -> Factory:
    prefix, colon, identity = name.partition(":")
    if colon and prefix in _ADAPTERS:
        return functools.partial(_imported(_ADAPTERS[prefix]), identity)
    if name not in _FACTORIES:
        raise UserError(f"unknown environment {name!r}{_nearest(name, names())}")
    entry = _FACTORIES[name]
    return _imported(entry) if isinstance(entry, str) else entry


def _imported(entry: str) -> Factory:
    module, attribute, *fixed = entry.split(":")
    return functools.partial(getattr(importlib.import_module(module), attribute), *fixed)


def _nearest(word: str, known: Iterable[str]) -> str:
    known = list(known)
    match = difflib.get_close_matches(word, known, n=1)
    return f": did you mean {match[0]!r}?" if match else f": known are {', '.join(known)}"
