"""Environments by name. An environment's module (and simulator) is imported only when it is made."""

import difflib
import functools
import importlib
import inspect
import numbers
import re
import typing
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from fastrl.envs.wrappers import TimeLimit
from fastrl.errors import unknown
from fastrl.types import Environment, UserError

Factory = Callable[..., Environment]

KINDS: dict[Any, tuple[type, str]] = {
    bool: (bool, "true or false"),
    int: (numbers.Integral, "a whole number"),
    float: (numbers.Real, "a number"),
    str: (str, "text"),
    type(None): (type(None), ""),
}
"""Plain types of options, what values of them are, and their words."""


class Row(NamedTuple):
    """An environment of ours and what its spec says, so that a list imports no simulator (a test compares)."""

    entry: str  # where its factory is: "module:function:first arguments"
    obs_size: int
    action_size: int
    horizon: int
    backend: str = "jax"
    domain: str = "default"


_OURS = {
    "ant": Row("fastrl.envs.ant:ant", 105, 8, 1000, domain="locomotion"),
    "ant-walk": Row("fastrl.envs.walk:walk", 29, 8, 500, domain="locomotion"),
    "antmaze-umaze": Row("fastrl.envs.antmaze:antmaze:umaze", 29, 8, 700, domain="antmaze"),
    "antmaze-umaze-diverse": Row("fastrl.envs.antmaze:antmaze:umaze:diverse", 29, 8, 700, domain="antmaze"),
    "antmaze-medium-play": Row("fastrl.envs.antmaze:antmaze:medium:play", 29, 8, 1000, domain="antmaze"),
    "antmaze-medium-diverse": Row("fastrl.envs.antmaze:antmaze:medium:diverse", 29, 8, 1000, domain="antmaze"),
    "antmaze-large-play": Row("fastrl.envs.antmaze:antmaze:large:play", 29, 8, 1000, domain="antmaze"),
    "antmaze-large-diverse": Row("fastrl.envs.antmaze:antmaze:large:diverse", 29, 8, 1000, domain="antmaze"),
    "antmaze-ultra-play": Row("fastrl.envs.antmaze:antmaze:ultra:play", 29, 8, 2000, domain="antmaze"),
    "antmaze-ultra-diverse": Row("fastrl.envs.antmaze:antmaze:ultra:diverse", 29, 8, 2000, domain="antmaze"),
    "kitchen-complete": Row("fastrl.envs.robotics:kitchen:complete", 60, 9, 280, "gymnasium", "kitchen"),
    "kitchen-mixed": Row("fastrl.envs.robotics:kitchen:mixed", 60, 9, 280, "gymnasium", "kitchen"),
    "kitchen-partial": Row("fastrl.envs.robotics:kitchen:partial", 60, 9, 280, "gymnasium", "kitchen"),
    "door-binary": Row("fastrl.envs.robotics:adroit:door", 39, 28, 200, "gymnasium", "adroit"),
    "pen-binary": Row("fastrl.envs.robotics:adroit:pen", 45, 24, 100, "gymnasium", "adroit"),
    "relocate-binary": Row("fastrl.envs.robotics:adroit:relocate", 39, 30, 200, "gymnasium", "adroit"),
    "halfcheetah": Row("fastrl.envs.locomotion:halfcheetah", 17, 6, 1000, domain="locomotion"),
    "hopper": Row("fastrl.envs.locomotion:hopper", 11, 3, 1000, domain="locomotion"),
    "walker2d": Row("fastrl.envs.locomotion:walker2d", 17, 6, 1000, domain="locomotion"),
    "pointmaze-umaze": Row("fastrl.envs.maze:pointmaze:umaze", 4, 2, 300, domain="pointmaze"),
    "pointmaze-medium": Row("fastrl.envs.maze:pointmaze:medium", 4, 2, 600, domain="pointmaze"),
    "pointmaze-large": Row("fastrl.envs.maze:pointmaze:large", 4, 2, 800, domain="pointmaze"),
    "probe-action": Row("fastrl.envs.probe:action", 1, 1, 10),
    "probe-constant": Row("fastrl.envs.probe:constant", 1, 1, 10),
    "probe-delayed": Row("fastrl.envs.probe:delayed", 1, 1, 10),
    "probe-termination": Row("fastrl.envs.probe:termination", 1, 1, 10),
    "probe-truncation": Row("fastrl.envs.probe:truncation", 1, 1, 5),
}

# "PREFIX:ID" is an environment of another library: where its adapter's `make(id, **options)` is, and what it adapts.
ADAPTERS = {
    "brax": (
        "fastrl.envs.from_brax:make",
        "brax's tasks, such as brax:ant; its backends (--env-option backend=spring) are different tasks",
    ),
    "gymnasium": ("fastrl.envs.from_gymnasium:make", "any task of Gymnasium with continuous actions, on the host"),
    "gymnax": ("fastrl.envs.from_gymnax:make", "gymnax's tasks with continuous actions, such as gymnax:Pendulum-v1"),
    "playground": (
        "fastrl.envs.from_playground:make",
        "MuJoCo Playground's tasks, such as playground:CartpoleBalance",
    ),
}

_REGISTERED: dict[str, Factory] = {}  # the user's own


def names() -> list[str]:
    """Every name that `make` takes; besides them it takes the adapters' PREFIX:ID."""
    return sorted([*_OURS, *_REGISTERED])


def known(name: str) -> bool:
    """Whether `name` is one of `names` or has the prefix of an adapter."""
    return name in names() or (name.partition(":")[0] in ADAPTERS and ":" in name)


def row(name: str) -> Row:
    """The facts of a name of `names`; those of a user's own environment come from its spec."""
    if name in _OURS:
        return _OURS[name]
    spec = make(name).spec
    return Row(name, spec.obs_size, spec.action_size, spec.horizon, spec.backend, spec.domain)


def options(name: str) -> dict[str, Any]:
    """The options that `make` takes for this name, besides `horizon`, and their defaults."""
    parameters = inspect.signature(_factory(name)).parameters.values()
    named = [option for option in parameters if option.kind is not option.VAR_KEYWORD and option.name != "horizon"]
    return {option.name: option.default for option in named}


def register(name: str, factory: Factory) -> None:
    """Adds an environment of your own: `factory(**options)` returns it."""
    if name in names():
        raise UserError(f"environment {name!r} is registered already: choose another name")
    _REGISTERED[name] = factory


def make(name: str, *, horizon: int | None = None, **options: Any) -> Environment:
    """The environment `name` with a time limit (`horizon` steps; none is its own default)."""
    entry = _factory(name)
    parameters = inspect.signature(entry).parameters
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    for option in options:
        if option not in parameters and not open_ended:
            hint = _nearest(option, [*parameters, "horizon"])
            raise UserError(f"environment {name!r} has no option {option!r}{hint}")
    kinds = {"horizon": int | None} | {
        option: parameters[option].annotation for option in options if option in parameters
    }
    for option, value in {"horizon": horizon, **options}.items():
        _check_kind(name, option, value, kinds.get(option))
    if horizon is not None and horizon < 1:
        raise UserError(f"environment {name!r}: horizon is {horizon}, it must be at least 1")
    if horizon is not None and "horizon" in parameters:
        options["horizon"] = horizon
    env = entry(**options)
    if not hasattr(env, "spec"):
        raise UserError(
            f"environment {name!r} has no spec; give it a fastrl.Spec(name, obs_size, action_size, horizon)"
        )
    return TimeLimit(env, env.spec.horizon if horizon is None else horizon)


def _factory(name: str) -> Factory:
    prefix, colon, identity = name.partition(":")
    if name in _OURS:
        return _imported(_OURS[name].entry)
    if name in _REGISTERED:
        return _REGISTERED[name]
    if colon and prefix in ADAPTERS:
        return functools.partial(_imported(ADAPTERS[prefix][0]), identity)
    if colon and prefix in names():
        raise UserError(f"environment {prefix!r} stands alone; its options follow, as in --env-option KEY=VALUE")
    if colon:
        raise unknown("prefix of an environment", prefix, ADAPTERS, "fastrl envs lists them")
    if re.search(r"-v\d+$", name):  # another library's name
        raise UserError(f"unknown environment {name!r}: did you mean 'gymnasium:{name}' (or 'gymnax:{name}')?")
    raise UserError(f"unknown environment {name!r}{_nearest(name, names())}")


def _check_kind(name: str, option: str, value: Any, annotation: Any) -> None:
    """Refuses a value of another type where the option is a flag, a number or a text; an int is a float as well."""
    kinds = typing.get_args(annotation) or (annotation,)
    if not set(kinds) <= KINDS.keys():
        return
    if not any(isinstance(value, KINDS[kind][0]) and isinstance(value, bool) == (kind is bool) for kind in kinds):
        wanted = " or ".join(KINDS[kind][1] for kind in kinds if kind is not type(None))
        raise UserError(f"environment {name!r}: option {option} is {value!r}, it must be {wanted}")


def _imported(entry: str) -> Factory:
    module, attribute, *fixed = entry.split(":")
    return functools.partial(getattr(importlib.import_module(module), attribute), *fixed)


def _nearest(word: str, known: Iterable[str]) -> str:
    known = list(known)
    match = difflib.get_close_matches(word, known, n=1)
    return f": did you mean {match[0]!r}?" if match else f": known are {', '.join(known)}"
