"""The `fastrl` command. Nouns are positional, the rest --kebab-case; results on stdout, progress on stderr.

The engine is imported inside each command, so that help needs no jax.
"""

import shlex
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fastrl import __version__, presets
from fastrl.cli import datasets as datasets_cli
from fastrl.cli import output as streams
from fastrl.cli import play as play_cli
from fastrl.cli.options import Parser, add_options, env_option, given, key_values, resume_option
from fastrl.config import ALGORITHMS, RunOptions
from fastrl.errors import Failure, UserError, unknown

KINDS = tuple(ALGORITHMS.values())
Command = Callable[[Sequence[str]], int]


def prepare() -> None:
    """Sets what must be set before jax starts, and starts it."""
    from fastrl import launch

    launch.prepare()
    launch.start()


def _parser(name: str, meaning: str) -> Parser:
    return Parser(prog=f"fastrl {name}", description=meaning)


def _task_options(parser: Parser, out: str) -> None:
    parser.add_argument("--env", metavar="NAME", help="environment, see fastrl envs (default: none, it must be named)")
    env_option(parser)
    datasets_cli.dataset_options(parser)
    parser.add_argument("--out", default=out, metavar="DIR", help=f"run folder (default: {out})")
    resume_option(parser)


def _common(found: Any) -> dict[str, Any]:
    """Arguments that run, pretrain and finetune hand to the library."""
    prepare()
    return {
        "env": found.env,
        "out": found.out,
        "resume": found.resume,
        "env_options": key_values("--env-option", found.env_option),
        "command": shlex.join(["fastrl", *sys.argv[1:]]),
    }


def _finish(out: str) -> int:
    report = Path(out) / "report.md"
    print(report.read_text("utf-8", "surrogateescape"), end="")
    return 0


def run(words: Sequence[str]) -> int:
    """A recipe, start to end, for many seeds."""
    parser = _parser("run", "Runs a recipe, start to end, for many seeds.")
    parser.add_argument("recipe", metavar="RECIPE", help=f"one of {', '.join(presets.RECIPES)}")
    _task_options(parser, "runs/RECIPE-ENV")
    meaning = "agent that replaces the offline phase; DIR:2 is its seed 2 (default: none)"
    parser.add_argument("--from", dest="start", metavar="DIR", help=meaning)
    add_options(parser, "run", [RunOptions])
    add_options(parser, "algorithms (each option holds for every phase that has it)", KINDS, paper=True)
    found = parser.parse(words)
    if found.recipe not in presets.RECIPES:
        raise unknown("recipe", found.recipe, presets.RECIPES, "fastrl recipes lists them")
    if found.env is None:
        raise UserError("--env is missing; name an environment (fastrl envs lists them)")
    found.out = found.out.replace("RECIPE", found.recipe).replace("ENV", found.env.replace(":", "-"))
    arguments = _common(found)
    from fastrl import api

    api.run(
        found.recipe,
        dataset=datasets_cli.source(found),
        start=found.start,
        **arguments,
        **given(found, (RunOptions, *KINDS)),
    )
    return _finish(found.out)


def _algorithm(parser: Parser, words: Sequence[str], default: str | None) -> tuple[Any, Any]:
    """Parses a command whose noun is an algorithm: (what was given, its configuration)."""
    parser.add_argument(
        "algorithm", nargs="?" if default else None, default=default, metavar="ALGORITHM", help=", ".join(ALGORITHMS)
    )
    add_options(parser, "run", [RunOptions])
    add_options(parser, "algorithm", KINDS, paper=True)
    found = parser.parse(words)
    if found.algorithm not in ALGORITHMS:
        raise unknown("algorithm", found.algorithm, ALGORITHMS)
    if found.env is None:
        raise UserError("--env is missing; name an environment (fastrl envs lists them)")
    arguments = _common(found)
    from fastrl import envs
    from fastrl.planning import checks

    checks.has(f"{parser.prog.split()[1]} {found.algorithm}", [ALGORITHMS[found.algorithm]], given(found, KINDS))
    env = envs.make(found.env, **arguments["env_options"])
    domain = presets.find(env.spec.domain)
    config = presets.configure(ALGORITHMS[found.algorithm], found.algorithm, domain, {}, given(found, KINDS))
    return (found, arguments), config


def pretrain(words: Sequence[str]) -> int:
    """An offline agent on a dataset."""
    parser = _parser("pretrain", "Trains an offline agent on a dataset; its folder is what --from takes.")
    _task_options(parser, "runs/pretrain")
    (found, arguments), config = _algorithm(parser, words, None)
    if (data := datasets_cli.source(found)) is None:
        raise UserError("--dataset is missing; name a file or a Minari dataset")
    options = given(found, [RunOptions])
    if {"steps", "pretrain_steps"} <= options.keys():
        raise UserError("--steps and --pretrain-steps are the same here; leave one out")
    steps = options.pop("pretrain_steps", options.pop("steps", None))
    if steps is None:
        raise UserError("--steps is missing; say how many gradient steps")
    from fastrl import api

    seeds, key = options.pop("seeds", RunOptions().seeds), options.pop("seed", 0)
    api.pretrain(config, data, steps=steps, seeds=seeds, key=key, **arguments, **options)
    return _finish(found.out)


def finetune(words: Sequence[str]) -> int:
    """Online training from a pre-trained agent."""
    parser = _parser("finetune", "Warms up with the frozen policy of --from, then trains online.")
    _task_options(parser, "runs/finetune")
    parser.add_argument("--from", dest="start", metavar="DIR", help="pre-trained agent (default: from scratch)")
    (found, arguments), config = _algorithm(parser, words, "sac")
    from fastrl import api

    options = given(found, [RunOptions])
    data, key = datasets_cli.source(found), options.pop("seed", 0)
    api.finetune(config, start=found.start, dataset=data, key=key, **arguments, **options)
    return _finish(found.out)


def evaluate(words: Sequence[str]) -> int:
    """Plays a trained agent."""
    return play_cli.evaluate(words, prepare)


def render(words: Sequence[str]) -> int:
    """A film of a trained agent."""
    return play_cli.render(words, prepare)


def collect(words: Sequence[str]) -> int:
    """Logged data, made here."""
    return play_cli.collect(words, prepare)


def report(words: Sequence[str]) -> int:
    """Several runs in one picture and one table."""
    parser = _parser("report", "Draws several run folders into one picture and prints one table.")
    parser.add_argument("runs", nargs="+", metavar="DIR", help="run folders")
    parser.add_argument("--out", default="comparison.png", metavar="FILE", help="picture (default: comparison.png)")
    found = parser.parse(words)
    from fastrl.cli import show

    print(show.comparison(found.runs, found.out))
    return 0


def datasets(words: Sequence[str]) -> int:
    """Datasets: list them, describe, export or convert one."""
    return datasets_cli.main(words, prepare)


def envs(words: Sequence[str]) -> int:
    """What fastrl.make can make."""
    parser = _parser("envs", "Lists the environments that --env can name, or shows one and checks its protocol.")
    parser.add_argument("env", nargs="?", metavar="NAME", help="show and check this one (default: list all)")
    found = parser.parse(words)
    if found.env is not None:
        prepare()
    from fastrl.cli import catalogue

    print(catalogue.listing() if found.env is None else catalogue.entry(found.env, datasets_cli.tell))
    return 0


def recipes(words: Sequence[str]) -> int:
    """Recipes, or one recipe's phases and options."""
    parser = _parser("recipes", "Lists the recipes, or the phases and resolved options of one.")
    parser.add_argument("recipe", nargs="?", metavar="RECIPE", help="show this one's phases (default: list all)")
    parser.add_argument("--env", default="hopper", metavar="NAME", help="for this environment (default: hopper)")
    found = parser.parse(words)
    if found.recipe is None:
        print("\n".join(f"{name:8} {meaning}" for name, meaning in presets.RECIPES.items()))
        return 0
    prepare()
    from fastrl.cli import show

    print(show.recipe(found.recipe, found.env))
    return 0


def demo(words: Sequence[str]) -> int:
    """Everything, on a CPU, in minutes."""
    parser = _parser("demo", "Collects data in a maze, pre-trains, fine-tunes three ways, draws the picture.")
    parser.add_argument("--out", default="runs/demo", metavar="DIR", help="folder of the demo (default: runs/demo)")
    parser.add_argument("--seeds", type=int, default=4, metavar="N", help="independent runs (default: 4)")
    resume_option(parser)
    found = parser.parse(words)
    prepare()
    from fastrl.experiments import demo as demonstration

    print(demonstration.demo(Path(found.out), seeds=found.seeds, resume=found.resume))
    return 0


def bench(words: Sequence[str]) -> int:
    """Speed of this machine, as JSON lines."""
    if words[:1] == ["compile"]:
        from fastrl.benchmarks import compile as ahead_of_time

        return ahead_of_time.main(words[1:])
    parser = _parser(
        "bench",
        "Measures learner, whole loop, memory and environments on this machine; prints JSON lines.\n"
        "fastrl bench compile --help: programs compiled for an H100 or a TPU, on a machine without one.",
    )
    parser.add_argument(
        "what", nargs="?", default="all", metavar="WHAT", help="learner, loop, memory, environments (default: all)"
    )
    parser.add_argument("--launches", type=int, default=1, metavar="N", help="processes of each (default: 1)")
    found = parser.parse(words)
    from fastrl.benchmarks import suite

    return suite.run(found.what, found.launches)


COMMANDS: dict[str, Command] = {
    "run": run,
    "pretrain": pretrain,
    "finetune": finetune,
    "evaluate": evaluate,
    "render": render,
    "collect": collect,
    "report": report,
    "datasets": datasets,
    "envs": envs,
    "recipes": recipes,
    "demo": demo,
    "bench": bench,
}


def usage() -> str:
    """The top-level help."""
    rows = "\n".join(f"  {name:9} {(command.__doc__ or '').strip()}" for name, command in COMMANDS.items())
    return (
        "usage: fastrl COMMAND ...\n\n"
        "Takes an actor-critic that was pre-trained offline and fine-tunes it online, fast.\n\n"
        f"commands:\n{rows}\n\nfastrl COMMAND --help shows every option; fastrl --version the version."
    )


def main(words: Sequence[str] | None = None) -> int:
    """Runs a command; exit code 0 done, 2 bad input (one line), 1 failed, 128 + signal when stopped."""
    streams.prepare()
    return streams.delivered(lambda: _main(list(sys.argv[1:] if words is None else words)))


def _main(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help"):
        print(usage())
        return 0
    if words[0] == "--version":
        print(f"fastrl {__version__}")
        return 0
    try:
        if words[0] not in COMMANDS:
            raise unknown("command", words[0], COMMANDS, "fastrl --help lists them")
        return COMMANDS[words[0]](words[1:])
    except UserError as error:
        print(f"fastrl: {error}", file=sys.stderr)
        return 2
    except Failure as error:
        print(f"fastrl: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("fastrl: stopped", file=sys.stderr)
        return 128 + signal.SIGINT
    except Exception as error:
        return _failed(error)


def _failed(error: Exception) -> int:
    """One line for what the engine expects to happen; anything else is a fault of ours and keeps its trace."""
    from fastrl.engine.run import Diverged, Interrupted

    if isinstance(error, Interrupted):
        print(f"fastrl: {error}", file=sys.stderr)
        return 128 + error.signal
    if isinstance(error, Diverged):
        print(f"fastrl: {error}", file=sys.stderr)
        return 1
    raise error


if __name__ == "__main__":
    sys.exit(main())
