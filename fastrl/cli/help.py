"""The two pages of help of `fastrl run`, `pretrain` and `finetune`: what people set, and everything by subject.

Without the name of a recipe neither imports jax. With one, `--help-all` asks the recipe which options its phases have.
"""

import argparse
import copy
import dataclasses
import shutil
import textwrap
from argparse import Action
from collections.abc import Mapping, Sequence
from typing import Any, NoReturn

from fastrl.cli import defaults, subjects
from fastrl.cli.defaults import Shown, by_phase, joined
from fastrl.cli.options import Parser, shown
from fastrl.config import RunOptions, meaning, reads
from fastrl.methods import ALGORITHMS

RUN_FIELDS = {field.name: field for field in dataclasses.fields(RunOptions)}
FIELDS = {name: {field.name for field in dataclasses.fields(kind)} for name, kind in ALGORITHMS.items()}
FEW = 4  # most methods that a line names
_RECIPES = (
    *("initialise", "reset_optimizers", "online", "pretrainer", "pretrain_steps"),
    *("reevaluate", "align", "reevaluate_steps", "align_steps", "distil_steps"),
)
UNUSED: dict[str, tuple[str, ...]] = {
    "run": (),
    "pretrain": (
        *(*_RECIPES, "utd", "warmup", "warmup_by", "freeze_actor", "num_envs", "capacity", "switch_eval_every"),
        *("retention", "offline_ratio", "offline_ratio_end", "offline_ratio_steps"),
    ),
    "finetune": _RECIPES,
}
"""Options that a command has no use for."""

STEPS = "gradient steps (default: none, they must be given)"
"""What --steps is for `fastrl pretrain`."""


class Formatter(argparse.RawDescriptionHelpFormatter):
    """As wide as the terminal, at most 120 columns."""

    def __init__(self, prog: str):
        super().__init__(prog, max_help_position=25)
        self._width = width()


def width() -> int:
    """Columns of a page."""
    return min(shutil.get_terminal_size().columns, 120) - 2


def titled(title: str) -> str:
    """Each line of a title, no wider than a page."""
    return "\n".join(textwrap.fill(line, width(), subsequent_indent=" " * 4) for line in title.splitlines())


class Help(argparse.Action):
    """`--help`: the short page, of a recipe of one's own where the words before it name one."""

    def __call__(self, parser: Any, found: argparse.Namespace, values: Any, option_string: str | None = None) -> None:
        """Prints the page and ends the command."""
        if ":" in (getattr(found, "recipe", None) or ""):
            parser.own = defaults.of_recipe(found.recipe, found.env)
        parser.print_help()
        parser.exit()


class Page(Parser):
    """A parser whose `--help` shows what people set, and whose `--help-all` shows all by subject."""

    listing = "--help-all"

    def __init__(self, command: str, meaning: str, noun: str, examples: Sequence[str]):
        super().__init__(prog=f"fastrl {command}", description=meaning, add_help=False)
        self.command, self.noun, self.examples = command, noun, examples
        self.own: Shown | None = None  # the options of an algorithm or a recipe of one's own that the words name
        self.usage = f"fastrl {command} {noun} --env NAME [--dataset DATA] [OPTIONS]"
        self.add_argument("-h", "--help", action=Help, nargs=0, help="this page (default: not)")
        self.add_argument("--help-all", action="store_true", help="every option, by subject (default: not)")
        for flag, metavar, meaning in (
            ("--explain", "OPTION", "what an option does, its defaults, and the phases that use it (default: none)"),
            ("--config", "FILE", "what --print-config wrote; other words here win over it (default: none)"),
        ):
            self.add_argument(flag, metavar=metavar, help=meaning)
        for flag, meaning in (
            ("--print-config", "print every option with its value and where it is from, and run nothing"),
            ("--dry-run", "print the phases, the memory, the files and the time, measured here, and write nothing"),
        ):
            self.add_argument(flag, action="store_true", help=f"{meaning} (default: not)")

    def parse(self, words: Sequence[str]) -> argparse.Namespace:
        """Parses all of `words`, and what the file of --config adds to them."""
        pairs = zip(["", *words], words, strict=False)
        words = [word.lstrip("-") if before == "--explain" else word for before, word in pairs]
        found = super().parse(words)
        found.page, found.configured = self, {}
        if found.config is None:
            return found
        from fastrl.cli import settings

        return settings.applied(self, found, lambda: super(Page, self).parse(words))

    def format_help(self) -> str:
        """The short page."""
        named = {heading: self._actions_of(names) for heading, names in subjects.COMMON.items()}
        sections = {
            heading: [self._with_defaults(action, self.own) for action in own] for heading, own in named.items()
        }
        first, *rest = sections
        sections = {first: [*self._actions_of(("recipe", "algorithm")), *sections[first]]} | {
            heading: sections[heading] for heading in rest
        }
        word = "wsrl" if self.noun == "RECIPE" else "iql"
        rows = (
            (f"{self.prog} --help-all", "every option"),
            (f"{self.prog} {word} --help-all", f"those of {word} alone"),
        )
        more = [f"  {words:30} {meaning}, with its defaults" for words, meaning in rows]
        examples = [f"  {line}" for line in self.examples]
        intro = str(self.description) if self.own is None else titled(self.own.title)
        return self._page(intro, sections, "\n".join(["examples:", *examples, "", "more:", *more]))

    def full(self, found: Shown | None) -> str:
        """Every option by subject; with `found`, those that it has, with its defaults."""
        sections: dict[str, list[Action]] = {heading: [] for heading in subjects.SUBJECTS}
        methods: dict[str, list[Action]] = {name: [] for name in ALGORITHMS}
        for action in self.arguments():
            ours = action.dest in RUN_FIELDS or any(action.dest in fields for fields in FIELDS.values())
            if ours and found is not None and action.dest not in found.defaults:
                continue
            action = self._with_defaults(action, found) if ours else action
            steps = (self.command, action.dest) == ("pretrain", "steps")
            heading = "offline" if steps else subjects.subject(action.dest)
            owner = next((name for name in ALGORITHMS if _has(name, action.dest, found)), None)
            if heading is None and action.dest not in RUN_FIELDS and owner is not None:
                methods[owner].append(action)
            else:
                sections[heading or subjects.RUNNING].append(action)
        for heading, names in subjects.SUBJECTS.items():
            sections[heading].sort(key=lambda a: names.index(a.dest) if a.dest in names else len(names))
        last = sections.popitem()
        sections |= {f"of {name}": actions for name, actions in methods.items()} | dict([last])
        intro = str(self.description) if found is None else titled(found.title)
        intro += "\n\n" + textwrap.fill((PHASES if self.command == "run" else "") + SWITCHES, width())
        return self._page(intro, sections, f"{self.prog} --help shows what people set; --explain OPTION, one in full.")

    def leave(self, found: Shown | None) -> NoReturn:
        """Prints the whole page and ends the command, as --help does."""
        print(self.full(found), end="")
        raise SystemExit(0)

    def explained(self, option: str, noun: str | None, env: str | None) -> NoReturn:
        """Prints what an option is and ends the command."""
        from fastrl.cli import explain

        print(explain.text(self, option, noun, env))
        raise SystemExit(0)

    def arguments(self) -> list[Action]:
        """What the command takes, without what only writes a switch another way."""
        actions = [action for action in self._actions if not (action.const is False and action.nargs == 0)]
        return [action for action in actions if action.dest not in UNUSED[self.command] and self._has(action.dest)]

    def _has(self, option: str) -> bool:
        """Whether an algorithm or a recipe of one's own, if there is one, takes an option that others of ours have."""
        ours = option in RUN_FIELDS or any(option in fields for fields in FIELDS.values())
        return self.own is None or not ours or option in self.own.defaults

    def _actions_of(self, names: Sequence[str]) -> list[Action]:
        return sorted((each for each in self.arguments() if each.dest in names), key=lambda a: names.index(a.dest))

    def _with_defaults(self, action: Action, found: Shown | None) -> Action:
        """The argument with its meaning and defaults: those of what is shown, else of every method that has it."""
        action, option = copy.copy(action), action.dest
        if (self.command, option) == ("pretrain", "steps"):
            action.help = STEPS
            return action
        if option in RUN_FIELDS:
            values = {} if found is None else found.defaults[option]
            if found is not None:
                action.help = f"{meaning(RUN_FIELDS[option])} (default: {by_phase(values)})".replace("%", "%%")
            return action
        owners = {name: kind for name, kind in ALGORITHMS.items() if _has(name, option, found)}
        kinds = [*(found.kinds if found is not None else ()), *owners.values()]
        fields = [field for kind in kinds for field in dataclasses.fields(kind) if field.name == option]  # type: ignore[arg-type]
        if not fields:
            return action
        if found is not None:
            default = by_phase(found.defaults[option])
        else:
            distinct = list(dict.fromkeys(shown(field.default) for field in fields))
            default = distinct[0] if len(distinct) == 1 else f"{joined(distinct, 'or')} by method"
            few = 1 < len(owners) <= FEW and subjects.subject(option) is None
            default += f"; of {', '.join(owners)}" if few else ""
        action.help = f"{meaning(fields[0])} (default: {default})".replace("%", "%%")
        return action

    def _page(self, intro: str, sections: Mapping[str, list[Action]], end: str) -> str:
        formatter = Formatter(self.prog)
        formatter.add_usage(self.usage, [], [])
        formatter.add_text(intro)
        for heading, actions in sections.items():
            formatter.start_section(heading)
            formatter.add_arguments(actions)
            formatter.end_section()
        formatter.add_text(end)
        return formatter.format_help()


PHASES = "An option holds for every phase that has it; --finetune.utd 8 is that of the phase finetune alone. "
SWITCHES = "A switch that is on, such as --layer-norm, can be turned off by --no-layer-norm."


def _has(name: str, option: str, found: Shown | None) -> bool:
    kind = ALGORITHMS[name]
    return option in FIELDS[name] and reads(kind, option) and (found is None or kind in found.kinds)
