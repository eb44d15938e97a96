"""python benchmarks/reliability/read_only.py: folders that may be read and not written, in two ways.

A folder is either mounted a second time to be read only (`mount --bind -o ro`, so root is needed), or its permissions
forbid writing and the command runs without root's right to overlook them. What must be written to (a run's folder, its
checkpoints) is refused in one line and left as it was, byte for byte; what is only read (a dataset, an agent, a run
that is reported elsewhere) must work; and a cache that cannot be written to, or a home that is not there, may cost time
but no command. Once a folder may be written to, the run goes on to the same bits. Linux; no accelerator is used.
"""

import contextlib
import ctypes
import functools
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fastrl.benchmarks.reliability import brief, common

FIGURE = "A folder that may only be read is refused in one line where something must be written, and else is enough."
WAYS = ("mounted", "forbidden")
CAPSET, VERSION = {"x86_64": 126, "aarch64": 91}, 0x20080522
OVERLOOKS = (1, 2)  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH: root may write where nobody may


def humble() -> None:
    """Gives up root's right to overlook permissions, in this process."""
    libc, number = ctypes.CDLL(None, use_errno=True), CAPSET[os.uname().machine]
    header, rights = (ctypes.c_uint32 * 2)(VERSION, 0), (ctypes.c_uint32 * 6)()
    if libc.syscall(number - 1, header, rights) == 0:  # capget
        for place in (0, 1):  # effective, permitted
            rights[place] &= ~sum(1 << right for right in OVERLOOKS)
        if libc.syscall(number, header, rights) == 0:
            return
    raise OSError(ctypes.get_errno(), "this process cannot give up its rights")


@contextlib.contextmanager
def protected(folder: Path, way: str) -> Iterator[None]:
    """Within, nothing under a folder may be written."""
    if way == "mounted":
        subprocess.run(["mount", "--bind", str(folder), str(folder)], check=True)
        subprocess.run(["mount", "-o", "remount,bind,ro", str(folder)], check=True)
    else:
        _allow(folder, 0o555, 0o444)
    try:
        yield
    finally:
        if way == "mounted":
            subprocess.run(["umount", "--lazy", str(folder)], check=True)
        else:
            _allow(folder, 0o755, 0o644)


def _allow(folder: Path, folders: int, files: int) -> None:
    for path in (folder, *folder.rglob("*")):
        path.chmod(folders if path.is_dir() else files)


def content(folder: Path) -> dict[str, str]:
    """The SHA-256 of every file under a folder."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def case(
    way: str, said: Path, home: Path, name: str, words: list[str], folder: Path, refused: bool = False
) -> dict[str, Any]:
    """A command while a folder may not be written to; `refused` if it must write there."""
    before = content(folder)
    with protected(folder, way):
        answer = brief.told(words, home, said, humble if way == "forbidden" else lambda: None)
    good = answer.refused if refused else answer.code == 0 and not answer.trace
    return {
        "case": name,
        "way": way,
        "must_write": refused,
        "code": answer.code,
        "line": (answer.lines[-1] if answer.lines else answer.said[-300:]).replace(str(said.parent), ""),
        "untouched": content(folder) == before,
        "good": good,
    }


def cases(home: Path, way: str) -> Iterator[dict[str, Any]]:
    """Every kind of folder: `whole` has a finished run, `cut` one that was killed, `shelf` a dataset."""
    whole, cut, shelf, said = home / "whole", home / f"cut-{way}", home / "shelf", home / "said.txt"
    one = functools.partial(case, way, said, home)
    begin(home, cut)
    resume = [*brief.words(cut), "--resume"]
    yield one("out", brief.words(shelf / "new"), shelf, refused=True)
    yield one("run", resume, cut, refused=True)
    yield one("checkpoints", resume, cut / "checkpoints", refused=True)
    again = brief.told(resume, home, said)
    same = again.code == 0 and common.end(cut) == common.end(whole)
    yield {"case": "resumed", "way": way, "must_write": False, "code": again.code, "untouched": True, "good": same}
    yield one("agent", ["evaluate", str(whole), "--env", common.ENV, "--episodes", "2"], whole)
    yield one("report", ["report", str(whole), "--out", str(home / f"{way}.png")], whole)
    offline = {"pretrain-steps": 5, "dataset": shelf / "data.hdf5", "cql-actions": 2}
    yield one("dataset", brief.words(home / f"data-{way}", "wsrl", **offline), shelf)
    other = home / f"other-{way}"
    for name, folder in (("cache", other / ".cache"), ("home", other)):
        folder.mkdir(parents=True, exist_ok=True)
        yield case(way, said, other, name, brief.words(home / f"{name}-{way}"), folder)
        shutil.rmtree(folder)


def begin(home: Path, out: Path) -> None:
    """A run that has one checkpoint and is not at its end: killed once it had that."""
    run = brief.Fork(brief.words(out), home, home / "said.txt")
    while common.acknowledged(out) < 0 and run.poll() is None:
        time.sleep(0.002)
    run.send_signal(9)
    run.answer()


def main() -> int:
    """Both ways."""
    found = common.parser("read_only", __doc__).parse_args()
    started, rows = time.monotonic(), []
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        (home / "shelf").mkdir()
        data = ["collect", common.ENV, str(home / "shelf" / "data.hdf5"), "--behaviour", "random", "--steps", "200"]
        brief.well(data, home, home / "said.txt")
        brief.well(brief.words(home / "whole"), home, home / "said.txt")
        for way in WAYS:
            for row in cases(home, way):
                rows.append(row)
                print(json.dumps(row), flush=True)
    counts = {
        "cases": len(rows),
        "refused_in_one_line": sum(row["must_write"] and row["good"] for row in rows),
        "worked": sum(not row["must_write"] and row["good"] for row in rows),
        "changed": sum(not row["untouched"] for row in rows),
    }
    passed = len(rows) > 0 and all(row["good"] and row["untouched"] for row in rows)
    return common.write(found.json, FIGURE, counts, passed, rows, started)


if __name__ == "__main__":
    sys.exit(main())
