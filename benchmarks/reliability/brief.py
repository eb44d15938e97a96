"""A short run that learns online, as a command in a forked process, and what counts as a good answer of a command.

A fork of this process has imported everything, so that hundreds of commands take minutes. It runs the function that
`fastrl` is, and ends as it does; its standard error is appended to a file, its standard output is beside it, as `.out`.
"""

import dataclasses
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax

from fastrl import api as api  # what commands need is there before the forks
from fastrl.benchmarks.reliability import common
from fastrl.cli import main as cli
from fastrl.reports import report as report

OPTIONS: dict[str, Any] = {
    **common.SIZES,
    **{"env": common.ENV, "num-critics": 2, "utd": 1, "warmup": 40, "steps": 80, "eval-every": 200},
    **{"eval-episodes": 1, "chunk": 20, "capacity": 80, "checkpoint-minutes": 0.0001, "log": "none"},
}
"""So few minutes between checkpoints: everything is saved after every chunk."""


@dataclasses.dataclass(frozen=True)
class Answer:
    """How a command ended, and what it said."""

    code: int  # minus the number of the signal that killed it
    said: str
    seconds: float

    @property
    def lines(self) -> list[str]:
        """What it said as `fastrl: ..`, its answer."""
        return [line for line in self.said.splitlines() if line.startswith("fastrl: ")]

    @property
    def trace(self) -> bool:
        """Whether it showed a trace, or was killed, as by a crash in C++."""
        return "Traceback" in self.said or self.code < 0

    @property
    def refused(self) -> bool:
        """Whether it could not go on, and said so in one line that is its last."""
        last = self.said.strip().splitlines()[-1:]
        return self.code in (1, 2) and not self.trace and len(self.lines) == 1 and last == self.lines


def words(out: Path, recipe: str = "sac", **changed: Any) -> list[str]:
    """The words of the short run."""
    return ["run", recipe, *common.as_words(OPTIONS | {"out": out} | changed)]


class Fork:
    """`fastrl WORDS` in a fork of this process; `first` is called in it before the command."""

    def __init__(self, words: Sequence[str], home: Path, said: Path, first: Callable[[], None] = lambda: None):
        assert threading.active_count() == 1, "a fork of several threads may hang"
        self.said, self.started = said, time.monotonic()
        self.status: int | None = None
        sys.stdout.flush()
        self.pid = os.fork()
        if self.pid == 0:
            code = 1
            try:
                code = _child(list(words), home, said, first)
            except BaseException:
                traceback.print_exc()
            finally:
                sys.stderr.flush()
                os._exit(code)

    def poll(self) -> int | None:
        """Its exit code, None while it runs."""
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
        return self.status

    def send_signal(self, number: int) -> None:
        """Sends a signal."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def answer(self, seconds: float = 600.0) -> Answer:
        """Waits for its end; one that takes longer is killed."""
        while self.poll() is None:
            if time.monotonic() - self.started > seconds:
                self.send_signal(signal.SIGKILL)
            time.sleep(0.01)
        said = self.said.read_text(errors="replace") if self.said.is_file() else ""
        return Answer(self.poll() or 0, said, round(time.monotonic() - self.started, 2))


def _child(words: list[str], home: Path, said: Path, first: Callable[[], None]) -> int:
    file = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(file, 2)
    os.dup2(os.open(said.with_suffix(".out"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 1)
    os.environ["HOME"] = str(home)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    first()
    return cli.main(words)


def told(words: Sequence[str], home: Path, said: Path, first: Callable[[], None] = lambda: None) -> Answer:
    """How a command ends."""
    said.unlink(missing_ok=True)
    return Fork(words, home, said, first).answer()


def well(words: Sequence[str], home: Path, said: Path) -> Answer:
    """A command that must end well."""
    found = told(words, home, said)
    if found.code != 0:
        raise RuntimeError(f"fastrl {' '.join(words)} ended with {found.code}:\n{found.said}")
    return found
