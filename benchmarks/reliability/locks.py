"""python benchmarks/reliability/locks.py [--pairs 50]: two processes at the same run folder at the same time.

Each pair is the same `fastrl run .. --resume auto` twice, started together in a folder that is not there yet. One must
end with exit code 0, and with the log and the SHA-256 of the whole carry and of the agents of a run that was alone; the
other must be refused with exit code 2 and one line that names the first one's process and host. Linux or macOS; no
accelerator is used.
"""

import json
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from fastrl.benchmarks.reliability import common

FIGURE = "Of two processes at one run folder one does the run, to the same bits, and the other is refused in one line."
OPTIONS = {
    **{"env": "probe-constant", "seeds": 1, "actor-hidden": "8", "critic-hidden": "8", "batch-size": 8},
    **{"num-critics": 2, "utd": 1, "steps": 1_000, "warmup": 500, "eval-every": 250, "eval-episodes": 1},
    **{"probe-every": 0, "checkpoint-minutes": 0.01, "log": "none"},
}


def words(out: Path) -> list[str]:
    """The command of every run here."""
    return ["run", "sac", *common.as_words(OPTIONS), "--out", str(out), "--resume", "auto"]


def judged(pids: list[int], codes: list[int], errors: list[list[str]]) -> dict[str, Any]:
    """How two processes ended, and whether one was refused with a line that names the other."""
    row: dict[str, Any] = {"codes": sorted(codes), "refused": False}
    if row["codes"] == [0, 2]:
        winner, loser = codes.index(0), codes.index(2)
        holder = f"in use by process {pids[winner]} on {socket.gethostname()};"
        row["refused"] = len(errors[loser]) == 1 and holder in errors[loser][0]
    return row


def pair(home: Path, number: int, expected: dict[str, str]) -> dict[str, Any]:
    """Two processes at one folder: how each ended, and what is in the folder."""
    out = home / f"run-{number}"
    both = [common.start(words(out), home, subprocess.PIPE) for _ in range(2)]
    errors = [process.communicate()[1].splitlines() for process in both]
    row = judged([process.pid for process in both], [process.returncode for process in both], errors)
    return {"pair": number, **row, "same_bits": 0 in row["codes"] and common.end(out) == expected}


def main() -> int:
    """A run that is alone, the pairs, the sum."""
    parser = common.parser("locks", __doc__)
    parser.add_argument("--pairs", type=int, default=50)
    found = parser.parse_args()
    started, cases = time.monotonic(), []
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        common.done(words(home / "alone"), home)
        expected = common.end(home / "alone")
        for number in range(found.pairs):
            cases.append(pair(home, number, expected))
            print(json.dumps(cases[-1]), flush=True)
    good = sum(case["refused"] and case["same_bits"] for case in cases)
    counts = {"pairs": len(cases), "one_won_and_one_was_refused": good}
    return common.write(found.json, FIGURE, counts, 0 < good == len(cases), cases, started)


if __name__ == "__main__":
    sys.exit(main())
