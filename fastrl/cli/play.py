"""The commands that play a policy: evaluate, render and collect. Their help imports no jax."""

from collections.abc import Callable, Sequence
from typing import Any

from fastrl.cli.options import Parser, env_option, key_values
from fastrl.errors import UserError

Prepare = Callable[[], None]


def _played(parser: Parser, words: Sequence[str], prepare: Prepare, episodes: int) -> Any:
    """Parses a command that plays a trained agent."""
    parser.add_argument("run", metavar="DIR", help="a finished run or a saved agent; DIR:2 is its seed 2")
    parser.add_argument("--env", metavar="NAME", help="environment (default: the run's own)")
    env_option(parser, "the run's own")
    meaning = f"episodes of a seed (default: {episodes})"
    parser.add_argument("--episodes", type=int, default=episodes, metavar="N", help=meaning)
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="base of the random streams (default: 0)")
    found = parser.parse(words)
    if found.episodes <= 0:
        raise UserError(f"--episodes must be above 0, not {found.episodes}")
    prepare()
    return found


def evaluate(words: Sequence[str], prepare: Prepare) -> int:
    """Plays a trained agent."""
    parser = Parser(
        prog="fastrl evaluate", description="Plays the deterministic policy of every seed and prints its returns."
    )
    parser.add_argument("--json", action="store_true", help="one JSON line (default: a table)")
    meaning = "mujoco: beside it, the same task in Gymnasium's C MuJoCo (default: none)"
    parser.add_argument("--backend", metavar="NAME", help=meaning)
    found = _played(parser, words, prepare, 100)
    from fastrl.cli import show

    options = key_values("--env-option", found.env_option)
    print(show.evaluation(found.run, found.env, options, found.episodes, found.seed, found.json, found.backend))
    return 0


def render(words: Sequence[str], prepare: Prepare) -> int:
    """A film of a trained agent."""
    parser = Parser(
        prog="fastrl render",
        description="Draws the deterministic policy of one seed into a film, and its ways through a maze.",
    )
    meaning = "film, .mp4 or .gif (default: render.mp4 where an encoder is installed, else render.gif)"
    parser.add_argument("--out", metavar="FILE", help=meaning)
    found = _played(parser, words, prepare, 3)
    from fastrl.cli import show

    options = key_values("--env-option", found.env_option)
    print(show.film(found.run, found.env, options, found.episodes, found.seed, found.out))
    return 0


def collect(words: Sequence[str], prepare: Prepare) -> int:
    """Collects a dataset."""
    parser = Parser(
        prog="fastrl collect", description="Rolls out a scripted, random or trained policy and writes D4RL HDF5."
    )
    parser.add_argument("env", metavar="ENV", help="environment (fastrl envs lists them)")
    parser.add_argument("out", metavar="FILE", help="HDF5 file to write; must not exist")
    meaning = "scripted (mazes), random, or a level of locomotion: medium-replay, medium, expert"
    parser.add_argument("--behaviour", metavar="WHO", help=f"{meaning} (default: scripted)")
    parser.add_argument("--steps", type=int, default=10_000, metavar="N", help="transitions (default: 10000)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="base of the random streams (default: 0)")
    meaning = "std of the noise on actions (default: 1.0 where scripted, in AntMaze 0.2, 0.0 on a policy's)"
    parser.add_argument("--noise", type=float, metavar="X", help=meaning)
    meaning = "trained agent to sample actions from, DIR or DIR:SEED; several share the steps (default: none)"
    parser.add_argument("--policy", action="append", default=[], metavar="DIR", help=meaning)
    meaning = "copies of the environment side by side (default: one for each policy)"
    parser.add_argument("--num-envs", type=int, metavar="N", help=meaning)
    env_option(parser)
    found = parser.parse(words)
    prepare()
    from fastrl.cli import show

    print(show.collection(found.env, found.out, found, key_values("--env-option", found.env_option)))
    return 0
