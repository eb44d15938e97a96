"""The `fastrl` command. Nouns are positional, the rest --kebab-case; results on stdout, progress on stderr.

The engine is imported inside each command, so that help needs no jax.
"""

import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from fastrl import __version__
from fastrl.cli import advise as advise_cli
from fastrl.cli import bench as bench_cli
from fastrl.cli import datasets as datasets_cli
from fastrl.cli import export as export_cli
from fastrl.cli import hub as hub_cli
from fastrl.cli import launch as launch_cli
from fastrl.cli import output as streams
from fastrl.cli import play as play_cli
from fastrl.cli import reproduce as reproduce_cli
from fastrl.cli import scores as scores_cli
from fastrl.cli import train
from fastrl.cli.options import Parser, resume_option
from fastrl.cli.train import prepare
from fastrl.errors import Failure, UserError, printable, short_of_memory, unknown
from fastrl.methods import ALGORITHMS
from fastrl.recipes.table import RECIPES

KINDS = tuple(ALGORITHMS.values())
Command = Callable[[Sequence[str]], int]


def _parser(name: str, meaning: str) -> Parser:
    return Parser(prog=f"fastrl {name}", description=meaning)


def evaluate(words: Sequence[str]) -> int:
    """Plays a trained agent."""
    return play_cli.evaluate(words, prepare)


def render(words: Sequence[str]) -> int:
    """A film of a trained agent."""
    return play_cli.render(words, prepare)


def collect(words: Sequence[str]) -> int:
    """Logged data, made here."""
    return play_cli.collect(words, prepare)


def export(words: Sequence[str]) -> int:
    """A trained policy as a file that plays without this library."""
    return export_cli.main(words, prepare)


def report(words: Sequence[str]) -> int:
    """Several runs in one picture and one table."""
    parser = _parser("report", "Draws several run folders into one picture and one HTML page, and prints one table.")
    parser.add_argument("runs", nargs="+", metavar="DIR", help="run folders")
    meaning = "picture; the page is beside it, as .html (default: comparison.png)"
    parser.add_argument("--out", default="comparison.png", metavar="FILE", help=meaning)
    meaning = "scores of each algorithm on each task, for rliable: .npz, .json or .npy (default: none)"
    parser.add_argument("--export", metavar="FILE", help=meaning)
    found = parser.parse(words)
    from fastrl.cli import show

    print(show.comparison(found.runs, found.out, found.export))
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

    print(catalogue.listing() if found.env is None else catalogue.entry(found.env, datasets_cli.to_stderr))
    return 0


def recipes(words: Sequence[str]) -> int:
    """Recipes, or one recipe's phases and options."""
    parser = _parser("recipes", "Lists the recipes, or the phases and resolved options of one.")
    parser.add_argument("recipe", nargs="?", metavar="RECIPE", help="show this one's phases (default: list all)")
    parser.add_argument("--env", default="hopper", metavar="NAME", help="for this environment (default: hopper)")
    found = parser.parse(words)
    if found.recipe is None:
        rows = [f"{name:9} {row.meaning} ({row.paper}): {row.phases}" for name, row in RECIPES.items()]
        print("\n".join([*rows, "fastrl recipes NAME shows the phases with every default"]))
        return 0
    prepare()
    from fastrl.cli import show

    print(show.recipe(found.recipe, found.env))
    return 0


def demo(words: Sequence[str]) -> int:
    """Everything, on a CPU, in minutes."""
    parser = _parser("demo", "Collects data in a maze, pre-trains, fine-tunes three ways, draws the picture.")
    parser.add_argument("--out", default="runs/demo", metavar="DIR", help="folder of the demo (default: runs/demo)")
    parser.add_argument("--seeds", type=int, default=5, metavar="N", help="independent runs (default: 5)")
    resume_option(parser)
    found = parser.parse(words)
    prepare()
    from fastrl.experiments import demo as demonstration

    print(demonstration.demo(Path(found.out), seeds=found.seeds, resume=found.resume))
    return 0


def reproduce(words: Sequence[str]) -> int:
    """A paper's claims, put to the test: runs, pictures, verdicts."""
    return reproduce_cli.main(words, prepare)


def advise(words: Sequence[str]) -> int:
    """An agent and its data in numbers, and what favours what at the switch."""
    return advise_cli.main(words, prepare)


def launch(words: Sequence[str]) -> int:
    """A job for a TPU pod, Slurm or Kubernetes, printed or submitted."""
    return launch_cli.main(words)


def push(words: Sequence[str]) -> int:
    """An agent or a dataset onto the Hugging Face Hub."""
    return hub_cli.push(words, prepare)


def pull(words: Sequence[str]) -> int:
    """An agent or a dataset from the Hugging Face Hub."""
    return hub_cli.pull(words, prepare)


def scores(words: Sequence[str]) -> int:
    """What 0 and 100 of a normalised score are, measured."""
    return scores_cli.main(words, prepare)


def bench(words: Sequence[str]) -> int:
    """Speed of this machine: measured, shown, compared."""
    return bench_cli.main(words)


COMMANDS: dict[str, Command] = {
    "run": train.run,
    "pretrain": train.pretrain,
    "finetune": train.finetune,
    "evaluate": evaluate,
    "render": render,
    "collect": collect,
    "export": export,
    "report": report,
    "datasets": datasets,
    "envs": envs,
    "recipes": recipes,
    "demo": demo,
    "reproduce": reproduce,
    "advise": advise,
    "launch": launch,
    "push": push,
    "pull": pull,
    "scores": scores,
    "bench": bench,
}


def usage() -> str:
    """The top-level help."""
    rows = "\n".join(f"  {name:9} {(command.__doc__ or '').strip()}" for name, command in COMMANDS.items())
    return (
        "usage: fastrl COMMAND ...\n\n"
        "Takes an actor-critic that was pre-trained offline and fine-tunes it online, fast.\n\n"
        f"commands:\n{rows}\n\nfastrl COMMAND --help shows its options; fastrl --version the version."
    )


def main(words: Sequence[str] | None = None) -> int:
    """Runs a command; exit code 0 done, 2 bad input (one line), 1 failed, 128 + signal when stopped."""
    streams.prepare()
    try:
        code = streams.delivered(lambda: _main(list(sys.argv[1:] if words is None else words)))
    except Exception:
        job = sys.modules.get("fastrl.runs.processes")  # not imported: help needs no jax
        if job is None or not job.joined():
            raise
        traceback.print_exc()
        code = 1
    if code and (job := sys.modules.get("fastrl.runs.processes")) is not None:
        job.leave(code)
    return code


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
        print(printable(f"fastrl: {error}"), file=sys.stderr)
        return 2
    except Failure as error:
        print(printable(f"fastrl: {error}"), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("fastrl: stopped", file=sys.stderr)
        return 128 + signal.SIGINT
    except Exception as error:
        return _failed(error)


def _failed(error: Exception) -> int:
    """Prints one line for an error that the engine expects; any other error is a bug and keeps its trace."""
    if (short := short_of_memory(error)) is not None:
        print(printable(f"fastrl: {short}"), file=sys.stderr)
        return 1
    engine = sys.modules.get("fastrl.engine.run")  # imported by whatever raises one of its errors
    if engine is not None and isinstance(error, engine.Interrupted):
        print(printable(f"fastrl: {error}"), file=sys.stderr)
        return 128 + error.signal
    if engine is not None and isinstance(error, engine.Diverged):
        print(printable(f"fastrl: {error}"), file=sys.stderr)
        return 1
    raise error


if __name__ == "__main__":
    sys.exit(main())
