"""python benchmarks/reliability/soak.py [--minutes 60]: memory and open files of runs that go on and on.

Two runs with tiny networks that never end by themselves: they evaluate, write TensorBoard's log and save, one every
three seconds (`often`), one every five minutes, as by default. Every ten seconds the resident memory, the open files
and the threads of each are counted. After the first sixth of the time, in which programs are compiled and the heap
finds its size, a line is fitted to the memory; the interval of its slope takes into account how alike neighbouring
samples are. What `often` grows by is stated for one save: TensorStore 0.1.86 never frees the keys of the JSON that it
hands to Python, some for every leaf. At the end SIGTERM stops the runs, and what they saved must be whole. Linux; no
accelerator is used.
"""

import math
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fastrl.benchmarks.reliability import common
from fastrl.runs.checkpoint import Checkpoints

FIGURE = (
    "A running command grows by less than 2 MB of memory an hour, and by less than 100 KB with a checkpoint; its "
    "open files and threads do not grow."
)
EVERY, POLL = 10.0, 0.5  # seconds between samples, and between two looks for a new checkpoint
LIMIT, LIMIT_SAVE = 2.0, 100.0  # MB an hour; KB a save
PACES = {"often": 0.05, "default": 5.0}  # minutes between checkpoints
OPTIONS = {
    **common.SIZES,
    **{"env": common.ENV, "num-critics": 2, "utd": 1, "warmup": 1_000, "capacity": 10_000, "steps": 1_000_000_000},
    **{"eval-every": 500_000, "eval-episodes": 10, "log": "tensorboard"},
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


def judged(samples: Sequence[dict[str, float]]) -> dict[str, Any]:
    """The figures of one run's samples after the first sixth: files and threads are those between two saves."""
    last = samples[-1]["seconds"]
    kept = [each for each in samples if each["seconds"] >= last / 6]
    hours = [each["seconds"] / 3600 for each in kept]
    grows, half = slope(hours, [each["mb"] for each in kept])
    saves = (kept[-1]["saves"] - kept[0]["saves"]) / (hours[-1] - hours[0])
    third = max(1, len(kept) // 3)
    parts = (kept[:third], kept[-third:])
    return {
        "minutes": round(last / 60, 1),
        "samples": len(kept),
        "mb_an_hour": round(grows, 3),
        "interval": [round(grows - half, 3), round(grows + half, 3)],
        "saves_an_hour": round(saves),
        "kb_a_save_at_most": round((grows + half) * 1024 / saves, 1) if saves else None,
        "mb_first": round(kept[0]["mb"], 1),
        "mb_last": round(kept[-1]["mb"], 1),
        "open_files": [min(each["files"] for each in part) for part in parts],
        "threads": [min(each["threads"] for each in part) for part in parts],
    }


def flat(name: str, found: dict[str, Any]) -> bool:
    """Whether a run's memory, files and threads stay as they are, but for what a save leaves."""
    (files, later), (threads, more) = found["open_files"], found["threads"]
    if name == "often":
        grows = found["kb_a_save_at_most"] is None or found["kb_a_save_at_most"] >= LIMIT_SAVE
    else:
        grows = found["interval"][1] >= LIMIT
    return not grows and later <= files and more <= threads


class Watched:
    """A run, its samples, and how many checkpoints it has made."""

    def __init__(self, home: Path, name: str, minutes: float, **changed: Any):
        self.out, self.said = home / name, home / f"{name}.txt"
        self.samples: list[dict[str, float]] = []
        self.saves, self._newest = 0, -1
        options = OPTIONS | {"out": self.out, "checkpoint-minutes": minutes} | changed
        self.process = common.start(["run", "sac", *common.as_words(options)], home, self.said)

    def look(self) -> None:
        """Counts a checkpoint that was not there before."""
        newest = common.acknowledged(self.out)
        self.saves, self._newest = self.saves + (newest > self._newest), newest

    def sample(self, seconds: float) -> None:
        """Adds a sample."""
        self.samples.append({"seconds": round(seconds, 1), "saves": self.saves, **sample(self.process.pid)})

    def stopped(self) -> dict[str, Any]:
        """Stops the run by SIGTERM: its exit code, and what it has saved."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait()
        saved = Checkpoints(self.out / "checkpoints").restore(None, lambda line: None)
        return {"exit_code": code, "last_step": saved.step if saved else None, "rows": len(common.logged(self.out))}


def watch(runs: Sequence[Watched], minutes: float, every: float = EVERY) -> None:
    """Samples runs from their first checkpoint on."""
    while any(run.saves == 0 for run in runs):
        for run in runs:
            if run.process.poll() is not None:
                raise RuntimeError(run.said.read_text())
            run.look()
        time.sleep(POLL)
    started = due = time.monotonic()
    while (now := time.monotonic()) - started < 60 * minutes and all(run.process.poll() is None for run in runs):
        for run in runs:
            run.look()
            if now >= due:
                run.sample(now - started)
        due += every if now >= due else 0.0
        time.sleep(min(POLL, every))


def main() -> int:
    """The runs, their samples, the lines through them."""
    parser = common.parser("soak", __doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    found = parser.parse_args()
    started, counts, cases, passed = time.monotonic(), {}, [], True
    with tempfile.TemporaryDirectory() as folder:
        runs = {name: Watched(Path(folder), name, minutes) for name, minutes in PACES.items()}
        watch(list(runs.values()), found.minutes)
        for name, run in runs.items():
            ended = run.stopped()
            counts[name] = judged(run.samples) | ended
            good = ended["exit_code"] == 128 + signal.SIGTERM and ended["last_step"] is not None
            passed &= flat(name, counts[name]) and good
            cases += [{"run": name, **{key: round(value, 2) for key, value in each.items()}} for each in run.samples]
    return common.write(found.json, FIGURE, counts, passed, cases, started)


if __name__ == "__main__":
    sys.exit(main())
