"""python benchmarks/reliability/full_disk.py [--sizes 30]: a disk that is full at one write after the other.

The run folder is on a file system in memory (`mount -t tmpfs`, so root is needed) that another file fills but for so
many kilobytes: from none to what the whole run needs. Each time the short run must end with exit code 1 or 2 and one
line, without a trace; once the other file is gone, `--resume auto` must end in the same bits as a run that had room.
Linux; no accelerator is used.
"""

import contextlib
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fastrl.benchmarks.reliability import brief, common

FIGURE = "A full disk ends a run in one line, wherever it is full, and with room the run goes on to the same bits."
SIZE = 16 << 20  # bytes of the file system
PAGE = 4096


@contextlib.contextmanager
def disk(place: Path, size: int = SIZE) -> Iterator[Path]:
    """A file system in memory, mounted at a folder that is made for it."""
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def used(place: Path) -> int:
    """Bytes in use of a file system."""
    found = subprocess.run(["df", "--block-size=1", "--output=used", str(place)], capture_output=True, check=True)
    return int(found.stdout.split()[-1])


def fill(place: Path, room: int) -> Path:
    """Writes a file that leaves so many bytes, in whole pages."""
    path, size = place / "full", SIZE - used(place) - room
    with path.open("wb") as file:
        file.write(bytes(size // PAGE * PAGE))
    return path


def case(home: Path, room: int, expected: dict[str, str], number: int) -> dict[str, Any]:
    """A run with so much room, and the one that goes on once there is more."""
    said = home / f"{number}.txt"
    with disk(home / f"disk-{number}") as place:
        full, out = fill(place, room), place / "run"
        answer = brief.told(brief.words(out, log="tensorboard"), home, said)
        left = sorted(path.name for path in out.iterdir()) if out.is_dir() else []
        full.unlink()
        again = brief.told([*brief.words(out, log="tensorboard"), "--resume", "auto"], home, said)
        found = common.end(out) if again.code == 0 else {}
    good = answer.code == 0 or answer.refused
    return {
        "kilobytes": room // 1024,
        "code": answer.code,
        "line": answer.lines[-1].replace(str(home), "") if answer.lines else answer.said[-300:],
        "left": left,
        "answered": good,
        "resumed": again.code,
        "resumed_line": "" if again.code == 0 else again.said[-500:],
        "same": found == expected,
    }


def counted(cases: list[dict[str, Any]]) -> tuple[dict[str, Any], bool]:
    """What the cases add up to."""
    counts = {
        "rooms": len(cases),
        "full": sum(each["code"] != 0 for each in cases),
        "answered_in_one_line": sum(each["code"] != 0 and each["answered"] for each in cases),
        "resumed_to_the_same_bits": sum(each["same"] for each in cases),
        "different_lines": len({each["line"] for each in cases if each["code"]}),
    }
    return counts, counts["full"] > 0 and all(each["answered"] and each["same"] for each in cases)


def main() -> int:
    """A run with room, then one with each of the rooms."""
    parser = common.parser("full_disk", __doc__)
    parser.add_argument("--sizes", type=int, default=30)
    found = parser.parse_args()
    started, cases = time.monotonic(), []
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        with disk(home / "disk") as place:
            empty = used(place)
            brief.well(brief.words(place / "run", log="tensorboard"), home, home / "said.txt")
            expected, needs = common.end(place / "run"), used(place) - empty
        for number in range(found.sizes):
            cases.append(case(home, needs * number // (found.sizes - 1), expected, number))
            print(json.dumps(cases[-1]), flush=True)
    counts, passed = counted(cases)
    return common.write(found.json, FIGURE, {"kilobytes_needed": needs // 1024, **counts}, passed, cases, started)


if __name__ == "__main__":
    sys.exit(main())
