"""python benchmarks/reliability/resume.py [--runs 1]: SIGTERM in every phase, in one process and in two of a job.

Of `wsrl` and `o2sac` one run goes from start to end in one go, as one process and as a job of two. Then the same
command is stopped by SIGTERM at a random row of each phase and continued with `--resume auto`. In a job one of the
processes gets the signal, and all must end. The exit code must be 143 each time, and the end the same SHA-256 of the
whole carry and of the agents and the same metrics.jsonl as the same job in one go; whether a job of two ends as one
process does is what processes.py asks. Linux or macOS; no accelerator is used.
"""

import json
import random
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from fastrl.benchmarks.reliability import common

FIGURE = "A run that SIGTERM stops in each of its phases ends, resumed, in the bits of one that ran in one go."
RECIPES = ("wsrl", "o2sac")
STOPPED = 128 + signal.SIGTERM


def stop(words: list[str], home: Path, out: Path, said: Path, processes: int, phase: str, row: int) -> dict[str, Any]:
    """Starts or continues a run, and stops it once a phase has logged more rows than `row`."""
    job = common.job(words, home, said, processes)
    inside = common.wait(job[0], said, lambda: common.passed(phase, row, out))
    job[row % processes].send_signal(signal.SIGTERM)
    codes = [process.wait() for process in job]
    return {"phase": phase, "row": row, "inside": inside, "codes": codes, "saved": common.acknowledged(out)}


def whole(recipe: str, home: Path, processes: int) -> dict[str, str]:
    """How a run ends that goes from start to end in one go."""
    out = home / f"{recipe}-{processes}"
    words = common.command(recipe, home, out)
    said = home / f"{recipe}-{processes}.txt"
    codes = [process.wait() for process in common.job(words, home, said, processes)]
    if any(codes):
        raise RuntimeError(said.read_text())
    return common.end(out)


def interrupted(recipe: str, home: Path, processes: int, number: int, rng: random.Random) -> dict[str, Any]:
    """A run that is stopped once in each phase: the stops, and how it ended."""
    out = home / f"{recipe}-{processes}-{number}"
    words = [*common.command(recipe, home, out), "--resume", "auto"]
    stops = []
    for phase in common.phases(recipe):
        said = home / f"{out.name}-{phase}.txt"
        stops.append(stop(words, home, out, said, processes, phase, rng.randrange(common.LOGGED - 4)))
    codes = [process.wait() for process in common.job(words, home, home / f"{out.name}-end.txt", processes)]
    found = common.end(out) if not any(codes) else {}
    return {"recipe": recipe, "processes": processes, "stops": stops, "codes": codes, "end": found}


def judged(case: dict[str, Any], expected: dict[str, str]) -> dict[str, Any]:
    """A case with what its end is compared with: the same job in one go."""
    same = {name: case["end"].get(name) == expected[name] for name in common.SAME}
    stopped = all(code == STOPPED for each in case["stops"] for code in each["codes"])
    inside = all(each["inside"] for each in case["stops"])
    return {**case, "same": same, "ok": stopped and inside and all(same.values())}


def counted(cases: list[dict[str, Any]]) -> dict[str, Any]:
    """What the cases add up to."""
    stops = [each for case in cases for each in case["stops"]]
    return {
        "runs": len(cases),
        "stops": len(stops),
        "exit_code_143": sum(all(code == STOPPED for code in each["codes"]) for each in stops),
        "different_ends": sum(not all(case["same"].values()) for case in cases),
        "runs_of_two_processes": sum(case["processes"] == 2 for case in cases),
    }


def main() -> int:
    """Each recipe, as one process and as two."""
    parser = common.parser("resume", __doc__)
    parser.add_argument("--runs", type=int, default=1, help="of each recipe and number of processes")
    found = parser.parse_args()
    started, cases = time.monotonic(), []
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        common.collect(home)
        for recipe in RECIPES:
            for processes in (1, 2):
                expected = whole(recipe, home, processes)
                for number in range(found.runs):
                    rng = random.Random(f"{recipe} {processes} {number}")
                    cases.append(judged(interrupted(recipe, home, processes, number, rng), expected))
                    print(json.dumps(cases[-1]), flush=True)
    passed = len(cases) > 0 and all(case["ok"] for case in cases)
    return common.write(found.json, FIGURE, counted(cases), passed, cases, started)


if __name__ == "__main__":
    sys.exit(main())
