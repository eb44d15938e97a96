"""Command-line options made from the option dataclasses: type, default and meaning are written once, in `config`.

It is plain argparse, because an error must be one line with the nearest name, and help must be instant.
"""

import argparse
import dataclasses
import re
import types
import typing
from collections.abc import Sequence
from typing import Any, NoReturn

from fastrl.config import RunOptions, meaning
from fastrl.errors import UserError
from fastrl.words import unknown_option

PAPER = "the paper's"
HINTS = {"int": "N", "float": "X", "bool": "{true,false}", "Any": "MODULE:NAME", "str": "NAME"}


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line with the fix."""

    listing = "--help"  # what shows every option

    def __init__(self, **kwargs: Any):
        super().__init__(allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **kwargs)
        self._negative_number_matcher = re.compile(r"-\.?\d[\d.,eE+-]*$")  # values such as -2,2, and no options

    def error(self, message: str) -> NoReturn:
        """Raises instead of printing usage."""
        raise UserError(f"{message} ({self.prog} {self.listing} lists the options)")

    def parse(self, words: Sequence[str]) -> argparse.Namespace:
        """Parses all of `words`; the error for an unknown option names the nearest one."""
        found, rest = self.parse_known_args(words)
        if option := next((word for word in rest if re.match("-+[a-zA-Z]", word)), None):
            known = [name for action in self._actions for name in action.option_strings if name.startswith("--")]
            raise unknown_option(option.split("=")[0], known, f"{self.prog} {self.listing} lists all")
        if rest:
            raise UserError(f"unexpected argument {rest[0]!r} ({self.prog} --help shows the usage)")
        return found


def parse_value(text: str, kind: Any) -> Any:
    """`text` as a value of the annotated type; raises ValueError with what was expected."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        if type(None) in arguments and text.lower() == "none":
            return None
        (kind,) = (argument for argument in arguments if argument is not type(None))
        return parse_value(text, kind)
    if origin is typing.Literal:
        if text not in arguments:
            raise ValueError(f"{text!r} is none of {', '.join(arguments)}")
        return text
    if origin is tuple:
        return tuple(parse_value(part, arguments[0]) for part in text.split(",") if part)
    if kind is Any:
        return None if text.lower() == "none" else text
    if kind is bool:
        if text.lower() not in ("true", "false"):
            raise ValueError(f"{text!r} is neither true nor false")
        return text.lower() == "true"
    try:
        return kind(text)
    except ValueError as error:
        words = {"int": "a whole number", "float": "a number"}
        layers = text.split("x")
        hint = f"; write {','.join(layers)}" if len(layers) > 1 and all(word.isdigit() for word in layers) else ""
        raise ValueError(f"{text!r} is not {words.get(kind.__name__, kind.__name__)}{hint}") from error


def env_option(parser: Parser, default: str = "none") -> None:
    """Adds --env-option; `key_values` reads what it collects."""
    meaning = f"option of the environment, any number of times (default: {default})"
    parser.add_argument("--env-option", action="append", default=[], metavar="K=V", help=meaning)


def resume_option(parser: Parser) -> None:
    """Adds --resume, alone or with the word auto."""

    def auto(word: str) -> str:
        if word != "auto":
            raise argparse.ArgumentTypeError(f"{word!r} is not auto; put --resume after the other words, or add auto")
        return word

    meaning = "continue what is in --out; with auto, start it where nothing is there yet (default: refuse a folder)"
    parser.add_argument("--resume", nargs="?", const=True, default=False, type=auto, metavar="auto", help=meaning)


def key_values(option: str, pairs: Sequence[str]) -> dict[str, Any]:
    """`KEY=VALUE` words as a dictionary; values are whole numbers, numbers, true or false, or text."""
    values: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals:
            raise UserError(f"{option} {pair!r} is not KEY=VALUE; write for example horizon=300")
        for kind in (int, float, bool, str):
            try:
                values[key.replace("-", "_")] = parse_value(text, kind)
                break
            except ValueError:
                continue
    return values


def _reader(kind: Any) -> Any:
    def read(text: str) -> Any:
        try:
            return parse_value(text, kind)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return read


def shown(value: Any) -> str:
    """A value as it is written on the command line."""
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    if isinstance(value, float):
        return f"{value:.6g}"
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


def _hint(kind: Any) -> str:
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        kind = next(k for k in typing.get_args(kind) if k is not type(None))
    if typing.get_origin(kind) is typing.Literal:
        return "{" + ",".join(typing.get_args(kind)) + "}"
    if typing.get_origin(kind) is tuple:
        return "NAME,.." if typing.get_args(kind)[0] is str else "N,N,.."
    return HINTS.get(kind.__name__, kind.__name__.upper())


def add_options(parser: Parser, title: str, classes: Sequence[type]) -> None:
    """One `--kebab-case` option for every field of the dataclasses, unset unless given."""
    group = parser.add_argument_group(title)
    seen: set[str] = set()
    for kind in classes:
        hints = typing.get_type_hints(kind)
        for field in dataclasses.fields(kind):
            if field.name in seen:
                continue
            seen.add(field.name)
            default = shown(field.default)
            if field.default is None and kind is RunOptions and "none is" not in meaning(field):
                default = PAPER
            group.add_argument(
                f"--{field.name.replace('_', '-')}",
                type=_reader(hints[field.name]),
                default=argparse.SUPPRESS,
                metavar=_hint(hints[field.name]),
                help=f"{meaning(field)} (default: {default})".replace("%", "%%"),
            )
            if field.default is True:
                off = f"--no-{field.name.replace('_', '-')}"
                group.add_argument(
                    off,
                    dest=field.name,
                    action="store_false",
                    default=argparse.SUPPRESS,
                    help=f"as --{off[5:]} false (default: not given)",
                )


def given(found: argparse.Namespace, classes: Sequence[type]) -> dict[str, Any]:
    """The options of those dataclasses that the user set."""
    names = {field.name for kind in classes for field in dataclasses.fields(kind)}
    return {name: value for name, value in vars(found).items() if name in names}


def of_phases(words: Sequence[str], kinds: Sequence[type]) -> tuple[list[str], dict[str, Any]]:
    """`--PHASE.OPTION VALUE` taken out of the words: (the other words, values by `phase.option`)."""
    hints = {"steps": int} | {name: hint for kind in kinds[::-1] for name, hint in typing.get_type_hints(kind).items()}
    rest, found, left = [], {}, list(words)
    while left:
        word = left.pop(0)
        option, equals, text = word.partition("=")
        phase, dot, name = option.removeprefix("--").replace("-", "_").partition(".")
        if not (option.startswith("--") and dot and phase.isidentifier()):
            rest.append(word)
            continue
        if not equals and (not left or left[0].startswith("--")):
            raise UserError(f"{option} needs a value; write {option} VALUE")
        try:
            found[f"{phase}.{name}"] = parse_value(text if equals else left.pop(0), hints.get(name, str))
        except ValueError as error:
            raise UserError(f"{option}: {error}") from error
    return rest, found


def sweep_option(parser: Parser) -> None:
    """Adds --sweep; `grid` reads what it collects."""
    meaning = (
        "an option's values, any number of times: all combinations run, numbers in one compilation (default: none); "
        "layers are written 256x256"
    )
    parser.add_argument("--sweep", action="append", default=[], metavar="NAME=V,V", help=meaning)


def grid(words: Sequence[str], kinds: Sequence[type]) -> dict[str, list[Any]]:
    """`NAME=V1,V2` words as values by option, each of the option's own type."""
    hints = {name: hint for kind in kinds[::-1] for name, hint in typing.get_type_hints(kind).items()}
    found: dict[str, list[Any]] = {}
    for word in words:
        name, equals, text = word.partition("=")
        name = name.strip("-").replace("-", "_")
        if not equals or not text:
            raise UserError(f"--sweep {word!r} is not NAME=V1,V2,..; write for example actor_lr=1e-4,3e-4")
        if name not in hints:
            raise unknown_option(name, sorted(hints), "fastrl run --help-all lists all")
        try:
            found[name] = [parse_value(part.replace("x", ","), hints[name]) for part in text.split(",") if part]
        except ValueError as error:
            raise UserError(f"--sweep {word}: {error}") from error
    return found
