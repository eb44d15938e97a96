"""A job: one command of fastrl on every host of one slice, that starts again until it is done, from what is saved."""

import dataclasses
import shlex
from collections.abc import Sequence

from fastrl.errors import UserError

COMMANDS = ("run", "pretrain", "finetune")
OWN = ("--out", "--resume", "--distributed", "--devices", "--first-seed", "--checkpoint-minutes", "--hang-minutes")
"""Options of the command that the job sets."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """What holds for every job of a launch."""

    name: str
    store: str  # what outlives the machines: gs://BUCKET, or on Slurm a folder that all nodes share
    retries: int = 5
    hang_minutes: float = 30.0
    checkpoint_minutes: float = 3.0
    package: str = "fastrl[tpu]"  # what pip installs on a machine: a release, a file, or git+https://...
    image: str = ""  # of a container that has fastrl installed
    project: str = ""
    zone: str = ""
    cluster: str = ""
    spot: bool = False
    nodes: int = 1  # of Slurm and of Kubernetes with GPUs
    gpus: int = 8  # of each of these nodes


@dataclasses.dataclass(frozen=True)
class Job:
    """One slice, with seeds of its own: if it fails, no other slice's are lost."""

    name: str
    words: tuple[str, ...]  # after `fastrl`

    def command(self, out: str) -> str:
        """The line that every host runs; `out` is the folder of the run, which all hosts see."""
        return shlex.join(["fastrl", *self.words, "--out", out])


@dataclasses.dataclass(frozen=True)
class Rendered:
    """What a job is for its launcher."""

    files: dict[str, str]
    commands: list[list[str]]  # that start it, from where the files are
    later: list[list[str]]  # that show its log, and that end it
    once: list[list[str]] = dataclasses.field(default_factory=list)  # for all jobs, by a person


def install(package: str) -> str:
    """Lines of a shell that put fastrl into an environment of its own: a machine's Python may be too old for jax."""
    return f"""python3 -m pip install --quiet uv
python3 -m uv venv --quiet --allow-existing --python 3.12 ~/fastrl-env
python3 -m uv pip install --quiet --python ~/fastrl-env/bin/python {shlex.quote(package)}
export PATH=~/fastrl-env/bin:$PATH"""


def jobs(settings: Settings, words: Sequence[str], slices: int = 1) -> list[Job]:
    """The command for each slice, with its part of the seeds."""
    if not words or words[0] not in COMMANDS:
        raise UserError(f"after -- comes a command of fastrl: {', '.join(COMMANDS)}, for example run wsrl --env hopper")
    if taken := [word for word in words if word.split("=")[0] in OWN]:
        raise UserError(f"{taken[0]} is set by fastrl launch; leave it out")
    each = by_slice(words, slices)
    common = ("--devices", "all", "--distributed", "on", "--resume", "auto")
    limits = (f"--checkpoint-minutes={settings.checkpoint_minutes:g}", f"--hang-minutes={settings.hang_minutes:g}")
    names = [settings.name if slices == 1 else f"{settings.name}-{number}" for number in range(slices)]
    return [Job(name, (*own, *common, *limits)) for name, own in zip(names, each, strict=True)]


def by_slice(words: Sequence[str], slices: int) -> list[list[str]]:
    """The words for each slice, with its part of the seeds."""
    words = list(words)
    if slices == 1:
        return [words]
    place = next((n for n, word in enumerate(words) if word.split("=")[0] == "--seeds"), None)
    if place is None:
        raise UserError("--slices divides the seeds; say after -- how many there are, with --seeds N")
    text = words[place].partition("=")[2] or (words[place + 1] if place + 1 < len(words) else "")
    if not text.isdigit() or int(text) % slices:
        raise UserError(f"--seeds {text} do not divide among --slices {slices}; give a multiple")
    own, rest = int(text) // slices, words[:place] + words[place + (1 if "=" in words[place] else 2) :]
    return [[*rest, "--seeds", str(own), "--first-seed", str(number * own)] for number in range(slices)]


def again(command: str, retries: int) -> str:
    """Lines of a shell that run a command until it succeeds, is wrong (2), or has failed `retries` times more."""
    return f"""for attempt in $(seq 0 {retries}); do
  {command} && exit 0
  code=$?
  [ $code -eq 2 ] && exit 2  # bad input: another attempt would end the same way
  echo "attempt $attempt ended with code $code; it goes on from the last checkpoint" >&2
  sleep 30
done
exit $code
"""
