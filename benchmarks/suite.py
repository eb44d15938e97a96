"""fastrl bench: every benchmark in a process of its own, a line a launch, launches by turns.

Machines have speed modes that differ by process and by minute, so all workloads are launched once, then all again.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from fastrl.benchmarks import compile as compilers
from fastrl.benchmarks import provenance, schema
from fastrl.errors import Failure, UserError, unknown

ROBOTS = ("halfcheetah", "hopper", "walker2d", "ant", "antmaze-umaze")
PARTS: dict[str, list[list[str]]] = {
    "env": [["environments", name] for name in ROBOTS],
    "replay": [["replay"]],
    "learner": [["learner", name] for name in ("locomotion", "antmaze", "calql", "small")],
    "loop": [["loop"]],
    "startup": [["startup"]],
    "memory": [["memory"]],
    "compile": [["programs", "here"]],
    "scaling": [["scaling"]],
}
SHORT = {
    "env": [["environments", name, "--copies", "1", "512"] for name in ("hopper", "ant")],
    "learner": [["learner", name] for name in ("locomotion", "small")],
}
"""What `all` runs of a part that has more."""
TARGETS = {"h100": "cuda13", "v5e:2x4": "tpu"}
"""Devices that are not there, and the extra of jax that brings their compiler."""


def run(parts: list[str], launches: int, out: Path | None = None, against: Path | None = None) -> int:
    """Launches the parts by turns, prints their lines and appends them to `out`; returns an exit code.

    `against` is another checkout, whose launches alternate with this one's; its lines have its commit as `checkout`.
    """
    words = chosen(parts)
    if launches <= 0:
        raise UserError(f"--launches must be above 0, not {launches}")
    if against is not None and not (against / "fastrl" / "__init__.py").is_file():
        raise UserError(f"--against {against}: no checkout of fastrl is there; name the folder that has fastrl/ in it")
    if out is not None and not out.absolute().parent.is_dir():
        raise UserError(f"--out {out}: there is no folder {out.parent}; make it first")
    roots, failed = [None, *([] if against is None else [against.resolve()])], 0
    for number in range(1, launches + 1):
        for each in words:
            for root in roots if number % 2 else roots[::-1]:  # neither side is always the first
                try:
                    lines = launch(each, root)
                except Failure as error:
                    print(f"fastrl: {error}", file=sys.stderr)
                    failed = 1
                    continue
                _tell(lines, out, number, launches, len(words), root)
    return failed


def chosen(parts: list[str]) -> list[list[str]]:
    """The modules that the named parts launch, with their words."""
    if "all" in parts:
        if parts != ["all"]:
            raise UserError("all is every part; name it alone, or the parts that you want")
        return [words for name in PARTS for words in _words(name, SHORT)]
    for part in parts:
        if part not in PARTS:
            raise unknown("benchmark", part, [*PARTS, "all"])
    return [words for part in parts for words in _words(part, {})]


def _words(part: str, short: dict[str, list[list[str]]]) -> list[list[str]]:
    """A part's modules; programs are compiled for the targets, too, whose compilers are installed."""
    found = short.get(part, PARTS[part])
    if part != "compile":
        return found
    return found + [["programs", target] for target, extra in TARGETS.items() if not compilers.missing(extra)]


def launch(words: list[str], root: Path | None = None) -> list[dict[str, Any]]:
    """The lines of one process, which measures what is imported here or the checkout at `root`."""
    command = [sys.executable, "-m", f"fastrl.benchmarks.{words[0]}", *words[1:]]
    environment = dict(os.environ)
    if root is not None:
        found = [str(root), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment["PYTHONPATH"] = os.pathsep.join(found)
    done = subprocess.run(command, cwd=root, env=environment, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise Failure(f"{' '.join(words)} ended with exit code {done.returncode}; what it said is above")
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    for line in lines:
        schema.check(line, f"{' '.join(words)}{f' of {root}' if root else ''}")
    return lines


def _tell(lines: list[dict[str, Any]], out: Path | None, number: int, of: int, parts: int, root: Path | None) -> None:
    by_turns = ", by turns" if of > 1 and (parts > 1 or root) else ""
    for line in lines:
        line["provenance"]["mode"] = f"launch {number} of {of}{by_turns}"
        if root is not None:
            line["checkout"] = line["provenance"]["commit"] or provenance.file_name(root.name)
        text = json.dumps(line)
        print(text, flush=True)
        if out is not None:
            with out.open("a") as file:
                file.write(text + "\n")
