"""python benchmarks/reliability/preempt.py [--rounds 2]: SIGTERM, SIGUSR1, SIGHUP in each phase and while compiling.

A short `wsrl` run saves only at the end of its phases, and gets each of the signals at a row of the log in each phase.
It must end with exit code 128 + N, one line, and a checkpoint of that very moment; resumed, it must end in the bits of
one that was left alone. Then `sac` on a large maze (its programs take long to compile, and nothing is kept compiled)
gets SIGTERM so many seconds after its start: it must be gone ten seconds later. Linux; no accelerator is used.
"""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastrl.benchmarks.reliability import brief, common
from fastrl.runs.checkpoint import Checkpoints

FIGURE = (
    "A signal in any phase ends a run with exit code 128 + N and everything saved; while XLA compiles it is answered "
    "within ten seconds."
)
SIGNALS = (signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP)
WITHIN = 10.0  # seconds
LARGE = {"env": "antmaze-medium-play", "seeds": 1, "steps": 1_000_000, "warmup": 5_000, "log": "none"}
DELAYS = (4.0, 8.0, 12.0, 18.0, 25.0, 40.0)
Words = Callable[[Path], list[str]]


def words_of(home: Path, **changed: Any) -> Words:
    """The words of the short run, by its folder."""
    more = {"dataset": home / "data.hdf5", "pretrain-steps": 200, "warmup": 200, "steps": 400, "cql-actions": 2}
    given = more | {"eval-every": 50, "checkpoint-minutes": 60.0, "capacity": 400, "chunk": 5} | changed
    return lambda out: brief.words(out, "wsrl", **given)


def heard() -> None:
    """Of a command's process: no signal is ignored, as `nohup` would have it."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)


def signalled(words: Words, home: Path, number: int, phase: str, row: int) -> dict[str, Any]:
    """One signal at a row of a phase: how long until the end, what is saved, and how the resumed run ends."""
    out, said = home / f"{phase}-{number}-{row}", home / f"{phase}-{number}-{row}.txt"
    run = brief.Fork(words(out), home, said, heard)
    while (inside := run.poll() is None) and not common.passed(phase, row, out):
        time.sleep(0.002)
    asked = time.monotonic()
    run.send_signal(number)
    answer = run.answer()
    took = time.monotonic() - asked
    meta = Checkpoints(out / "checkpoints").latest_meta()
    rows, logged = meta["rows"] if meta else -1, len(common.logged(out))
    again = brief.told([*words(out), "--resume"], home, said)
    return {
        "signal": signal.Signals(number).name,
        "phase": phase,
        "row": row,
        "inside": inside,
        "seconds": round(took, 2),
        "code": answer.code,
        "line": "\n".join(answer.lines),
        "saved_rows": rows,
        "logged_rows": logged,
        "end": common.end(out) if again.code == 0 else {},
    }


def good(case: dict[str, Any], expected: dict[str, str]) -> bool:
    """Whether a signal in a phase was answered as it must be."""
    number = signal.Signals[case["signal"]]
    told = case["line"] == f"fastrl: stopped by signal {number}; everything is saved, --resume continues"
    kept = case["saved_rows"] == case["logged_rows"] > case["row"]
    return bool(case["inside"] and case["code"] == 128 + number and told and kept and case["end"] == expected)


def compiling(home: Path, delay: float, options: dict[str, Any]) -> dict[str, Any]:
    """SIGTERM so long after a run has made its folder: how long until it has ended, and with what."""
    out, said = home / f"large-{delay}", home / f"large-{delay}.txt"
    words = ["run", "sac", *common.as_words(options | {"out": out})]
    fresh = {"HOME": str(home / f"home-{delay}"), "JAX_ENABLE_COMPILATION_CACHE": "false", "JAX_PLATFORMS": "cpu"}
    with said.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "fastrl.cli", *words],
            env={**os.environ, **fresh},
            stdout=subprocess.DEVNULL,
            stderr=file,
        )
    while process.poll() is None and not (out / "config.json").is_file():
        time.sleep(0.05)
    time.sleep(delay)
    asked = time.monotonic()
    process.send_signal(signal.SIGTERM)
    code = process.wait()
    line = said.read_text().strip().splitlines()[-1:]
    seconds = round(time.monotonic() - asked, 2)
    begun = "warmup" in said.read_text()
    return {"after": delay, "seconds": seconds, "code": code, "line": line, "phase_begun": begun}


def counted(cases: list[dict[str, Any]], expected: dict[str, str]) -> tuple[dict[str, Any], bool]:
    """What the cases add up to."""
    phases, large = [each for each in cases if "phase" in each], [each for each in cases if "after" in each]
    for each in phases:
        each["ok"] = good(each, expected)
    for each in large:
        each["ok"] = each["code"] == 128 + signal.SIGTERM and each["seconds"] <= WITHIN and len(each["line"]) == 1
    counts = {
        "signals": len(phases),
        "answered_saved_and_resumed": sum(each["ok"] for each in phases),
        "longest_seconds": max((each["seconds"] for each in phases), default=None),
        "while_compiling": sum(not each["phase_begun"] for each in large),
        "within_ten_seconds": sum(each["ok"] for each in large),
        "longest_seconds_compiling": max((each["seconds"] for each in large), default=None),
    }
    return counts, len(cases) > 0 and all(each["ok"] for each in cases)


def main() -> int:
    """The phases, then the compiler."""
    parser = common.parser("preempt", __doc__)
    parser.add_argument("--rounds", type=int, default=2, help="of all signals in all phases")
    found = parser.parse_args()
    started, cases, rng = time.monotonic(), [], random.Random(0)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        data = ["collect", common.ENV, str(home / "data.hdf5"), "--behaviour", "random", "--steps", "200"]
        brief.well(data, home, home / "said.txt")
        words = words_of(home)
        brief.well(words(home / "whole"), home, home / "said.txt")
        expected = common.end(home / "whole")
        for _ in range(found.rounds):
            for phase in common.phases("wsrl"):
                for number in SIGNALS:
                    cases.append(signalled(words, home, number, phase, rng.randrange(30)))
                    print(json.dumps(cases[-1]), flush=True)
        for delay in DELAYS:
            cases.append(compiling(home, delay, LARGE))
            print(json.dumps(cases[-1]), flush=True)
    counts, passed = counted(cases, expected)
    return common.write(found.json, FIGURE, counts, passed, cases, started)


if __name__ == "__main__":
    sys.exit(main())
