"""What the scripts of this folder share: a small run, its processes, how it ended, and the file of a figure."""

import argparse
import datetime
import hashlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

from fastrl.recipes import table
from fastrl.runs import manifest
from fastrl.runs.checkpoint import MANIFEST

RESULTS = Path(__file__).resolve().parents[1] / "results" / "reliability"
"""Where the figures are kept."""
ENV, ROWS, LOGGED = "probe-action", 1_000, 40  # rows of the dataset; a phase logs that many rows
SIZES = {"seeds": 2, "actor-hidden": "8", "critic-hidden": "8", "batch-size": 8}
STEPS = {"pretrain-steps": 1_000, "steps": 2_000, "eval-every": 250, "eval-episodes": 2}
STAGED = {"reevaluate-steps": 1_000, "align-steps": 1_000}
PACE = {"chunk": 25, "checkpoint-minutes": 0.004}
RECIPES: dict[str, dict[str, Any]] = {
    "wsrl": {"num-critics": 2, "cql-actions": 2, "warmup": 1_000},
    "o2sac": {"num-critics": 2, "cql-actions": 2, "warmup": 1_000, "utd": 2, **STAGED},
    "o2td3": {"num-critics": 2, "warmup": 1_000, **STAGED},
    "o2ppo": {"rollout": 40, "reevaluate-steps": 1_000},
}
"""Runs of a few seconds, 1,000 steps a phase."""
SAME = ("carry", "agent", "log")
PLACES = {
    tempfile.gettempdir(): "TEMPORARY",
    sys.prefix: "ENVIRONMENT",
    sys.base_prefix: "PYTHON",
    str(RESULTS.parents[2]): "PROJECT",
}
"""Folders of this machine, and what a figure's file calls them."""


def parser(name: str, text: str | None) -> argparse.ArgumentParser:
    """The arguments that every script has; no accelerator is used, whatever the machine has."""
    jax.config.update("jax_platforms", "cpu")
    made = argparse.ArgumentParser(description=text, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--json", type=Path, default=RESULTS / f"{name}.json", help="where the figure is written")
    return made


def start(
    words: Sequence[str], home: Path, said: Path | int = subprocess.DEVNULL, devices: int = 1, **environment: str
) -> subprocess.Popen[str]:
    """`fastrl WORDS` in a process of its own, on that many devices of the CPU (more than one: a run).

    `home` holds the programs that are kept compiled; what the command says is appended to the file `said`, or goes
    into a pipe.
    """
    kept = {"JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0", "JAX_NUM_CPU_DEVICES": str(devices)}
    variables = {**os.environ, **kept, "HOME": str(home), "JAX_PLATFORMS": "cpu", **environment}
    command = [sys.executable, "-m", "fastrl.cli", *words, *(("--devices", "all") if devices > 1 else ())]
    if isinstance(said, int):
        return subprocess.Popen(command, env=variables, stdout=subprocess.DEVNULL, stderr=said, text=True)
    with said.open("ab") as file:
        return subprocess.Popen(command, env=variables, stdout=subprocess.DEVNULL, stderr=file, text=True)


def done(words: Sequence[str], home: Path, **options: Any) -> str:
    """What a command says that must end well; raises `RuntimeError` with it where it does not."""
    process = start(words, home, subprocess.PIPE, **options)
    said = process.communicate()[1]
    if process.returncode != 0:
        raise RuntimeError(f"fastrl {' '.join(words)} ended with {process.returncode}:\n{said}")
    return said


def as_words(options: Mapping[str, Any]) -> list[str]:
    """Options as words of the command."""
    return [word for name, value in options.items() for word in (f"--{name}", str(value))]


def command(recipe: str, home: Path, out: Path, **changed: Any) -> list[str]:
    """The words of a small run of one of `RECIPES`; `collect` makes its dataset."""
    options = {"env": ENV, "dataset": home / "data.hdf5", **SIZES, **STEPS, **RECIPES[recipe], **PACE, "out": out}
    return ["run", recipe, *as_words(options | changed)]


def phases(recipe: str) -> list[str]:
    """The names of a recipe's phases, in order."""
    return table.RECIPES[recipe].phases.split(", ")


def collect(home: Path) -> None:
    """Makes the dataset of the small runs: random actions."""
    done(["collect", ENV, str(home / "data.hdf5"), "--behaviour", "random", "--steps", str(ROWS)], home)


def job(words: Sequence[str], home: Path, said: Path, processes: int, devices: int = 1) -> list[subprocess.Popen[str]]:
    """The same command as all processes of one job on this machine; what the first says is appended to `said`."""
    if processes == 1:
        return [start(words, home, said, devices)]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    meeting = {"JAX_COORDINATOR_ADDRESS": address, "JAX_NUM_PROCESSES": str(processes)}
    files = [said, *(said.with_name(f"{said.stem}-{number}.txt") for number in range(1, processes))]
    words = [*words, "--distributed", "on"]
    return [start(words, home, file, devices, **meeting, JAX_PROCESS_ID=str(n)) for n, file in enumerate(files)]


def wait(process: subprocess.Popen[str], said: Path, happened: Callable[[], bool]) -> bool:
    """Waits until a run that has begun or was resumed is where it is awaited; False if it ended first."""
    while process.poll() is None:
        if not any(word in said.read_text() for word in ("resumed at", " steps")):  # the log is still as it was left
            time.sleep(0.02)
        elif happened():
            return True
        else:
            time.sleep(0.002)
    return False


def logged(out: Path) -> list[bytes]:
    """The whole lines of a log."""
    path = out / "metrics.jsonl"
    return path.read_bytes().split(b"\n")[:-1] if path.is_file() else []


def passed(phase: str, row: int, out: Path) -> bool:
    """Whether a log has more rows of a phase than that."""
    return sum(f'"phase": "{phase}"'.encode() in line for line in logged(out)) > row


def steps(out: Path) -> list[int]:
    """Steps of a run that have a folder, acknowledged or not, in order."""
    folder = out / "checkpoints"
    return sorted(int(path.name) for path in folder.iterdir() if path.name.isdigit()) if folder.is_dir() else []


def acknowledged(out: Path) -> int:
    """The newest step with a manifest, -1 before there is one."""
    return max((step for step in steps(out) if (out / "checkpoints" / str(step) / MANIFEST).is_file()), default=-1)


def carry(out: Path) -> str:
    """The SHA-256 of everything that the last checkpoint of a run (or of an agent) holds."""
    return manifest.read(out / "checkpoints" / str(steps(out)[-1]) / MANIFEST)["sha256"]


def end(out: Path) -> dict[str, str]:
    """How a finished run ended: SHA-256 of its whole carry, of its agents and of its log."""
    log = hashlib.sha256((out / "metrics.jsonl").read_bytes()).hexdigest()
    return {"carry": carry(out), "agent": carry(out / "agent"), "log": log}


def write(
    path: Path, figure: str, counts: Mapping[str, Any], passed: bool, cases: Sequence[Any], started: float
) -> int:
    """Writes and prints a figure of trust; the exit code, 0 if what it claims holds.

    `started` is `time.monotonic()` at the beginning.
    """
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    took = {"utc": now, "seconds": round(time.monotonic() - started, 1)}
    total = {**counts, "passed": passed, **manifest.provenance(), **took}
    print(json.dumps({"figure": figure, **counts, "passed": passed, **took}), flush=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"figure": figure, "total": total, "cases": list(cases)}, indent=1)
    for place, name in PLACES.items():
        text = text.replace(place, name)
    path.write_text(text + "\n")
    return 0 if passed else 1
