"""python benchmarks/reliability/simulators.py: simulators that hang, exit, fork, print, raise and answer nonsense.

A Gymnasium task that does one of these from some moment on, after a run on it has saved its first checkpoint. The
command must end with exit code 2 and one line that names the task within 30 seconds, with no process left behind and
nothing on standard output; with a simulator that is mended, `--resume` must end in the same bits as a run that always
had one. What only makes noise, or starts processes, must change nothing. Linux; no accelerator is used.
"""

import functools
import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from fastrl.benchmarks.reliability import brief, common

FIGURE = (
    "A simulator that fails ends a run in one line, no process stays, and, mended, the run goes on to the same bits."
)
WITHIN, MARK = 30.0, "FASTRL_SIMULATORS"  # seconds; a variable that all processes of a case have
FAULTS = ("hang", "deaf", "exit", "leave", "crash", "raise", "nans", "infinite", "shape", "nothing", "flags")
NOISES = ("print", "write", "fork", "thread")
SIMULATOR = """
import os, signal, subprocess, sys, threading, time
import gymnasium, numpy as np
from gymnasium.spaces import Box

class Odd(gymnasium.Env):
    observation_space, action_space = Box(-9, 9, (2,)), Box(-1, 1, (1,))

    def __init__(self, fault="", flag=""):
        self.fault, self.flag = fault, flag
        if fault == "print":
            print("made", file=sys.stderr)

    def reset(self, seed=None, options=None):
        super().reset(seed=seed)
        self.place = self.np_random.uniform(-1, 1, 2)
        return self.place, {}

    def step(self, action):
        self.place = 0.9 * self.place + action + self.np_random.normal(0, 0.1, 2)
        answer = [self.place, float(self.place.sum()), False, False, {}]
        return tuple(self.wrong(answer) if os.path.exists(self.flag) else answer)

    def wrong(self, answer):
        kind = self.fault
        if kind == "deaf":
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
        if kind in ("hang", "deaf"):
            time.sleep(3600)
        if kind == "exit":
            os._exit(7)
        if kind == "leave":
            sys.exit(3)
        if kind == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        if kind == "raise":
            raise RuntimeError("out of\\nfuel")
        if kind in ("nans", "infinite"):
            answer[0] = np.full(2, np.nan if kind == "nans" else np.inf)
        if kind == "shape":
            answer[0] = np.zeros((3, 1))
        if kind == "nothing":
            return ()
        if kind == "flags":
            answer[2] = "soon"
        if kind == "print":
            print("x" * 100_000)
            print("\\x1b[2J", file=sys.stderr)
        if kind == "write":
            os.write(1, b"x" * 100_000)
            os.write(2, b"x" * 100_000)
        if kind == "fork" and not hasattr(self, "child"):
            self.child = subprocess.Popen(["sleep", "3600"])
            if os.fork() == 0:
                time.sleep(3600)
                os._exit(0)
        if kind == "thread" and not hasattr(self, "thread"):
            self.thread = threading.Thread(target=time.sleep, args=[3600])
            self.thread.start()
        return answer

gymnasium.register("Odd-v0", entry_point=Odd, max_episode_steps=10)
"""


def words(out: Path, fault: str, flag: Path) -> list[str]:
    """A short run on the task; a step may take two seconds."""
    found = brief.words(out, env="gymnasium:odd_task:Odd-v0")
    return [*found, *(word for option in (f"fault={fault}", f"flag={flag}", "timeout=2") for word in _option(option))]


def _option(text: str) -> tuple[str, str]:
    return "--env-option", text


def within(home: Path, mark: str) -> None:
    """Of a command's process: the task can be imported, and what it starts can be found."""
    sys.path.insert(0, str(home))
    os.environ[MARK] = mark


def left(mark: str) -> list[int]:
    """Processes of a case that are still there."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"{MARK}={mark}\0".encode() in path.read_bytes():
                found.append(int(path.parent.name))
        except OSError:  # it has ended
            continue
    return found


def case(home: Path, fault: str, expected: dict[str, str]) -> dict[str, Any]:
    """One run with a simulator that does so, and the run that goes on with one that is mended."""
    out, flag, said = home / fault, home / f"{fault}.flag", home / f"{fault}.txt"
    first = functools.partial(within, home, fault)
    run = brief.Fork(words(out, fault, flag), home, said, first)
    while common.acknowledged(out) < 0 and run.poll() is None:
        time.sleep(0.002)
    flag.touch()
    begun = time.monotonic()
    answer = run.answer(WITHIN + 90)
    took, printed = time.monotonic() - begun, said.with_suffix(".out").read_text()
    time.sleep(0.5)
    behind = left(fault)
    for pid in behind:
        os.kill(pid, signal.SIGKILL)
    flag.unlink()
    noise = fault in NOISES
    again = answer if noise else brief.told([*words(out, fault, flag), "--resume"], home, said, first)
    report = (out / "report.md").read_text() if noise and (out / "report.md").is_file() else ""
    clean = printed == report and "x" * 100 not in answer.said and "\x1b" not in answer.said
    return {
        "simulator": fault,
        "code": answer.code,
        "line": (answer.lines[-1] if answer.lines else "" if noise else answer.said[-300:]).replace(str(home), ""),
        "seconds": round(took, 1),
        "processes_left": len(behind),
        "clean_output": clean,
        "answered": answer.code == 0 if noise else answer.refused and answer.code == 2 and took < WITHIN,
        "same_bits": again.code == 0 and common.end(out) == expected,
    }


def counted(cases: list[dict[str, Any]]) -> tuple[dict[str, Any], bool]:
    """What the cases add up to."""
    counts = {
        "simulators": len(cases),
        "answered": sum(each["answered"] for each in cases),
        "longest_seconds": max((each["seconds"] for each in cases if each["simulator"] in FAULTS), default=None),
        "processes_left": sum(each["processes_left"] for each in cases),
        "clean_output": sum(each["clean_output"] for each in cases),
        "same_bits": sum(each["same_bits"] for each in cases),
    }
    whole = (counts["answered"], counts["clean_output"], counts["same_bits"]) == (len(cases),) * 3
    return counts, len(cases) > 0 and whole and counts["processes_left"] == 0


def main() -> int:
    """Each of the faults and noises."""
    found = common.parser("simulators", __doc__).parse_args()
    started, cases = time.monotonic(), []
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        (home / "odd_task.py").write_text(SIMULATOR)
        quiet = brief.told(words(home / "whole", "", home), home, home / "said.txt", lambda: within(home, "whole"))
        if quiet.code != 0:
            raise RuntimeError(quiet.said)
        expected = common.end(home / "whole")
        for fault in (*FAULTS, *NOISES):
            cases.append(case(home, fault, expected))
            print(json.dumps(cases[-1]), flush=True)
    counts, passed = counted(cases)
    return common.write(found.json, FIGURE, counts, passed, cases, started)


if __name__ == "__main__":
    sys.exit(main())
