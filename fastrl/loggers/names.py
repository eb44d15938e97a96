"""The loggers that `--log` can name, and what a user names by MODULE:NAME."""

import dataclasses
import importlib.util
from collections.abc import Callable
from typing import Any

from fastrl.errors import UserError, unknown
from fastrl.loggers.logger import Logger
from fastrl.plugins import resolve

LOGGERS = {
    "tensorboard": ("fastrl.loggers.to_tensorboard:TensorBoard", "tensorboardX"),
    "wandb": ("fastrl.loggers.to_wandb:WeightsAndBiases", "wandb"),
    "trackio": ("fastrl.loggers.to_trackio:Trackio", "trackio"),
}
"""Where each is, and the package that it needs."""

NONE = "none"
METHODS = ("start", "log", "finish")


@dataclasses.dataclass(frozen=True)
class Named:
    """A logger that was asked for, not made yet."""

    name: str
    make: Callable[[], Logger]


def find(asked: Any) -> tuple[Named, ...]:
    """The loggers that are asked for: a name, names with commas between them, or a sequence of names and loggers.

    Raises `UserError` where there is none of that name, or its package is missing.
    """
    words = asked.split(",") if isinstance(asked, str) else asked if isinstance(asked, (tuple, list)) else [asked]
    words = [word.strip() if isinstance(word, str) else word for word in words]
    words = list(dict.fromkeys(word for word in words if word != ""))
    if NONE in words and len(words) > 1:
        raise UserError(f"--log: {NONE} switches all loggers off; leave it or the others out")
    return tuple(_named(word) for word in words if word != NONE)


def check_folder(found: tuple[Named, ...]) -> None:
    """Refuses loggers where there is no run folder, for what they keep there; the default one is left out."""
    if others := [named.name for named in found if named.name != "tensorboard"]:
        raise UserError(f"log={others[0]!r} keeps a file in the run's folder; name one with out=FOLDER")


def _named(word: Any) -> Named:
    if not isinstance(word, str):
        return _checked(type(word).__name__, word)
    if ":" in word:
        return _checked(word, resolve("--log", word))
    if word not in LOGGERS:
        raise unknown("logger", word, [*LOGGERS, NONE], f"--log takes {', '.join(LOGGERS)}, {NONE} or MODULE:NAME")
    where, package = LOGGERS[word]
    if importlib.util.find_spec(package) is None:
        raise UserError(f"--log {word}: {package} is not installed; pip install 'fastrl[{word}]'")
    return Named(word, lambda: resolve("--log", where)())


def _checked(name: str, found: Any) -> Named:
    """A logger of the user's: a class, or an object that is one already."""
    if missing := [method for method in METHODS if not callable(getattr(found, method, None))]:
        raise UserError(f"--log {name}: a logger has start, log and finish, and this one has no {missing[0]}")
    return Named(name, found if isinstance(found, type) else lambda: found)
