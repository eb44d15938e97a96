"""fastrl bench: every benchmark in processes of its own, one JSON line a launch and a line with the medians.

Machines have speed modes that differ by process, so a figure is the median over launches and quotes ratios taken
inside one process.
"""

import json
import statistics
import subprocess
import sys
from typing import Any

from fastrl.errors import UserError

PARTS: dict[str, list[list[str]]] = {
    "learner": [["learner", name] for name in ("locomotion", "antmaze", "calql", "small")],
    "loop": [["loop"]],
    "memory": [["memory"]],
    "environments": [["environments", name] for name in ("halfcheetah", "hopper", "walker2d", "ant", "antmaze-umaze")],
}


def run(what: str, launches: int) -> int:
    """Runs one part or `all`; returns an exit code."""
    if what == "compile":
        raise UserError("compile comes first and has options of its own; fastrl bench compile --help lists them")
    if what != "all" and what not in PARTS:
        raise UserError(f"unknown benchmark {what!r}; name one of {', '.join([*PARTS, 'all'])}")
    if launches <= 0:
        raise UserError(f"--launches must be above 0, not {launches}")
    parts = [words for name, group in PARTS.items() if what in (name, "all") for words in group]
    return max(_launch(words, launches) for words in parts)


def _launch(words: list[str], launches: int) -> int:
    lines = []
    for _ in range(launches):
        command = [sys.executable, "-m", f"fastrl.benchmarks.{words[0]}", *words[1:]]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
        if done.returncode:
            return 1
        line = done.stdout.strip().splitlines()[-1]
        print(line, flush=True)
        lines.append(json.loads(line))
    if launches > 1:
        print(json.dumps(median(lines)), flush=True)
    return 0


def median(lines: list[dict[str, Any]]) -> dict[str, Any]:
    """One line for several launches: the median of every number."""
    found: dict[str, Any] = {}
    for key, value in lines[0].items():
        number = isinstance(value, int | float) and not isinstance(value, bool)
        found[key] = statistics.median(line[key] for line in lines) if number else value
    return {**found, "launches": len(lines)}
