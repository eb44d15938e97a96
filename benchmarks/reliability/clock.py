"""python benchmarks/reliability/clock.py: a clock that is set back, set forward, or jumps while a run goes on.

The clock of a process is another one by libfaketime (Debian's package `faketime`): a day behind, a day ahead, two years
behind, three times as fast; or it jumps back and forth by a day at random moments of the run (a file says by how much).
The run must end in the same bits as one whose clock is right, save as often as it was asked to, and, killed and resumed
under another clock, end in the same bits too. Linux; no accelerator is used.
"""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from fastrl.benchmarks.reliability import brief, common

FIGURE = "A clock that is wrong, or jumps by a day while a run goes on, changes no bit of it and no moment of a save."
LIBRARY = "libfaketime.so.1"
CLOCKS = {"behind": "-1d", "ahead": "+1d", "years": "-730d", "fast": "+0 x3"}
JUMPS = ("-1d", "+1d", "+0", "-2h", "+400d")
OPTIONS: dict[str, Any] = {"steps": 2_000, "warmup": 1_000, "capacity": 2_000, "checkpoint-minutes": 0.02}


def library() -> Path:
    """Where libfaketime is."""
    found = next((path for folder in ("/usr/lib", "/usr/local/lib") for path in Path(folder).rglob(LIBRARY)), None)
    if found is None:
        raise SystemExit(f"{LIBRARY} is not here; install Debian's package faketime")
    return found


def words(out: Path, *more: str) -> list[str]:
    """The run: a second or more between two saves."""
    return [*brief.words(out, **OPTIONS), *more]


def start(words: list[str], home: Path, said: Path, offset: str) -> tuple[subprocess.Popen[str], Path]:
    """A command under another clock, and the file that says which."""
    clock = said.with_suffix(".clock")
    clock.write_text(offset + "\n")
    # the clock that only goes on is right: it is the one that durations are measured by
    fake: dict[str, Any] = {"LD_PRELOAD": str(library()), "FAKETIME_TIMESTAMP_FILE": str(clock)}
    return common.start(words, home, said, FAKETIME_DONT_FAKE_MONOTONIC="1", FAKETIME_NO_CACHE="1", **fake), clock


def ended(process: subprocess.Popen[str], clock: Path, jumps: bool, rng: random.Random) -> int:
    """Waits for a command's end; the exit code. Its clock may jump meanwhile."""
    while process.poll() is None:
        if jumps:
            new = clock.with_suffix(".new")
            new.write_text(rng.choice(JUMPS) + "\n")
            os.replace(new, clock)
        time.sleep(0.1)
    return process.returncode


def saves(out: Path) -> int:
    """How many checkpoints a run has kept: the newest three, if it saved that often."""
    return len(common.steps(out))


def case(home: Path, name: str, offset: str, expected: dict[str, str]) -> dict[str, Any]:
    """A run under a clock, and one that is killed under the right one and resumed under this one."""
    rng, whole, cut = random.Random(name), home / name, home / f"{name}-cut"
    code = ended(*start(words(whole), home, home / f"{name}.txt", offset), name == "jumps", rng)
    said = (home / f"{name}.txt").read_text()
    killed = common.start(words(cut), home, home / f"{name}-cut.txt")
    while common.acknowledged(cut) < 0 and killed.poll() is None:
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    again = ended(*start(words(cut, "--resume"), home, home / f"{name}-cut.txt", offset), name == "jumps", rng)
    return {
        "clock": name,
        "code": code,
        "same_bits": code == 0 and common.end(whole) == expected,
        "saves": saves(whole),
        "resumed": again,
        "resumed_same_bits": again == 0 and common.end(cut) == expected,
        "sane": "Traceback" not in said and " -" not in said.replace("return -", ""),
        "said": said[-200:],
    }


def counted(cases: list[dict[str, Any]]) -> tuple[dict[str, Any], bool]:
    """What the cases add up to."""
    counts = {
        "clocks": len(cases),
        "same_bits": sum(each["same_bits"] for each in cases),
        "resumed_to_the_same_bits": sum(each["resumed_same_bits"] for each in cases),
        "saved_as_often": sum(each["saves"] >= 3 for each in cases),
        "sane_output": sum(each["sane"] for each in cases),
    }
    return counts, len(cases) > 0 and all(value == len(cases) for value in counts.values())


def main() -> int:
    """The right clock, then each of the wrong ones."""
    found = common.parser("clock", __doc__).parse_args()
    started, cases = time.monotonic(), []
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        common.done(words(home / "whole"), home)
        expected = common.end(home / "whole")
        for name, offset in {**CLOCKS, "jumps": "+0"}.items():
            cases.append(case(home, name, offset, expected))
            print(json.dumps(cases[-1]), flush=True)
    counts, passed = counted(cases)
    return common.write(found.json, FIGURE, counts, passed, cases, started)


if __name__ == "__main__":
    sys.exit(main())
