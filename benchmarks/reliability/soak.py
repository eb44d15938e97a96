"""python benchmarks/reliability/soak.py [--minutes 60]: memory and open files of a run that goes on and on.

A run with tiny networks that never ends by itself: it evaluates, saves a checkpoint every few seconds and writes
TensorBoard's log. Every ten seconds its resident memory, its open files and its threads are counted. After the first
sixth of the time, in which programs are compiled and the heap finds its size, a line is fitted to the memory; the
interval of its slope takes into account how alike neighbouring samples are. At the end SIGTERM stops the run, and what
it saved must be whole. Linux; no accelerator is used.
"""

import json
import math
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fastrl.benchmarks.reliability import common
from fastrl.runs.checkpoint import Checkpoints

FIGURE = "The memory of a running command grows by less than 2 MB an hour, and the number of its open files not at all."
EVERY, LIMIT = 10.0, 2.0  # seconds between samples; MB an hour
OPTIONS = {
    **common.SIZES,
    **{"env": common.ENV, "num-critics": 2, "utd": 1, "warmup": 1_000, "capacity": 10_000, "steps": 1_000_000_000},
    **{"eval-every": 500_000, "eval-episodes": 10, "checkpoint-minutes": 0.05, "log": "tensorboard"},
}


def sample(pid: int) -> dict[str, float]:
    """What a process holds now: MB of resident memory and of that which is no file's, open files, threads."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    status = dict(line.split(":", 1) for line in lines if ":" in line)
    kilobytes = {name: int(status[name].split()[0]) for name in ("VmRSS", "RssAnon")}
    files = len(list(Path(f"/proc/{pid}/fd").iterdir()))
    return {
        "mb": kilobytes["VmRSS"] / 1024,
        "own_mb": kilobytes["RssAnon"] / 1024,
        "files": files,
        "threads": int(status["Threads"]),
    }


def slope(times: Sequence[float], values: Sequence[float]) -> tuple[float, float]:
    """The slope of a line through samples, and half of its interval of 95%.

    Neighbouring residuals that are alike (correlation r) count as (1 - r) / (1 + r) samples each.
    """
    x, y = np.asarray(times, np.float64), np.asarray(values, np.float64)
    x = x - x.mean()
    found = float((x * y).sum() / (x * x).sum())
    rest = y - y.mean() - found * x
    square = float((rest * rest).sum())
    alike = float((rest[1:] * rest[:-1]).sum()) / square if square > 0 else 0.0
    samples = max(3.0, len(x) * (1 - alike) / (1 + alike)) if alike > 0 else float(len(x))
    return found, 1.96 * math.sqrt(square / (samples - 2) / float((x * x).sum()) * len(x) / samples)


def judged(samples: Sequence[dict[str, float]], limit: float = LIMIT) -> tuple[dict[str, Any], bool]:
    """The figures of the samples after the first sixth, and whether memory and open files stay as they are."""
    last = samples[-1]["seconds"]
    kept = [each for each in samples if each["seconds"] >= last / 6]
    hours = [each["seconds"] / 3600 for each in kept]
    grows, half = slope(hours, [each["mb"] for each in kept])
    third = max(1, len(kept) // 3)
    files = [statistics.median(each["files"] for each in part) for part in (kept[:third], kept[-third:])]
    threads = [statistics.median(each["threads"] for each in part) for part in (kept[:third], kept[-third:])]
    counts = {
        "minutes": round(last / 60, 1),
        "samples": len(kept),
        "mb_an_hour": round(grows, 3),
        "interval": [round(grows - half, 3), round(grows + half, 3)],
        "mb_first": round(kept[0]["mb"], 1),
        "mb_last": round(kept[-1]["mb"], 1),
        "mb_most": round(max(each["mb"] for each in kept), 1),
        "open_files": files,
        "threads": threads,
    }
    return counts, grows + half < limit and files[1] <= files[0] and threads[1] <= threads[0]


def watched(home: Path, minutes: float, every: float = EVERY, **changed: Any) -> tuple[list[dict[str, float]], int]:
    """Samples of a run from its first checkpoint on, and the exit code with which SIGTERM stops it."""
    out, said = home / "run", home / "said.txt"
    process = common.start(["run", "sac", *common.as_words(OPTIONS | {"out": out} | changed)], home, said)
    while common.acknowledged(out) < 0:
        if process.poll() is not None:
            raise RuntimeError(said.read_text())
        time.sleep(0.1)
    started, samples = time.monotonic(), []
    while (passed := time.monotonic() - started) < 60 * minutes and process.poll() is None:
        samples.append({"seconds": passed, **sample(process.pid)})
        time.sleep(every)
    process.send_signal(signal.SIGTERM)
    return samples, process.wait()


def main() -> int:
    """The run, its samples, the line through them."""
    parser = common.parser("soak", __doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    found = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        samples, code = watched(Path(folder), found.minutes)
        out = Path(folder) / "run"
        saved = Checkpoints(out / "checkpoints").restore(None, lambda line: None)
        rows = len(common.logged(out))
    counts, flat = judged(samples)
    ended = {"exit_code": code, "last_step": saved.step if saved else None, "rows_of_the_log": rows}
    print(json.dumps(ended), flush=True)
    passed = flat and code == 128 + signal.SIGTERM and saved is not None
    cases = [{name: round(value, 2) for name, value in each.items()} for each in samples]
    return common.write(found.json, FIGURE, {**counts, **ended}, passed, cases, started)


if __name__ == "__main__":
    sys.exit(main())
