"""`--print-config`, and `--config`, which reads it back: what a run is of, and each option with its value and origin.

A file that a person writes may give values alone: {"recipe": "sac", "env": "hopper", "options": {"utd": 8}}.
"""

import json
import typing
from argparse import Namespace
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from fastrl.cli.help import RUN_FIELDS, Page
from fastrl.cli.options import parse_value
from fastrl.config import RunOptions
from fastrl.errors import UserError, unknown
from fastrl.methods import ALGORITHMS
from fastrl.words import unknown_option

KINDS = (*tuple(ALGORITHMS.values())[::-1], RunOptions)
HINTS: dict[str, Any] = {name: hint for kind in KINDS for name, hint in typing.get_type_hints(kind).items()}
PLAIN = {"next_observations": "row", "actions": "unit"}  # what goes without saying
LINE = "command line"
ASIDE = ("help", "help_all", "explain", "config", "print_config", "dry_run", "resume", "distributed", "named")
"""Words of a command that say nothing of what the run is."""


def hints_of(page: Page) -> dict[str, Any]:
    """The types of all options, those of an algorithm of one's own included."""
    return HINTS | (typing.get_type_hints(page.own.kinds[0]) if page.own is not None else {})


def text(page: Page, found: Namespace, flat: Mapping[str, Any], swept: Iterable[str]) -> str:
    """The JSON of a run: `found` is what the words say, `flat` its settings (`fastrl.planning.resolved`)."""
    task: dict[str, Any] = {"command": page.command}
    for action in page.arguments():
        value = getattr(found, action.dest, None)
        said = value in (None, False, []) or value == PLAIN.get(action.dest)
        if action.dest not in (*ASIDE, *hints_of(page)) and not said:
            task[{"start": "from"}.get(action.dest, action.dest)] = value
    if vars(found).get("named"):
        task["algorithm"] = found.named
    lines = [f" {json.dumps(key)}: {json.dumps(value)}," for key, value in task.items()]
    words = {action.dest for action in page.arguments()} - set(swept)
    options = [
        f"  {json.dumps(name)}: {json.dumps({'value': setting.value, 'from': setting.origin}, default=str)}"
        for name, setting in flat.items()
        if name.rpartition(".")[2] in words
    ]
    return "\n".join(["{", *lines, ' "options": {', ",\n".join(options), " }", "}"])


def read(path: str, page: Page) -> tuple[dict[str, Any], dict[str, Any]]:
    """(what the run is of, by the parser's names, the options by name) of a file; raises `UserError`."""
    try:
        content = json.loads(Path(path).read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"--config {path} cannot be read ({error}); --print-config writes such a file") from error
    if not isinstance(content, dict) or not isinstance(content.get("options", {}), dict):
        raise UserError(f"--config {path} is no configuration; --print-config writes one")
    options, command = content.pop("options", {}), content.pop("command", page.command)
    if command != page.command:
        raise UserError(f"--config {path} is of fastrl {command}; write fastrl {command} --config {path}")
    hints = hints_of(page)
    known: dict[str, Any] = {action.dest: action for action in page.arguments() if action.dest not in (*ASIDE, *hints)}
    known["from"] = known.pop("start", None)
    for key, value in content.items():
        if known.get(key) is None:
            names = [name for name, action in known.items() if action is not None]
            raise unknown("key", key, [*names, "options"], f"--config {path} takes {', '.join(names)} and options")
        kind = list if isinstance(known[key].default, list) else bool if known[key].const is True else str
        if not isinstance(value, kind):
            words = {list: "a list of words", bool: "true or false", str: "a word"}[kind]
            raise UserError(f"--config {path}: {key} is {value!r}, it must be {words}")
    task = {"start" if key == "from" else key: value for key, value in content.items()}
    if ":" in (named := task.get("algorithm", "")) and page.own is None:
        raise UserError(f"name {named} on the command line too: its options are read from it")
    return task, {name: _value(path, name, entry, hints) for name, entry in options.items()}


def _value(path: str, name: str, entry: Any, hints: Mapping[str, Any]) -> Any:
    """An option's value, of the option's own type."""
    option = name.rpartition(".")[2]
    if option not in hints:
        raise unknown_option(name, sorted(hints), f"--config {path}")
    value = entry.get("value") if isinstance(entry, dict) else entry
    word = ",".join(map(str, value)) if isinstance(value, list) else "none" if value is None else str(value)
    try:
        return parse_value(word, hints[option])
    except (ValueError, TypeError) as error:
        raise UserError(f"--config {path}: {name}: {error}") from error


def applied(page: Page, found: Namespace, again: Any) -> Namespace:
    """What the words and the file of --config say together, the words first; `again` parses the words."""
    task, options = read(found.config, page)
    line = {name for name in vars(found) if name in hints_of(page)}
    run = {name: value for name, value in options.items() if name in RUN_FIELDS and value is not None}
    page.set_defaults(**task, **run)
    found = again()
    found.page = page
    found.by_line, found.by_file = line, set(options)
    found.configured = {name: value for name, value in options.items() if name not in RUN_FIELDS}
    return found


def origins(found: Namespace, given: Iterable[str]) -> dict[str, str]:
    """Who gave each option: the command line, or the file of --config."""
    if found.config is None:
        return dict.fromkeys(given, LINE)
    by_file = f"config {found.config}"
    return {name: LINE if name in found.by_line or name not in found.by_file else by_file for name in given}


def differing(found: Namespace, task: Mapping[str, Any]) -> dict[str, Any]:
    """Of the file's options of algorithms, those that the recipe does not have by itself; the command line's win.

    The recipe is asked for its own lengths, as a length of the file may be one for the file's batches alone.
    """
    from fastrl.planning import asked, resolved

    names = ("env", "env_options", "start", "dataset", "steps", "warmup")
    options = {name: value for name, value in task.items() if name not in (*names, "out", "resume", "command")}
    request = asked.recipe(found.recipe, options=options, env=task["env"], env_options=task["env_options"])
    now = resolved.of_request(request, {}).algorithm
    changed = {}
    for name, value in found.configured.items():
        phase, _, option = name.rpartition(".")
        own = now.get(option, {})
        there = [setting.value for each, setting in own.items() if phase in ("", each)]
        by_line = option in options or name in options or (not phase and any(k.endswith(f".{option}") for k in options))
        if not by_line and (not there or any(known != value for known in there)):
            changed[name] = value
    return changed
