"""The steps of benchmarks/gpu.py: `python -m fastrl.benchmarks.card STEP FILE SECONDS [--dry]` appends to FILE.

What a step measures and how is in `card_basics` (ceilings, correctness), `card_speed` (learner, loop, flags) and
`card_checks` (bits, memory, profile). Every step gets a `Report`, which writes its lines and knows how long is left.
"""

import argparse
import dataclasses
import functools
import importlib
import json
import statistics
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jax

STEPS = {
    "device": "card_basics:device",
    "correctness": "card_basics:correctness",
    "learner": "card_speed:learner",
    "loop": "card_speed:loop",
    "choices": "card_speed:choices",
    "flags": "card_speed:flags",
    "one-flag": "card_speed:one_flag",
    "bits": "card_checks:bits",
    "memory": "card_checks:memory",
    "profile": "card_checks:profile",
}
TOGETHER = 4  # programs compiled at a time
SPARE = 8  # seconds that a step keeps for ending well


@dataclasses.dataclass
class Report:
    """Where a step writes its figures, and its clock."""

    step: str
    path: Path
    end: float  # by time.monotonic
    dry: bool
    prefix: str = ""  # of what every figure is called

    def tell(self, what: str, value: Any, unit: str, **more: Any) -> None:
        """One figure, on disk at once."""
        with self.path.open("a") as file:
            file.write(
                json.dumps({"step": self.step, "what": self.prefix + what, "value": value, "unit": unit, **more}) + "\n"
            )

    @property
    def left(self) -> float:
        """Seconds until the step should have ended."""
        return self.end - SPARE - time.monotonic()

    def lines(self) -> list[dict[str, Any]]:
        """All lines so far, of earlier steps too."""
        return [json.loads(line) for line in self.path.read_text().splitlines()] if self.path.exists() else []


@dataclasses.dataclass
class Job:
    """A program to compile and then to time."""

    what: str
    lower: Callable[[], Any]  # -> (lowered program, its arguments as `measure` wants them)
    measure: Callable[[Any, Any, float], None]  # (compiled, arguments, compile seconds)


def in_turn(report: Report, jobs: Iterable[Job]) -> None:
    """Compiles a few programs side by side, times them one by one, and goes on while there is time.

    A program that fails is told and costs only itself.
    """
    jobs = list(jobs)
    for first in range(0, len(jobs), TOGETHER):
        group = jobs[first : first + TOGETHER]
        if report.left <= 0:
            for job in group:
                report.tell(job.what, "not reached", "")
            continue
        with ThreadPoolExecutor(TOGETHER) as pool:
            lowered = [(job, *_attempt(report, job.what, job.lower)) for job in group]
            compiled = [(job, pool.submit(_compile, pair)) for job, ok, pair in lowered if ok]
            for job, future in compiled:
                _attempt(report, job.what, functools.partial(_measure, job, future))


def _measure(job: Job, future: Future[Any]) -> None:
    job.measure(*future.result())


def _compile(pair: tuple[Any, Any]) -> tuple[Any, Any, float]:
    start = time.monotonic()
    return pair[0].compile(), pair[1], time.monotonic() - start


def _attempt(report: Report, what: str, function: Callable[[], Any]) -> tuple[bool, Any]:
    try:
        return True, function()
    except Exception as error:
        line = next(iter(str(error).splitlines()), "")
        report.tell(what, f"failed: {type(error).__name__}: {line[:200]}", "")
        return False, None


def seconds(run: Callable[[Any], Any], state: Any, repeats: int = 5) -> tuple[float, Any]:
    """(median wall time of a call, the last state); `run(state) -> state`, and the first call warms up."""
    state = jax.block_until_ready(run(state))
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        state = jax.block_until_ready(run(state))
        times.append(time.perf_counter() - start)
    return statistics.median(times), state


def main() -> None:
    """One step."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("step", choices=STEPS)
    parser.add_argument("path", type=Path)
    parser.add_argument("seconds", type=float)
    parser.add_argument("--dry", action="store_true")
    parser.add_argument("--prefix", default="")
    found = parser.parse_args()
    module, function = STEPS[found.step].split(":")
    report = Report(found.step, found.path, time.monotonic() + found.seconds, found.dry, found.prefix)
    getattr(importlib.import_module(f"fastrl.benchmarks.{module}"), function)(report)


if __name__ == "__main__":
    main()
