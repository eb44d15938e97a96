"""fastrl bench startup: from the start of `fastrl run wsrl --env hopper` to the end of its first fine-tuning update.

Two processes run one after the other in an empty home folder: the first is `cold`, the second finds the compiled
programs that the first one kept (`warm`). The dataset is made here, random rows of Hopper's sizes in D4RL's layout. The
networks are the paper's and every phase is a few steps long, so that what remains is the start: imports, tracing,
lowering, XLA's compiler (with reading and writing kept programs), and the rest, of which `first_call_seconds` is one
call of the fine-tuning program: eight updates. `cpu_seconds` are those of all threads. `longest` names the programs
that took most, by phase, and `from_cache` is how many were found compiled.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fastrl import startup

if __name__ == "__main__" and sys.argv[1:2] != ["child"]:
    startup.prepare()

ROWS = 2_000
WORDS = ["run", "wsrl", "--env", "hopper", "--dataset", "random.hdf5", "--out", "run", "--seeds", "1"]
WORDS += ["--pretrain-steps", "2", "--warmup", "1024", "--steps", "1040", "--chunk", "8", "--eval-episodes", "2"]
KINDS = {
    "/jax/core/compile/jaxpr_trace_duration": "trace",
    "/jax/core/compile/jaxpr_to_mlir_module_duration": "lower",
    "/jax/core/compile/backend_compile_duration": "compile",
}
KEPT = "/jax/compilation_cache/cache_retrieval_time_sec"
LONGEST = 6


def measure() -> dict[str, Any]:
    """The benchmark's line: both launches."""
    from fastrl.benchmarks import schema
    from fastrl.benchmarks.ceilings import Ceilings

    ceilings = Ceilings()
    ceilings.round()
    fields: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        dataset(Path(folder) / "random.hdf5")
        for name in ("cold", "warm"):
            found = launch(Path(folder), name)
            fields |= {f"{name}_{key}": value for key, value in found.items()}
    ceilings.round()
    none = {"gflop": None, "gflop_source": "none: it is not arithmetic that takes the time", "megabytes": None}
    return schema.line("startup", "wsrl on hopper", **fields, **none, ceilings=ceilings.found())


def dataset(path: Path) -> None:
    """Random rows of Hopper's sizes, episodes of 100."""
    import h5py
    import numpy as np

    rng = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        file["observations"] = rng.normal(size=(ROWS, 11)).astype(np.float32)
        file["actions"] = rng.uniform(-0.9, 0.9, size=(ROWS, 3)).astype(np.float32)
        file["rewards"] = rng.normal(size=ROWS).astype(np.float32)
        file["terminals"] = np.zeros(ROWS, bool)
        file["timeouts"] = np.arange(ROWS) % 100 == 99


def launch(folder: Path, name: str) -> dict[str, Any]:
    """One process, timed from before it starts."""
    home = folder / "home"
    home.mkdir(exist_ok=True)
    environment = {key: value for key, value in os.environ.items() if not key.startswith("JAX_COMPILATION_CACHE")}
    words = [sys.executable, "-m", "fastrl.benchmarks.startup", "child", str(folder / name), repr(time.time())]
    (folder / name).mkdir()
    (folder / name / "random.hdf5").symlink_to(folder / "random.hdf5")
    done = subprocess.run(
        words, env={**environment, "HOME": str(home)}, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    if done.returncode:
        raise RuntimeError(f"{name}: exit code {done.returncode}\n{done.stderr[-3000:]}")
    return json.loads((folder / name / "found.json").read_text())


class Clock:
    """What jax says of its programs, and when the run's phases begin."""

    def __init__(self, began: float):
        self.began, self.imported, self.first, self.cpu, self.kept = began, 0.0, 0.0, 0.0, 0
        self.phase, self.place, self.update_began = "start", "start", 0.0
        self.spans: list[tuple[str, float, float, str, str]] = []  # kind, start, end, phase, program

    def heard(self, event: str, duration_secs: float, **kwargs: Any) -> None:
        """A listener of `jax.monitoring`."""
        self.kept += event == KEPT and not self.first
        if (kind := KINDS.get(event)) is not None and not self.first:
            now = time.time()
            self.spans.append((kind, now - duration_secs, now, self.place, str(kwargs.get("fun_name", "?"))))

    def total(self, *kinds: str) -> float:
        """Seconds of some kinds: a program that is traced inside another one counts once."""
        return length((start, end) for name, start, end, *_ in self.spans if name in kinds)

    def found(self) -> dict[str, Any]:
        """Seconds, and what took longest."""
        by: dict[tuple[str, str, str], float] = {}
        for kind, start, end, phase, program in self.spans:
            by[kind, phase, program] = by.get((kind, phase, program), 0.0) + end - start
        order = sorted(by.items(), key=lambda item: -item[1])[:LONGEST]
        whole, imports = self.first - self.began, self.imported - self.began
        trace, both, busy = self.total("trace"), self.total("trace", "lower"), self.total(*KINDS.values())
        parts = {"": whole, "cpu_": self.cpu, "import_": imports, "trace_": trace, "lower_": both - trace}
        parts |= {
            "compile_": busy - both,
            "rest_": whole - imports - busy,
            "first_call_": self.first - self.update_began,
        }
        longest = [[kind, phase, program, round(took, 2)] for (kind, phase, program), took in order]
        return {
            **{f"{key}seconds": round(value, 2) for key, value in parts.items()},
            "from_cache": self.kept,
            "longest": longest,
        }


def length(spans: Any) -> float:
    """Seconds that the union of intervals (start, end) covers."""
    total, until = 0.0, float("-inf")
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, until))
        until = max(until, end)
    return total


@contextlib.contextmanager
def watched(clock: Clock) -> Iterator[None]:
    """Within it the clock hears when a phase begins and when its first call of the program has come back."""
    from unittest import mock

    from fastrl.engine.run import Driver
    from fastrl.runs import hang, progress

    phase, update, call = progress.Progress.phase, progress.Progress.update, hang.watched

    def named(method: str, what: str) -> Any:
        original = getattr(Driver, method)

        def within(self: Driver, first: Any, *more: Any) -> Any:
            before = clock.place
            clock.place = f"{self.plan.phases[first].name if isinstance(first, int) else first.name}: {what}"
            try:
                return original(self, first, *more)
            finally:
                clock.place = before

        return mock.patch.object(Driver, method, within)

    def begins(self: Any, name: str, *more: Any) -> None:
        clock.phase = name
        phase(self, name, *more)

    def calls(*words: Any) -> Any:
        clock.update_began = clock.update_began if clock.first else time.time()
        return call(*words)

    def updates(self: Any, *words: Any) -> None:
        if clock.phase == "finetune" and not clock.first:
            clock.first, clock.cpu = time.time(), time.process_time()
        update(self, *words)

    with (
        named("_enter", "entering"),
        named("_compile", "steps"),
        named("_compile_evaluation", "evaluation"),
        named("_probe", "diagnostics"),
        mock.patch.object(progress.Progress, "phase", begins),
        mock.patch.object(progress.Progress, "update", updates),
        mock.patch.object(hang, "watched", calls),
    ):
        yield


def child(folder: Path, began: float) -> None:
    """The run itself, as the command line makes it."""
    from fastrl.cli.main import main

    clock = Clock(began)
    startup.prepare()
    import jax

    import fastrl.api  # noqa: F401

    clock.imported = time.time()
    jax.monitoring.register_event_duration_secs_listener(clock.heard)
    os.chdir(folder)
    with watched(clock):
        if code := main(WORDS):
            raise SystemExit(code)
    Path("found.json").write_text(json.dumps(clock.found()))


if __name__ == "__main__":
    if sys.argv[1:2] == ["child"]:
        child(Path(sys.argv[2]), float(sys.argv[3]))
    else:
        print(json.dumps(measure()))
