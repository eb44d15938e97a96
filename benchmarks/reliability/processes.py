"""python benchmarks/reliability/processes.py: eight seeds on eight devices of one, two and four processes.

The same command as one process with one device, as one process with eight devices of the CPU, as two with four, and as
four with two. The SHA-256 of each seed's agent and the log must be the same everywhere. Linux or macOS; no accelerator
is used.
"""

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import jax

from fastrl import agent as agents
from fastrl.benchmarks.reliability import common
from fastrl.runs import digests

FIGURE = "A seed has the same bits whether one, two or four processes share its run's devices."
RECIPES = ("wsrl",)
SEEDS = 8
LAYOUTS = ((1, 1), (1, 8), (2, 4), (4, 2))
"""Processes and devices of each; the first is what the others are compared with."""


def of_seeds(out: Path) -> list[str]:
    """The SHA-256 of each seed's agent."""
    found = agents.load(out)
    return [digests.total(jax.tree.map(lambda x, n=n: x[n : n + 1], found.state)) for n in range(found.seeds)]


def case(recipe: str, home: Path, processes: int, devices: int, seeds: int = SEEDS) -> dict[str, Any]:
    """One job, from start to end: the agents of its seeds and its log."""
    out, said = home / f"{recipe}-{processes}-{devices}", home / f"{recipe}-{processes}-{devices}.txt"
    words = common.command(recipe, home, out, seeds=seeds)
    codes = [process.wait() for process in common.job(words, home, said, processes, devices)]
    if any(codes):
        raise RuntimeError(f"{processes} processes ended with {codes}:\n{said.read_text()}")
    return {
        "recipe": recipe,
        "processes": processes,
        "devices": devices,
        "agents": of_seeds(out),
        "log": common.end(out)["log"],
    }


def compared(cases: list[dict[str, Any]]) -> tuple[dict[str, Any], bool]:
    """How many seeds of how many jobs have the agent of the first job of their recipe, and whether all is the same."""
    seeds = same = logs = 0
    firsts = {each["recipe"]: each for each in reversed(cases)}
    for each in cases:
        first = firsts[each["recipe"]]
        each["same_agents"] = sum(a == b for a, b in zip(each["agents"], first["agents"], strict=True))
        each["same_log"] = each["log"] == first["log"]
        seeds, same, logs = seeds + len(each["agents"]), same + each["same_agents"], logs + each["same_log"]
    counts = {"jobs": len(cases), "agents": seeds, "same_agents": same, "same_logs": logs}
    return counts, seeds == same > 0 and logs == len(cases)


def main() -> int:
    """Each recipe in each layout."""
    found = common.parser("processes", __doc__).parse_args()
    started, cases = time.monotonic(), []
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        common.collect(home)
        for recipe in RECIPES:
            for processes, devices in LAYOUTS:
                cases.append(case(recipe, home, processes, devices))
                print(json.dumps(cases[-1]), flush=True)
    counts, passed = compared(cases)
    return common.write(found.json, FIGURE, counts, passed, cases, started)


if __name__ == "__main__":
    sys.exit(main())
