"""python benchmarks/reliability/memory_limit.py [--limits 12]: a run with too little memory, from hardly any to enough.

The address space of a process is limited (as by `ulimit -v`) to twelve sizes, from a fifth of what the short run needs
to all of it. Every run must end in the bits of a run without a limit, or with a line that says that memory ran out. XLA
and the C++ library may end a process at once: then its first line must have warned of it (`warned`). Whatever a limit
ended must go on with `--resume auto` once there is memory. Linux; no accelerator is used.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from fastrl.benchmarks.reliability import brief, common

FIGURE = (
    "With too little memory a run ends in a line, or was warned of in one, never in another result, and can be resumed."
)
SMALLEST = 0.2


def limited(words: list[str], home: Path, said: Path, most: int) -> tuple[int, str, int]:
    """A command with that much address space (0: any): its exit code, what it said, and the most that it had."""
    variables = {**os.environ, "HOME": str(home), "JAX_PLATFORMS": "cpu"}
    limit = ["sh", "-c", f'ulimit -v {most >> 10} && exec "$@"', "sh"] if most else []
    peak = 0
    with said.open("wb") as file:
        process = subprocess.Popen(
            [*limit, sys.executable, "-m", "fastrl.cli", *words],
            env=variables,
            stdout=subprocess.DEVNULL,
            stderr=file,
        )
        while process.poll() is None:
            peak = max(peak, address_space(process.pid))
            time.sleep(0.02)
    return process.returncode, said.read_text(errors="replace"), peak


def address_space(pid: int) -> int:
    """Bytes of address space of a process, 0 once it has ended."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        return 0


def kind(code: int, said: str) -> str:
    """How a command ended: `done`, in a `line` of ours, in a `trace`, or it died, `warned` by a line before or not."""
    if code == 0:
        return "done"
    answer = brief.Answer(code, said, 0.0)
    if code < 0:
        return "warned" if "MB of address space" in said.partition("\n")[0] else "died"
    return "line" if answer.refused else "trace"


def case(home: Path, most: int, number: int, expected: dict[str, str]) -> dict[str, Any]:
    """One limit, and the run that goes on without."""
    out, said = home / f"run-{number}", home / f"{number}.txt"
    code, text, _ = limited(brief.words(out), home, said, most)
    ended = kind(code, text)
    again = 0 if code == 0 else limited([*brief.words(out), "--resume", "auto"], home, said, 0)[0]
    return {
        "mb": most >> 20,
        "code": code,
        "ended": ended,
        "said": text.strip().replace(str(home), "")[-200:] if ended != "done" else "",
        "same_bits": again == 0 and common.end(out) == expected,
    }


def counted(cases: list[dict[str, Any]]) -> tuple[dict[str, Any], bool]:
    """What the cases add up to."""
    ends = {name: sum(each["ended"] == name for each in cases) for name in ("done", "line", "warned", "trace", "died")}
    counts = {"limits": len(cases), **ends, "same_bits": sum(each["same_bits"] for each in cases)}
    return counts, len(cases) > 0 and ends["trace"] == ends["died"] == 0 and counts["same_bits"] == len(cases)


def main() -> int:
    """No limit, then each."""
    parser = common.parser("memory_limit", __doc__)
    parser.add_argument("--limits", type=int, default=12)
    found = parser.parse_args()
    started, cases = time.monotonic(), []
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        code, said, peak = limited(brief.words(home / "whole"), home, home / "said.txt", 0)
        if code != 0:
            raise RuntimeError(said)
        expected = common.end(home / "whole")
        for number in range(found.limits):
            share = SMALLEST + (1.05 - SMALLEST) * number / (found.limits - 1)
            cases.append(case(home, int(share * peak), number, expected))
            print(json.dumps(cases[-1]), flush=True)
    counts, passed = counted(cases)
    return common.write(found.json, FIGURE, {"mb_needed": peak >> 20, **counts}, passed, cases, started)


if __name__ == "__main__":
    sys.exit(main())
