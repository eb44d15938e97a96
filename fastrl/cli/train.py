"""`fastrl run`, `pretrain` and `finetune`: what their words mean, and the library's function that does it."""

import dataclasses
import itertools
import shlex
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from fastrl import presets
from fastrl.cli import datasets as datasets_cli
from fastrl.cli import defaults, options
from fastrl.cli.help import Page
from fastrl.cli.options import Parser, add_options, env_option, given, key_values, resume_option
from fastrl.config import RunOptions
from fastrl.errors import UserError, unknown
from fastrl.methods import ALGORITHMS
from fastrl.recipes.table import RECIPES

KINDS = tuple(ALGORITHMS.values())
EXAMPLES = {
    "run": (
        "fastrl run wsrl --env hopper --dataset mujoco/hopper/medium-v0 --download",
        "fastrl run sac --env pointmaze-umaze --steps 4000 --sweep actor_lr=1e-4,1e-3",
    ),
    "pretrain": (
        "fastrl pretrain iql --env pointmaze-umaze --dataset maze.hdf5 --steps 3000",
        "fastrl pretrain bc --env hopper --dataset medium.hdf5 --steps 9000 --out bc",
    ),
    "finetune": (
        "fastrl finetune sac --env pointmaze-umaze --from runs/pretrain --steps 4000",
        "fastrl finetune td3 --env hopper --seeds 8",
    ),
}
"""Two lines that end the help of each command."""


def prepare(distributed: str = "off") -> None:
    """Sets what must be set before jax starts, and starts it, alone or as one of several processes."""
    from fastrl import startup

    if (line := startup.limited()) is not None:
        print(line, file=sys.stderr)
    startup.prepare()
    if distributed != "off":
        from fastrl.runs import processes

        processes.start(distributed)
    startup.start()


def _task_options(parser: Parser, out: str) -> None:
    parser.add_argument("--env", metavar="NAME", help="environment, see fastrl envs (default: none, it must be named)")
    env_option(parser)
    datasets_cli.dataset_options(parser)
    parser.add_argument("--out", default=out, metavar="DIR", help=f"run folder (default: {out})")
    resume_option(parser)
    meaning = "whether this process is one of several of a job; auto: where its launcher says so (default: auto)"
    parser.add_argument("--distributed", choices=("auto", "on", "off"), default="auto", help=meaning)


def _common(found: Any) -> dict[str, Any]:
    """Arguments that run, pretrain and finetune hand to the library."""
    return {
        "env": found.env,
        "out": found.out,
        "resume": found.resume,
        "env_options": key_values("--env-option", found.env_option),
        "command": shlex.join(["fastrl", *sys.argv[1:]]),
    }


def _finish(out: str) -> int:
    from fastrl.runs import processes

    if not processes.first():
        return 0
    report = Path(out) / "report.md"
    print(report.read_text("utf-8", "surrogateescape"), end="")
    return 0


def asked(words: Sequence[str]) -> tuple[Any, dict[str, list[Any]], dict[str, Any]]:
    """What the words of `fastrl run` say: (all that was found, the sweep, arguments of `fastrl.run`)."""
    parser = Page("run", "Runs a recipe, start to end, for many seeds.", "RECIPE", EXAMPLES["run"])
    meaning = f"{', '.join(RECIPES)}, or MODULE:NAME (fastrl recipes says what each is)"
    parser.add_argument("recipe", nargs="?", metavar="RECIPE", help=meaning)
    _task_options(parser, "runs/RECIPE-ENV")
    meaning = "agent that replaces the offline phase; DIR:2 is its seed 2 (default: none)"
    parser.add_argument("--from", dest="start", metavar="DIR", help=meaning)
    add_options(parser, "run", [RunOptions])
    options.sweep_option(parser)
    add_options(parser, "algorithms", KINDS)
    words, of_phases = options.of_phases(words, KINDS)
    found = parser.parse(words)
    if found.recipe is not None and found.recipe not in RECIPES and ":" not in found.recipe:
        raise unknown("recipe", found.recipe, RECIPES, "fastrl recipes lists them")
    if found.help_all:
        parser.leave(defaults.of_recipe(found.recipe, found.env) if found.recipe else None)
    if found.explain:
        parser.explained(found.explain, found.recipe, found.env)
    if found.recipe is None:
        raise UserError("RECIPE is missing; name one (fastrl recipes lists them)")
    if found.env is None:
        raise UserError("--env is missing; name an environment (fastrl envs lists them)")
    found.out = found.out.replace("RECIPE", found.recipe.rpartition(":")[2]).replace("ENV", found.env.replace(":", "-"))
    grid = options.grid(found.sweep, (RunOptions, *KINDS))
    arguments = _common(found) | given(found, (RunOptions, *KINDS)) | of_phases
    return found, grid, {"dataset": datasets_cli.source(found), "start": found.start, **arguments}


def configured(found: Any, task: dict[str, Any]) -> dict[str, Any]:
    """The arguments of `fastrl.run` with what the file of --config adds to them; starts nothing, needs jax."""
    if not found.configured:
        return task
    from fastrl.cli import settings

    return task | settings.differing(found, task)


def looked(found: Any, runs: Sequence[tuple[Any, Path]], given: Iterable[str], swept: Iterable[str] = ()) -> bool:
    """Whether the words ask to look and not to run: prints the configuration, or what a dry run finds."""
    from fastrl.runs import processes

    text = ""
    if found.print_config:
        from fastrl.cli import settings
        from fastrl.planning import resolved

        flat = resolved.of_request(runs[0][0], settings.origins(found, given)).flat()
        text = settings.text(found.page, found, flat, swept)
    elif found.dry_run:
        from fastrl.cli import dry_run

        text = dry_run.report(runs, found.resume)
    if text and processes.first():
        print(text)
    return bool(found.print_config or found.dry_run)


def _runs(found: Any, grid: dict[str, list[Any]], task: dict[str, Any]) -> list[tuple[Any, Path]]:
    """What `fastrl.sweep` would run, and where."""
    from fastrl.planning import asked as asking
    from fastrl.planning.request import PARAMETERS

    inside, points = asking.divided(found.recipe, grid, task) if grid else ({}, [{}])
    names = ("env", "dataset", "start", "env_options")
    arguments = {name: task[name] for name in names} | {"sweep": inside}
    options = {name: value for name, value in task.items() if name not in (*PARAMETERS, "command")}
    return [
        (asking.recipe(found.recipe, options={**options, **point}, **arguments), asking.place(found.out, point))
        for point in points
    ]


def run(words: Sequence[str]) -> int:
    """A recipe, start to end, for many seeds."""
    found, grid, task = asked(words)
    prepare(found.distributed)
    from fastrl import api

    task = configured(found, task)
    if (found.print_config or found.dry_run) and looked(found, _runs(found, grid, task), task, grid):
        return 0
    if not grid:
        api.run(found.recipe, **task)
        return _finish(found.out)
    runs = api.sweep(found.recipe, grid, **task)
    if len(runs) == 1:
        return _finish(found.out)
    from fastrl.cli import show
    from fastrl.reports import report, results

    points = [point for run in runs if run.path is not None for point in results.by_point(run.path)]
    print(show.tables([report.compared(points)], "the report.html of each folder"))
    return 0


def _algorithm(parser: Page, words: Sequence[str], default: str | None) -> tuple[Any, Any]:
    """Parses a command whose noun is an algorithm: (what was given, its configuration).

    One of yours is MODULE:NAME, its fields are options too.
    """
    meaning = f"{', '.join(ALGORITHMS)}, or one of yours as MODULE:NAME or FILE.py:NAME"
    parser.add_argument("algorithm", nargs="?", default=default, metavar="ALGORITHM", help=meaning)
    parser.add_argument("--algorithm", dest="named", metavar="NAME", help="the same, as an option (default: none)")
    kinds = (*(own := _own(words)).values(), *KINDS)
    for named, kind in own.items():
        parser.own = defaults.of_algorithm(parser.command, named, kind, None)
    add_options(parser, "run", [RunOptions])
    add_options(parser, "algorithm", kinds)
    found = parser.parse(words)
    name, command = found.named or found.algorithm, parser.command
    if name is not None and name not in ALGORITHMS and ":" not in name:
        raise unknown("algorithm", name, ALGORITHMS)
    if found.help_all:
        said = name in ALGORITHMS and (found.named or found.algorithm != default or name in words)
        known = ALGORITHMS[name] if said else own.get(name)
        parser.leave(defaults.of_algorithm(command, name, known, found.env) if known else None)
    if found.explain:
        parser.explained(found.explain, name, found.env)
    if name is None:
        raise UserError(f"an algorithm is missing; name one of {', '.join(ALGORITHMS)}")
    if found.env is None:
        raise UserError("--env is missing; name an environment (fastrl envs lists them)")
    arguments = _common(found)
    prepare(found.distributed)
    from fastrl import envs
    from fastrl.planning import checks

    if ":" in name and not own:
        raise UserError(f"name {name} on the command line too: its options are read from it")
    kind = kinds[0] if ":" in name else ALGORITHMS[name]
    checks.has(f"{command} {name}", [kind], given(found, kinds))
    vars(found).update({each: value for each, value in found.configured.items() if each not in vars(found)})
    env = envs.make(found.env, **arguments["env_options"])
    config = presets.configure(kind, name, presets.find(env.spec.domain), {}, given(found, kinds))
    return (found, arguments), config


def _own(words: Sequence[str]) -> dict[str, type]:
    """The class of options that the words name by MODULE:NAME, if they do, by that name."""
    after = [word for flag, word in itertools.pairwise(words) if flag == "--algorithm"]
    named = next((word for word in (*after, *words[:1]) if ":" in word and not word.startswith("-")), None)
    if named is None:
        return {}
    prepare()
    from fastrl import plugins
    from fastrl.planning import contract

    kind = contract.options(plugins.resolve("algorithm", named), named)
    if bare := [field.name for field in dataclasses.fields(kind) if not hasattr(kind, field.name)]:
        raise UserError(f"algorithm: option {bare[0]} of {named} has no default; write {bare[0]} = fastrl.option(...)")
    return {named: kind}


def pretrain(words: Sequence[str]) -> int:
    """An offline agent on a dataset."""
    parser = Page(
        "pretrain",
        "Trains an offline agent on a dataset; its folder is what --from takes.",
        "ALGORITHM",
        EXAMPLES["pretrain"],
    )
    _task_options(parser, "runs/pretrain")
    (found, arguments), config = _algorithm(parser, words, None)
    if (data := datasets_cli.source(found)) is None:
        raise UserError("--dataset is missing; name a file or a Minari dataset")
    asked = given(found, [RunOptions])
    if {"steps", "pretrain_steps"} <= asked.keys():
        raise UserError("--steps and --pretrain-steps are the same here; leave one out")
    steps = asked.pop("pretrain_steps", asked.pop("steps", None))
    if steps is None:
        raise UserError("--steps is missing; say how many gradient steps")
    from fastrl import api
    from fastrl.planning import asked as asking

    asked |= {"seeds": asked.get("seeds", RunOptions().seeds), "key": asked.pop("seed", 0), "steps": steps}
    task = {"env": arguments["env"], "env_options": arguments["env_options"], **asked}
    if looked(
        found,
        [(asking.pretraining(config, data, **task), Path(found.out))],
        given(found, (RunOptions, type(config), *KINDS)),
    ):
        return 0
    api.pretrain(config, data, **arguments, **asked)
    return _finish(found.out)


def finetune(words: Sequence[str]) -> int:
    """Online training from a pre-trained agent."""
    parser = Page(
        "finetune",
        "Warms up with the frozen policy of --from, then trains online.",
        "[ALGORITHM]",
        EXAMPLES["finetune"],
    )
    _task_options(parser, "runs/finetune")
    parser.add_argument("--from", dest="start", metavar="DIR", help="pre-trained agent (default: from scratch)")
    (found, arguments), config = _algorithm(parser, words, "sac")
    from fastrl import api
    from fastrl.planning import asked as asking

    asked = given(found, [RunOptions])
    asked |= {"start": found.start, "dataset": datasets_cli.source(found), "key": asked.pop("seed", 0)}
    task = {"env": arguments["env"], "env_options": arguments["env_options"], **asked}
    if looked(
        found, [(asking.finetuning(config, **task), Path(found.out))], given(found, (RunOptions, type(config), *KINDS))
    ):
        return 0
    api.finetune(config, **arguments, **asked)
    return _finish(found.out)
