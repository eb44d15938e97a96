"""Commands side by side, each on a core of its own: one run of small networks keeps one core busy and no more."""

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from fastrl.engine.run import Interrupted
from fastrl.errors import Failure, UserError
from fastrl.runs import manifest
from fastrl.runs.preempt import StopRequest
from fastrl.runs.progress import Progress

POLL = 0.2  # seconds between two looks at what runs
BAD_INPUT = 2  # exit code


def cores() -> list[int]:
    """The cores that this process may use; one where the system does not say."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]


def run(commands: Mapping[str, Sequence[str]], logs: Path, progress: Progress) -> None:
    """Runs commands in their order, as many at a time as there are cores; what each says goes to `logs/NAME.log`.

    The first one that fails ends all, with its own last line; so does a signal, after which those that run have saved.
    """
    manifest.make_folder(logs)
    free, waiting = cores(), list(commands)
    running: dict[str, tuple[int, float, subprocess.Popen[bytes]]] = {}
    with StopRequest() as stop:
        try:
            while waiting or running:
                while free and waiting:
                    name, core = waiting.pop(0), free.pop(0)
                    running[name] = core, time.monotonic(), start(commands[name], core, _log(logs, name))
                time.sleep(POLL)
                if stop.requested is not None:
                    raise Interrupted(stop.requested, "the same command")
                for name, (core, began, process) in list(running.items()):
                    if process.poll() is None:
                        continue
                    del running[name]
                    free.append(core)
                    _ended(name, process.returncode, _log(logs, name))
                    done = len(commands) - len(waiting) - len(running)
                    progress.message(f"{name}: {time.monotonic() - began:.0f} s ({done} of {len(commands)})")
        finally:
            for _, _, process in running.values():
                process.terminate()
            for _, _, process in running.values():
                process.wait()


def start(command: Sequence[str], core: int, log: Path) -> "subprocess.Popen[bytes]":
    """Starts a command that may use this core alone."""
    own = cores()
    with log.open("wb") as file:
        try:
            if hasattr(os, "sched_setaffinity"):
                os.sched_setaffinity(0, {core})  # of this thread: what it starts inherits it
            return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=file, stderr=file)
        finally:
            if hasattr(os, "sched_setaffinity"):
                os.sched_setaffinity(0, own)


def _log(logs: Path, name: str) -> Path:
    return logs / f"{name.replace('/', '-')}.log"


def _ended(name: str, code: int, log: Path) -> None:
    """Raises what a command ended with, if it was not its end."""
    if code == 0:
        return
    lines = log.read_text(errors="replace").strip().splitlines() or [f"exit code {code}"]
    said = f"{name}: {lines[-1].removeprefix('fastrl: ')} (all of it in {log})"
    raise UserError(said) if code == BAD_INPUT else Failure(said)
