"""python benchmarks/locks.py [--pairs 50]: two processes at the same run folder at the same time, many times.

Each pair is the same `fastrl run .. --resume auto` twice, started together in a folder that is not there yet. One must
end with exit code 0, and with the log and the SHA-256 of the whole carry of a run that was alone; the other must be
refused with exit code 2 and one line that names the first one's process and host. Prints a JSON line for each pair and
one of the sum, and writes them to `--json`. Linux or macOS; no accelerator is used.
"""

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from fastrl.runs import manifest
from fastrl.runs.checkpoint import MANIFEST

WORDS = [
    *("run", "sac", "--env", "probe-constant", "--seeds", "1", "--actor-hidden", "8", "--critic-hidden", "8"),
    *("--batch-size", "8", "--num-critics", "2", "--utd", "1", "--steps", "2000", "--warmup", "1000"),
    *("--eval-every", "500", "--eval-episodes", "1", "--chunk", "10", "--checkpoint-minutes", "0.01"),
]


def start(home: Path, out: Path) -> subprocess.Popen[str]:
    """The command, in a process of its own; `home` holds the cache of compiled programs."""
    environment = {**os.environ, "HOME": str(home), "JAX_PLATFORMS": "cpu"}
    words = [sys.executable, "-m", "fastrl.cli", *WORDS, "--out", str(out), "--resume", "auto"]
    return subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)


def end(out: Path) -> tuple[str, bytes]:
    """The SHA-256 of the whole carry in the last checkpoint, and the log."""
    last = max(int(path.name) for path in (out / "checkpoints").iterdir() if path.name.isdigit())
    return manifest.read(out / "checkpoints" / str(last) / MANIFEST)["sha256"], (out / "metrics.jsonl").read_bytes()


def pair(home: Path, number: int, expected: tuple[str, bytes]) -> dict[str, Any]:
    """Two processes at one folder: how each ended, and what is in the folder."""
    out = home / f"run-{number}"
    both = [start(home, out) for _ in range(2)]
    errors = [process.communicate()[1].splitlines() for process in both]
    codes = [process.returncode for process in both]
    row: dict[str, Any] = {"pair": number, "codes": sorted(codes), "refused": False, "same_bits": False}
    if sorted(codes) == [0, 2]:
        winner, loser = codes.index(0), codes.index(2)
        holder = f"in use by process {both[winner].pid} on {socket.gethostname()};"
        row["refused"] = len(errors[loser]) == 1 and holder in errors[loser][0]
    if 0 in codes:
        row["same_bits"] = end(out) == expected
    return row


def main() -> int:
    """The reference, the pairs, the sum."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=50)
    parser.add_argument("--json", type=Path, default=Path(__file__).parent / "results" / "locks.json")
    found = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home, rows = Path(folder), []
        alone = start(home, home / "reference")
        if alone.communicate() and alone.returncode != 0:
            return 1
        expected = end(home / "reference")
        for number in range(found.pairs):
            rows.append(pair(home, number, expected))
            print(json.dumps(rows[-1]), flush=True)
    good = sum(row["refused"] and row["same_bits"] for row in rows)
    total = {"pairs": len(rows), "one_won_and_one_was_refused": good, **manifest.provenance()}
    print(json.dumps(total), flush=True)
    found.json.write_text(json.dumps({"total": total, "pairs": rows}, indent=1) + "\n")
    return 0 if good == len(rows) else 1


if __name__ == "__main__":
    sys.exit(main())
