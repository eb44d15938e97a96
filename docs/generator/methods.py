"""What a method's page says that the code knows: paper, phases, defaults by domain, and deviations from PAPERS.md."""

import dataclasses
import functools
import importlib
import re
from collections.abc import Iterable, Mapping
from typing import Any

import links

from fastrl import presets
from fastrl.config import RunOptions
from fastrl.envs import registry
from fastrl.planning import checks
from fastrl.planning.builder import Builder
from fastrl.recipes import names
from fastrl.recipes.table import RECIPES
from fastrl.types import Spec

EXAMPLES = {
    "locomotion": "hopper",
    "antmaze": "antmaze-medium-diverse",
    "adroit": "pen-binary",
    "kitchen": "kitchen-mixed",
    "pointmaze": "pointmaze-medium",
}
"""An environment of every domain; the first one's defaults are shown in full."""

MARKED = re.compile(r"^- \*\*([^*]+?)\.?\*\*\.? *(.*?)(?=^- |^$|\Z)", re.MULTILINE | re.DOTALL)
HEAD = re.compile(r"^# .*$", re.MULTILINE)
ARXIV = re.compile(r"arXiv (\d{4}\.\d{5})")


def linked(paper: str) -> str:
    """A paper's name with a link to it."""
    return ARXIV.sub(r"[arXiv \1](https://arxiv.org/abs/\1)", paper)


def table() -> str:
    """Every recipe in one line."""
    rows = [
        f"| [`{name}`]({name}.md) | {row.meaning} | {row.phases} | {linked(row.paper)} |"
        for name, row in RECIPES.items()
    ]
    return "\n".join(["| recipe | what it does | phases | paper |", "|---|---|---|---|", *rows, ""])


def page(name: str, markdown: str, deviations: Iterable[str], curve: str) -> str:
    """A method's page: what is written by hand, and around it what the code knows."""
    row = RECIPES[name]
    module, function = row.function.split(":")
    head = (
        f"{row.meaning[0].upper()}{row.meaning[1:]}.\n\n"
        f"Paper: {linked(row.paper)}. Recipe: `fastrl/recipes/{module}.py::{function}`; "
        f"its phases are {row.phases}.\n"
    )
    markdown = HEAD.sub(lambda match: f"{match.group(0)}\n\n{head}", markdown, count=1)
    sections = [markdown.rstrip(), "## Defaults", defaults(name), by_domain(name)]
    own = deviations_of(deviations)
    if own:
        intro = "From [the list of all deviations](../../PAPERS.md):" if "## Deviations" not in markdown else ""
        sections += [*([] if not intro else ["## Deviations from the paper", intro]), own]
    sections += ["## A curve of ours", curve]
    doc = (importlib.import_module(f"fastrl.recipes.{module}").__doc__ or "").strip()
    return "\n\n".join(sections) + f'\n\n!!! note "What the recipe\'s file says of itself"\n\n{_indented(doc)}\n'


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" if line else "" for line in text.replace("``", "`").splitlines())


@functools.cache
def phases(name: str, env: str) -> list[Any]:
    """The phases of a recipe on an environment, as `fastrl recipes NAME` resolves them, without a simulator."""
    row = registry.row(env)
    spec = Spec(env, row.obs_size, row.action_size, row.horizon, domain=row.domain)
    options = presets.resolve(RunOptions(), presets.find(row.domain), names.run_defaults(name, row.domain))
    return names.find(name)(Builder(spec, presets.find(row.domain), options, {}))


def options(config: Any) -> dict[str, Any]:
    """The options of an algorithm that it reads."""
    return {key: value for key, value in vars(config).items() if checks.reads(type(config), key)}


def shown(value: Any) -> str:
    """A value as one writes it on the command line."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:.4g}"
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


def defaults(name: str) -> str:
    """Every option in every phase, on the first of the examples."""
    env = next(iter(EXAMPLES.values()))
    found = phases(name, env)
    kinds = [type(phase.config).__name__ for phase in found]
    units = ["environment" if phase.online else "gradient" for phase in found]
    head = [f"{phase.name}: {kind}" for phase, kind in zip(found, kinds, strict=True)]
    rows = [["option", *head, "meaning"], ["---"] * (len(found) + 2)]
    steps = [f"{phase.steps:,} {unit} steps" for phase, unit in zip(found, units, strict=True)]
    rows.append(["*length*", *steps, "`--steps` counts the online ones, the warm-up's included"])
    meanings = {f.name: f.metadata.get("help", "") for phase in found for f in dataclasses.fields(phase.config)}
    for option, meaning in meanings.items():
        values = [options(phase.config) for phase in found]
        if any(option in each for each in values):
            cells = [shown(each[option]) if option in each else "" for each in values]
            rows.append([f"`--{option.replace('_', '-')}`", *cells, meaning])
    lines = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    text = f"On `{env}`, as `fastrl recipes {name} --env {env}` prints them."
    summary = f'??? info "Every option of every phase on {env}"\n\n'
    return f"{text}\n\n{summary}{_indented(lines)}"


def by_domain(name: str) -> str:
    """What differs on the examples of the other domains."""
    first, *others = EXAMPLES.values()
    base = flat(name, first)
    rows = []
    for env in others:
        changed = {key: value for key, value in flat(name, env).items() if base.get(key, "") != value}
        values = ", ".join(f"{key} {value}" for key, value in changed.items()) or "nothing"
        rows.append(f"| `{env}` | {values} |")
    return "\n".join(["| on | differs from hopper in |", "|---|---|", *rows])


def flat(name: str, env: str) -> dict[str, str]:
    """Options and lengths of all phases by `phase.option`; of several phases that agree, once and without the phase."""
    each: dict[str, dict[str, str]] = {}
    for phase in phases(name, env):
        each.setdefault("steps", {})[phase.name] = f"{phase.steps:,}"
        for key, value in options(phase.config).items():
            each.setdefault(key, {})[phase.name] = shown(value)
    found = {}
    for key, values in each.items():
        if len(set(values.values())) == 1:
            found[f"`{key}`"] = next(iter(values.values()))
        else:
            found.update({f"`{phase}.{key}`": value for phase, value in values.items()})
    return found


@functools.cache
def papers() -> tuple[Mapping[str, list[str]], Mapping[str, str]]:
    """PAPERS.md's deviations: rows of its tables by their first cell, marked paragraphs by their first words."""
    text = (links.ROOT / "PAPERS.md").read_text()
    rows: dict[str, list[str]] = {}
    inside = False
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip("| ").split(" | ")] if line.startswith("| ") else []
        if line.startswith("| |"):
            inside = cells[-1] == "here"
        elif not line.startswith("|"):
            inside = False
        elif inside and len(cells) >= 3:
            rows[cells[0]] = cells[1:]
    marked = {title: " ".join(body.split()) for title, body in MARKED.findall(text.partition("## Our own")[2])}
    return rows, marked


def deviations_of(patterns: Iterable[str]) -> str:
    """Those whose first words match one of the patterns, as a table and a list."""
    rows, marked = papers()
    wanted = [re.compile(pattern) for pattern in patterns]
    chosen = [[key, *rows[key]] for key in rows if any(each.search(key) for each in wanted)]
    lines = [f"| {key} | {'; code: '.join(cells[:-1])} | {cells[-1]} |" for key, *cells in chosen]
    head = ["| what | paper or released code | here |", "|---|---|---|"] if lines else []
    notes = [f"- **{key}.** {text}" for key, text in marked.items() if any(each.search(key) for each in wanted)]
    return "\n".join([*head, *lines, "", *notes]).strip()
