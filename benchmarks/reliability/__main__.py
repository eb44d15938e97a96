"""`python -m fastrl.benchmarks.reliability [NAME..]`: the scripts of this folder one after another, each a process.

Without names all of them run. Exit code 1 if what one of them claims does not hold.
"""

import argparse
import subprocess
import sys
import time

SCRIPTS = {
    "kills": "kill -9 at random moments, resumed",
    "resume": "SIGTERM in every phase, resumed, in one process and in two",
    "chunks": "calls of any number of steps",
    "seeds": "a seed alone and among others",
    "processes": "the same devices in one, two and four processes",
    "devices": "saved on one number of devices, resumed on another",
    "nans": "a number of one seed that is not finite",
    "compiles": "how often a run compiles, and what a call moves and keeps",
    "formats": "what earlier versions wrote",
    "locks": "two processes at one run folder",
    "damage": "damaged datasets",
    "preempt": "signals in every phase and while XLA compiles",
    "damage_runs": "damaged files of a run folder",
    "full_disk": "a disk that is full at one write after the other",
    "read_only": "folders that may only be read",
    "clock": "a clock that is wrong or jumps",
    "memory_limit": "too little memory",
    "simulators": "simulators that hang, exit, fork, print, raise",
    "errors": "bad datasets and bad words",
    "soak": "memory and open files over an hour",
}
"""The figures of trust, in the order in which they run."""


def run(name: str) -> bool:
    """Runs one script, which writes its figure; whether what it claims holds."""
    return subprocess.run([sys.executable, "-m", f"fastrl.benchmarks.reliability.{name}"]).returncode == 0


def main() -> int:
    """The scripts that are named, or all, and a line for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    meaning = ", ".join(f"{name} ({text})" for name, text in SCRIPTS.items())
    parser.add_argument("names", nargs="*", metavar="NAME", help=meaning)
    found = parser.parse_args()
    if unknown := [name for name in found.names if name not in SCRIPTS]:
        parser.error(f"there is no {unknown[0]}; choose from {', '.join(SCRIPTS)}")
    lines, failed = [], 0
    for name in found.names or SCRIPTS:
        started = time.monotonic()
        holds = run(name)
        failed += not holds
        lines.append(f"{name:12} {'holds' if holds else 'FAILS'} {time.monotonic() - started:7.0f} s  {SCRIPTS[name]}")
    print("\n".join(lines))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
