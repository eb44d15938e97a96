"""`--explain OPTION`: what it does, its type, what others call it, its defaults, and what a resume makes of it."""

import dataclasses
import functools
import itertools
import textwrap
import types
import typing
from typing import Any

from fastrl import presets, words
from fastrl.cli import help as help_pages
from fastrl.cli.catalogue import aligned
from fastrl.cli.defaults import REWARDS, by_phase, joined, of_phases, spec_of
from fastrl.cli.help import Page
from fastrl.cli.options import shown
from fastrl.config import RunOptions, meaning, reads
from fastrl.methods import ALGORITHMS, name_of
from fastrl.planning import plan as plans
from fastrl.planning import resolved, sweep
from fastrl.recipes import names
from fastrl.recipes.table import RECIPES
from fastrl.types import Spec

PAPERS = {
    "discount": "gamma",
    "tau": "tau; 1 - rho in REDQ",
    "warmup": "K (WSRL, Algorithm 1, lines 3 and 4)",
    "utd": "M (WSRL, Algorithm 1, lines 10 and 11), G (REDQ)",
    "num_critics": "N (REDQ)",
    "subset_size": "M (REDQ)",
    "alpha": "alpha (CQL)",
    "gap": "tau of the Lagrange form (CQL)",
    "expectile": "tau (IQL)",
    "inverse_temperature": "beta (IQL)",
    "advantage_temperature": "lambda (AWAC)",
    "trace": "lambda of the advantage estimate (PPO)",
    "clip": "epsilon (PPO)",
    "distance_weight": "k (OCR-CFT)",
    "auxiliary_weight": "alpha (OCR-CFT)",
}
"""What the papers call our options."""

RANGES = {
    **dict.fromkeys((*presets.POSITIVE, *plans.POSITIVE), "above 0"),
    **dict.fromkeys(("discount", "tau", "dropout", "expectile", "offline_ratio_end"), "from 0 to 1"),
    **dict.fromkeys(("warmup", "freeze_actor", "first_seed"), "0 or more"),
    "tau": "above 0, at most 1",
    "offline_ratio": "at least 0 and below 1",
}

FREE = ("chunk", "checkpoint_minutes", "hang_minutes", "devices", "devices_per_seed", "on_nan", "log")
"""Run options that may be others at a resume: they are not in `fastrl.planning.identity`."""

FEW = 4  # most methods that are named as those that have no such option


def text(page: Page, option: str, noun: str | None, env: str | None) -> str:
    """The page of an option; `noun` is a recipe, or for other commands an algorithm. Raises `UserError`."""
    width, mine = help_pages.width(), _kinds(page, noun, env)
    if not mine:
        noun = None
    name = _ours(page, words.canonical(option).rpartition(".")[2], mine)
    meant, kinds = ({each: kind for each, kind in of.items() if _has(kind, name)} for of in (mine, ALGORITHMS))
    theirs = bool(meant) and not any(kind in ALGORITHMS.values() for kind in meant.values())  # no algorithm of ours
    kinds = meant if theirs else kinds
    own = _fields(RunOptions).get(name)
    if own is None and not kinds:
        action = next(action for action in page.arguments() if name == _written(action))
        flags = ", ".join(action.option_strings)
        return "\n".join([f"{flags} {action.metavar or ''}".rstrip(), *_wrapped(str(action.help), width)])
    kind = RunOptions if own is not None else next(iter((meant or kinds).values()))
    field, flag = own or _fields(kind)[name], name.replace("_", "-")
    a_word = any(name == _written(action) for action in page.arguments())
    alone = page.command == "run" and own is None and a_word
    facts = {
        "type": _type(typing.get_type_hints(kind)[name]) + (f"; {RANGES[name]}" if name in RANGES else ""),
        "in papers": "" if theirs else PAPERS.get(name, ""),
        "elsewhere": "" if theirs else _elsewhere(name),
        "methods": _methods(list(kinds)),
        "phases": _used_by(noun, name, env) if noun and page.command == "run" else "",
        "given": _given(page, name, noun, env),
        "one phase": f"--PHASE.{flag}, such as --finetune.{flag}" if alone else "",
        "in a sweep": _swept(name, field) if a_word else "",
        "at a resume": "it may change" if name in FREE else "it must be the same; another value is refused",
    }
    lines = [f"--{flag}", *_wrapped(meaning(field), width), ""]
    for heading, fact in facts.items():
        if fact:
            lines += textwrap.wrap(f"{heading:13} {fact}", width, initial_indent="  ", subsequent_indent=" " * 16)
    return "\n".join([*lines, "", *_defaults(page.command, name, noun, env, width, mine)])


def _kinds(page: Page, noun: str | None, env: str | None) -> dict[str, type]:
    """The classes of options, by their names, of the recipe or algorithm that is named; none where none is."""
    if noun is None:
        return {}
    if page.command == "run":
        phases = _resolved(noun, env, spec_of(env).domain).phases
        return {name_of(phase.config): type(phase.config) for phase in phases[::-1]}
    kind = ALGORITHMS[noun] if noun in ALGORITHMS else page.own and page.own.kinds[0]
    return {noun: kind} if kind else {}


def _has(kind: type, option: str) -> bool:
    return option in _fields(kind) and reads(kind, option)


def _elsewhere(name: str) -> str:
    """What other libraries call an option."""
    return ", ".join(next((said for ours, said in words.ELSEWHERE.items() if name in ours), "").split())


def _given(page: Page, option: str, recipe: str | None, env: str | None) -> str:
    """That a recipe of one's own writes an option itself, where it does."""
    if page.command != "run" or recipe is None:
        return ""
    found = _resolved(recipe, env, spec_of(env).domain)
    fixed = option in found.algorithm and not found.takes(option)
    return f"by the recipe itself: --{option.replace('_', '-')} is refused" if fixed else ""


def _written(action: Any) -> str:
    """The name by which an argument is written."""
    return words.canonical(action.option_strings[-1]) if action.option_strings else ""


def _ours(page: Page, name: str, mine: dict[str, type]) -> str:
    """Our option for a word, which may be another library's; raises `UserError` with the nearest ones."""
    known = [_written(action) for action in page.arguments() if action.option_strings]
    known += [option for kind in mine.values() for option in _fields(kind) if option not in known]
    if name in known:
        return name
    meant = [option for option in words.MEANINGS.get(name, ()) if option in known]
    if len(meant) == 1:
        return meant[0]
    flags = [f"--{each.replace('_', '-')}" for each in known]
    raise words.unknown_option(f"--{name.replace('_', '-')}", flags, f"{page.prog} --help-all lists all")


def _methods(kinds: list[str]) -> str:
    """The methods that have an option, in words."""
    others = [name for name in ALGORITHMS if name not in kinds]
    if kinds and len(others) <= FEW:
        return f"every method but {joined(others, 'and')}" if others else "every method"
    return ", ".join(kinds)


def _wrapped(said: str, width: int) -> list[str]:
    return textwrap.wrap(said, width, initial_indent="  ", subsequent_indent="  ")


def _fields(kind: Any) -> dict[str, Any]:
    return {field.name: field for field in dataclasses.fields(kind)}


def _type(kind: Any) -> str:
    """A type in words."""
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        inner = next(k for k in typing.get_args(kind) if k is not type(None))
        return f"{_type(inner)}, or none"
    if typing.get_origin(kind) is typing.Literal:
        return joined(list(typing.get_args(kind)), "or")
    if typing.get_origin(kind) is tuple:
        whole = typing.get_args(kind)[0] is int
        return "whole numbers, such as 256,256" if whole else "words, with commas between them"
    known = {"int": "a whole number", "float": "a number", "bool": "true or false", "str": "a word"}
    return known.get(getattr(kind, "__name__", ""), "MODULE:NAME")


def _swept(name: str, field: Any) -> str:
    """How `--sweep` runs its values."""
    number = "float" in str(field.type) and not field.metadata.get("static") and name not in _fields(RunOptions)
    return "side by side, in one compilation" if number or name == sweep.WARMUP else "one run after another"


def _defaults(
    command: str, option: str, noun: str | None, env: str | None, width: int, mine: dict[str, type]
) -> list[str]:
    """The default of every recipe (or method) and preset, those with the same ones together."""
    domains = [spec_of(env).domain] if env else list(presets.DOMAINS)
    every = list(RECIPES if command == "run" else ALGORITHMS)
    kinds = {**ALGORITHMS, **mine}
    default = _of_recipe if command == "run" else functools.partial(_of_method, kinds)
    found: dict[tuple[tuple[str, str], ...], list[str]] = {}
    for each in [noun] if noun else every:
        values: dict[str, list[str]] = {}
        for domain in domains:
            if (value := default(option, each, env, domain)) is not None:
                values.setdefault(value, []).append(domain)
        if values:
            said = lambda own: "every preset" if own == domains and len(own) > 1 else ", ".join(own)
            found.setdefault(tuple((said(own), value) for value, own in values.items()), []).append(each)
    if not found:
        return [f"{noun or 'no recipe'} has no use for it"]
    rows = []
    for known, group in found.items():
        whole = f"every {'recipe' if command == 'run' else 'method'}" if group == every else ", ".join(group)
        left = textwrap.wrap(whole, width // 3)
        right = [line for preset, value in known for line in _beside(preset, value, width)]
        rows += [(a, *(b or ("", ""))) for a, b in itertools.zip_longest(left, right, fillvalue="")]
    where = f"on {env}" if env else "by preset of the environment"
    head = ("recipe" if command == "run" else "method", "preset", "default")
    return [f"defaults {where}", "", aligned(head, rows)]


def _beside(preset: str, value: str, width: int) -> list[tuple[str, str]]:
    """Two cells in as many lines as the longer one needs."""
    cells = textwrap.wrap(preset, 24), textwrap.wrap(value, max(20, width - width // 3 - 28))
    return list(itertools.zip_longest(*cells, fillvalue=""))


def _of_recipe(option: str, recipe: str, env: str | None, domain: str) -> str | None:
    """The default of a recipe, phase by phase; None where no phase uses the option."""
    found = _resolved(recipe, env, domain)
    if option in found.run:
        return by_phase({"": found.run[option].value})
    return by_phase(of_phases(found, option)) if option in found.algorithm else None


def _of_method(kinds: dict[str, type], option: str, method: str, env: str | None, domain: str) -> str | None:
    """The default of a method that is run alone; None where it has no use for the option."""
    preset = presets.find(domain)
    if option in _fields(RunOptions):
        implied = {"warmup": presets.warmup(preset)} | {each: getattr(preset, each) for each in REWARDS}
        return shown(implied.get(option, getattr(presets.resolve(RunOptions(), preset), option)))
    config = presets.configure(kinds[method], method, preset, {}, {})
    return shown(getattr(config, option)) if option in _fields(config) and reads(type(config), option) else None


def _used_by(recipe: str, option: str, env: str | None) -> str:
    """The phases of a recipe that learn with an option, and their methods."""
    found = _resolved(recipe, env, spec_of(env).domain)
    own = of_phases(found, option) if option in found.algorithm else ()
    return ", ".join(f"{phase.name} ({name_of(phase.config)})" for phase in found.phases if phase.name in own)


@functools.cache
def _resolved(recipe: str, env: str | None, domain: str) -> resolved.Resolved:
    spec = spec_of(env) if env else Spec(domain, 4, 2, horizon=100, domain=domain)
    return resolved.resolve(recipe, names.find(recipe), spec)
