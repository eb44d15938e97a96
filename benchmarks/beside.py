"""fastrl bench PART --peer FILE.py: somebody else's code beside ours, both timed by the same worker, launches by turns.

The file is an adapter. It has a docstring that says what is timed, `PART`, `REQUIRES` (requirements of pip, pinned),
`EQUAL` and `NOT_EQUAL` (what is and is not the same on both sides, a sentence each), `CASE` if it changes the case of
its part (`CASES`), and one function `prepare(case) -> (a call that returns when its work is done, units of one call)`.
`peers/` has worked ones, and `peers/ours.py` is our side. An environment with the requirements is made once and kept in
the user's cache. A line has what one launch took for a unit; after them comes one with the ratios, theirs over ours, so
that above 1 ours is faster.
"""

import ast
import dataclasses
import hashlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fastrl import startup
from fastrl.benchmarks import compare, schema
from fastrl.errors import Failure, UserError

CASES: dict[str, dict[str, Any]] = {
    "loop": {
        "env": "brax:inverted_pendulum",
        "hidden": (256, 256),
        "critics": 2,
        "batch": 256,
        "utd": 1,
        "capacity": 1_000_000,
    },
    "replay": {"obs": 17, "action": 6, "batch": 1_024, "capacity": 1_000_000},
}
SEEDS = (1, 8)
OURS = "ours"
NAMES = ("PART", "REQUIRES", "CASE", "EQUAL", "NOT_EQUAL")
FIGURES = ("microseconds", "best_microseconds", "cpu_seconds")
OUTSIDE = ("fastrl", "jax", "jaxlib", "numpy", "python")
"""Versions in which the sides can differ."""
FOLDER = Path(__file__).resolve().parent


@dataclasses.dataclass(frozen=True)
class Adapter:
    """What an adapter's file says, read without running it."""

    path: Path
    requires: tuple[str, ...]
    case: dict[str, Any]
    equal: tuple[str, ...]
    not_equal: tuple[str, ...]

    @property
    def name(self) -> str:
        """What its lines call it."""
        return self.path.stem


def run(part: str, path: Path, launches: int, out: Path | None = None) -> int:
    """Times both sides for each number of seeds, prints the lines and appends them to `out`; returns an exit code.

    Raises `UserError` where the adapter does not keep the contract or its code fails.
    """
    if part not in CASES:
        raise UserError(f"--peer goes with {' or '.join(CASES)}, not {part!r}; name one of them")
    if launches <= 0:
        raise UserError(f"--launches must be above 0, not {launches}")
    if out is not None and not out.absolute().parent.is_dir():
        raise UserError(f"--out {out}: there is no folder {out.parent}; make it first")
    found = adapter(path, part)
    python = environment(found.requires)
    with tempfile.TemporaryDirectory() as programs:
        for seeds in SEEDS:
            case = {**found.case, "part": part, "seeds": seeds}
            lines: list[dict[str, Any]] = []
            for number in range(1, launches + 1):
                pair = turn(found, python, case, number, launches, programs)
                _tell(pair, out)
                lines += pair
            _tell([summary(found, case, lines)], out)
    return 0


def adapter(path: Path, part: str) -> Adapter:
    """The adapter in a file, checked against the contract."""
    try:
        tree = ast.parse(path.read_text())
    except (OSError, UnicodeDecodeError, SyntaxError) as error:
        raise UserError(f"--peer {path} cannot be read as Python ({error}); name an adapter's file") from error
    said: dict[str, Any] = {}
    for node in tree.body:
        name = node.targets[0].id if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) else ""
        if isinstance(node, ast.Assign) and name in NAMES:
            try:
                said[name] = ast.literal_eval(node.value)
            except ValueError as error:
                raise UserError(f"{path}: {name} is computed; write it out, as it is read without running") from error
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "prepare"]
    if not functions or len(functions[0].args.args) != 1:
        raise UserError(f"{path}: it has no prepare(case); an adapter has that function, see benchmarks/peers")
    if said.get("PART") != part:
        raise UserError(f"{path}: its PART is {said.get('PART')!r}, not {part!r}; name that part, or another file")
    texts = {name: said.get(name, ()) for name in ("REQUIRES", "EQUAL", "NOT_EQUAL")}
    for name, value in texts.items():
        if not isinstance(value, tuple) or not all(isinstance(each, str) for each in value):
            raise UserError(f"{path}: {name} is {value!r}; write a tuple of strings")
    if loose := [each for each in texts["REQUIRES"] if "==" not in each]:
        raise UserError(f"{path}: REQUIRES has {loose[0]!r} without a version; pin it with ==")
    change = said.get("CASE", {})
    if not isinstance(change, dict) or not set(change) <= set(CASES[part]):
        raise UserError(f"{path}: CASE is {change!r}; {part} has {', '.join(CASES[part])}")
    return Adapter(path.resolve(), texts["REQUIRES"], {**CASES[part], **change}, texts["EQUAL"], texts["NOT_EQUAL"])


def fingerprint(requires: Sequence[str]) -> str:
    """The name of the environment with these requirements, whatever their order, for this Python."""
    text = "\n".join([sys.version, *sorted(requires)])
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def environment(requires: Sequence[str]) -> Path:
    """The Python of an environment with these requirements, made where it is not there yet.

    It is made beside its place and moved there, so that one that is there is whole.
    """
    cache = startup.cache("peers")
    if cache is None:
        raise Failure("there is no home folder that can be written to, and --peer keeps an environment there; set HOME")
    folder = cache / fingerprint(requires)
    if not folder.is_dir():
        print(f"peer: installing {', '.join(requires) or 'nothing'}, once", file=sys.stderr, flush=True)
        fresh = Path(tempfile.mkdtemp(prefix="part-", dir=cache))
        try:
            _checked([sys.executable, "-m", "venv", str(fresh)], "an environment cannot be made")
            if requires:
                pip = [str(_python(fresh)), "-I", "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
                _checked([*pip, *requires], "pip cannot install what REQUIRES names")
            fresh.chmod(0o755)
            if not folder.is_dir():
                fresh.rename(folder)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
    return _python(folder)


def _python(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _checked(command: list[str], failure: str) -> None:
    """Runs a command; what fails is told in one line with the command's last one that names an error."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()] or ["it said nothing"]
        raise UserError(f"{failure}: {([line for line in said if 'ERROR' in line.upper()] or said)[-1].strip()}")


def turn(
    peer: Adapter, python: Path, case: dict[str, Any], number: int, launches: int, programs: str
) -> list[dict[str, Any]]:
    """The lines of one launch of each side; which goes first changes with the number."""
    found = {}
    for arm in (OURS, peer.name) if number % 2 else (peer.name, OURS):
        if arm == OURS:
            found[arm] = launch(sys.executable, "-P", FOLDER / "peers" / "ours.py", case, programs)
        else:
            found[arm] = launch(str(python), "-I", peer.path, case, programs)
    where = {**found[OURS].pop("provenance"), "mode": f"launch {number} of {launches}, by turns"}
    theirs = {name: found[peer.name]["versions"].get(name) for name in OUTSIDE}
    both = {OURS: where, peer.name: where | theirs | {"xla_flags": os.environ.get("XLA_FLAGS", "")}}
    return [line(peer, case, arm, number, found[arm], both[arm]) for arm in (OURS, peer.name)]


def launch(python: str, isolated: str, path: Path, case: dict[str, Any], programs: str) -> dict[str, Any]:
    """What the worker measured, in a process and an empty folder of its own.

    `programs` keeps what jax compiled for later launches, of both sides, so that each program is compiled once.
    """
    command = [python, isolated, str(FOLDER / "peer_worker.py"), str(path), json.dumps(case)]
    with tempfile.TemporaryDirectory() as folder:
        kept = {**os.environ, "JAX_COMPILATION_CACHE_DIR": programs}
        done = subprocess.run(command, cwd=folder, env=kept, capture_output=True, text=True)
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        kind = Failure if path == FOLDER / "peers" / "ours.py" else UserError
        raise kind(f"{path}: it failed with {case['seeds']} seed(s): {said[-1]}")
    return json.loads(done.stdout.splitlines()[-1])


def line(
    peer: Adapter, case: dict[str, Any], arm: str, number: int, found: dict[str, Any], where: dict[str, Any]
) -> dict[str, Any]:
    """One launch's line, in the form of `fastrl.benchmarks.schema`."""
    median = statistics.median(found["wall"])
    return {
        **_head(peer, case, arm),
        "arm": arm,
        "launch": number,
        "units_per_second": round(1e6 / median, 1),
        "microseconds": round(median, 3),
        "best_microseconds": round(min(found["wall"]), 3),
        "cpu_seconds": round(statistics.median(found["cpu"]) / 1e6, 9),
        "first_call_seconds": round(found["first_call_seconds"], 2),
        "versions": found["versions"],
        "case": case,
        "ceilings": found["ceilings"],
        "provenance": where,
    }


def summary(peer: Adapter, case: dict[str, Any], lines: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Theirs over ours: the medians of the launches with a bootstrap's interval over them, the best, and CPU time."""
    sides = [[each for each in lines if each["arm"] == arm] for arm in (peer.name, OURS)]
    wall, best, cpu = ([[each[key] for each in side] for side in sides] for key in FIGURES)
    verdict, busy = (compare.judge(theirs, ours, "times", 1) for theirs, ours in (wall, cpu))
    ceilings = {name: statistics.median(each["ceilings"][name] for each in lines) for name in lines[0]["ceilings"]}
    return {
        **_head(peer, case, f"{peer.name} / {OURS}"),
        "arm": "ratio",
        "launches": len(sides[0]),
        "times": round(verdict.ratio, 3),
        "interval": [round(verdict.low, 3), round(verdict.high, 3)],
        "best_times": round(min(best[0]) / min(best[1]), 3),
        "cpu_times": round(busy.ratio, 3),
        "cpu_interval": [round(busy.low, 3), round(busy.high, 3)],
        "equal": list(peer.equal),
        "not_equal": list(peer.not_equal),
        "case": case,
        "ceilings": ceilings,
        "provenance": next(each["provenance"] for each in lines if each["arm"] == OURS),
    }


def _head(peer: Adapter, case: dict[str, Any], what: str) -> dict[str, Any]:
    seeds = f"{case['seeds']} seed{'s' * (case['seeds'] > 1)}"
    return {
        "schema": schema.SCHEMA,
        "benchmark": "beside",
        "workload": f"{case['part']} with {peer.name}, {seeds}: {what}",
        "gflop": None,
        "gflop_source": "none: the sides are compared by time",
        "megabytes": None,
    }


def _tell(lines: Sequence[dict[str, Any]], out: Path | None) -> None:
    for each in lines:
        text = json.dumps(each)
        print(text, flush=True)
        if out is not None:
            with out.open("a") as file:
                file.write(text + "\n")
