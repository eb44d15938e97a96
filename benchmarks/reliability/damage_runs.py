"""python benchmarks/reliability/damage_runs.py [--cases 1000] [--commands 20]: damaged run folders, one file at a time.

A file of a finished run (a checkpoint's arrays or manifest, the agent's, config.json, metrics.jsonl, timing.json) has a
bit flipped, is cut, has a block of zeros, or is gone. Then what `--resume`, `evaluate` and `report` read of it is read,
by the functions that they call, and for some cases `fastrl run --resume` itself goes on. A case ends `refused` (one
line), `older` (an older checkpoint is used, with a line), `harmless` (what was read is the same), `gap` (a report shows
- for what it does not know), `label` (a report shows another recipe, environment or wall time: config.json and
timing.json have no checksum of their own), `silent` (another result, and nothing is said) or `crashed`. Linux or macOS;
no accelerator is used.
"""

import collections
import functools
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from fastrl import agent as agents
from fastrl.benchmarks.reliability import brief, common, damage
from fastrl.reports import report
from fastrl.runs import digests, folder, log
from fastrl.runs.checkpoint import Checkpoints
from fastrl.types import Failure, UserError

FIGURE = (
    "A damaged file of a run is refused in one line, or an older checkpoint is used and said; no result changes in "
    "silence."
)
PARTS = ("checkpoints", "checkpoints", "manifest", "agent", "config.json", "metrics.jsonl", "timing.json")
DAMAGES = ("flip", "flip", "cut", "zeros", "missing")
LABELS = (2, 3, -2)
"""Recipe, environment and wall time among the cells of a report's row, the first of which is before its first bar."""
Read = tuple[str, str]
"""What was read, in a form that can be compared, and the line that was said."""


def files(run: Path, part: str) -> list[Path]:
    """Files of a part of a run folder."""
    if part.endswith((".json", ".jsonl")):
        return [run / part]
    found = [path for path in (run / ("agent" if part == "agent" else "checkpoints")).rglob("*") if path.is_file()]
    return sorted(path for path in found if part == "agent" or ("manifest" in path.name) == (part == "manifest"))


def strike(run: Path, part: str, kind: str, rng: np.random.Generator) -> str:
    """Damages one file of a part; its path in the run."""
    found = [path for path in files(run, part) if path.stat().st_size]
    path = found[rng.integers(len(found))]
    if kind == "missing":
        path.unlink()
    else:
        damage.bytes_of(path, kind, rng)
    return str(path.relative_to(run))


def resumed(run: Path) -> Read:
    """What `--resume` reads: the options, the newest good checkpoint, the rows of the log that belong to it."""
    told: list[str] = []
    identity = json.loads((run.parent / "identity.json").read_text())
    with folder.claimed(run, identity, {}, True):
        found = Checkpoints(run / "checkpoints").restore(None, told.append)
        if found is None:
            return "nothing", ""
        log.verify(run)
        rows = log.read(run)[: found.meta["rows"]]
    return json.dumps([found.step, digests.total(found.carry), rows]), "; ".join(told)


def loaded(run: Path) -> Read:
    """What `evaluate` reads: the agent."""
    found = agents.load(run / "agent")
    return json.dumps([digests.total(found.state), str(found.config), str(found.spec), found.reward]), ""


def reported(run: Path) -> Read:
    """What `report` shows."""
    return report.table([run]).replace(str(run), ""), ""


def uses(part: str) -> tuple[Callable[[Path], Read], ...]:
    """What reads a part."""
    if part in ("checkpoints", "manifest"):
        return (resumed,)
    return (loaded,) if part == "agent" else (reported, resumed)


def outcome(use: Callable[[Path], Read], run: Path, want: Read) -> Read:
    """How reading ends, and the line that is said."""
    try:
        found, told = use(run)
    except (UserError, Failure) as error:
        return ("refused" if len(str(error).splitlines()) == 1 else "crashed"), str(error)
    except BaseException as error:
        return "crashed", f"{type(error).__name__}: {error}"
    if told:
        return ("older" if len(told.splitlines()) == 1 else "crashed"), told
    if found == want[0]:
        return "harmless", ""
    return (margin(found, want[0]) if use is reported else "silent"), ""


def margin(found: str, want: str) -> str:
    """What differs in a report's row: cells that show - (`gap`), what is no result (`label`), or more (`silent`)."""
    mine, other = ([cell.strip() for cell in text.strip().splitlines()[-1].split("|")] for text in (found, want))
    differ = [n for n, (cell, wanted) in enumerate(zip(mine, other, strict=False)) if cell != wanted]
    if len(mine) != len(other) or not differ:
        return "silent"
    if all(mine[n] == "-" for n in differ):
        return "gap"
    return "label" if {*differ} <= {LABELS[0], LABELS[1], len(mine) + LABELS[2]} else "silent"


def case(good: Path, number: int) -> list[dict[str, Any]]:
    """One damaged file, and what each reader makes of it; `good` has a run, and what its options are."""
    rng = np.random.default_rng(number)
    part, kind = PARTS[number % len(PARTS)], DAMAGES[number // len(PARTS) % len(DAMAGES)]
    rows = []
    with tempfile.TemporaryDirectory() as place:
        run = Path(place) / "run"
        shutil.copytree(good.parent, place, dirs_exist_ok=True)
        file = strike(run, part, kind, rng)
        for use in uses(part):
            ended, line = outcome(use, run, wanted(use, good))
            about = {"case": number, "part": part, "damage": kind, "file": file, "use": use.__name__}
            rows.append({**about, "outcome": ended, "line": line.replace(place, "")[:300]})
    return rows


@functools.cache
def wanted(use: Callable[[Path], Read], good: Path) -> Read:
    """What a reader makes of the run that is not damaged."""
    with tempfile.TemporaryDirectory() as place:
        shutil.copytree(good.parent, place, dirs_exist_ok=True)
        return use(Path(place) / "run")


def commanded(good: Path, home: Path, number: int) -> dict[str, Any]:
    """`fastrl run --resume` on a damaged run: one line, or the same end."""
    rng, run, said = np.random.default_rng(number), home / "damaged", home / "damaged.txt"
    part, kind = PARTS[number % len(PARTS)], DAMAGES[number // len(PARTS) % len(DAMAGES)]
    shutil.rmtree(run, ignore_errors=True)
    shutil.copytree(good, run)
    file = strike(run, part, kind, rng)
    answer = brief.told([*brief.words(run), "--resume"], home, said)
    same = answer.code == 0 and common.end(run) == common.end(good)
    ended = "refused" if answer.refused else "same end" if same else "crashed" if answer.trace else "silent"
    about = {"case": number, "part": part, "damage": kind, "file": file, "use": "fastrl run --resume"}
    return {**about, "outcome": ended, "line": answer.said[-300:] if ended == "crashed" else "".join(answer.lines)}


def prepare(home: Path) -> Path:
    """A finished run, beside a file of what its options are."""
    good = home / "good" / "run"
    good.parent.mkdir()
    brief.well(brief.words(good), home, home / "said.txt")
    identity = json.loads((good / "config.json").read_text())["identity"]
    (good.parent / "identity.json").write_text(json.dumps(identity))
    return good


def counted(rows: list[dict[str, Any]]) -> tuple[dict[str, Any], bool]:
    """What the cases add up to, by part."""
    parts: dict[str, collections.Counter[str]] = collections.defaultdict(collections.Counter)
    for row in rows:
        parts[f"{row['part']}, {row['use']}"][row["outcome"]] += 1
    sums = collections.Counter(row["outcome"] for row in rows)
    counts = {"cases": len({row["case"] for row in rows}), "reads": len(rows), **sums, "of": dict(parts)}
    return counts, len(rows) > 0 and sums["silent"] == sums["crashed"] == 0


def main() -> int:
    """The commands, then the readers."""
    parser = common.parser("damage_runs", __doc__)
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--commands", type=int, default=20)
    found = parser.parse_args()
    started, rows = time.monotonic(), []
    with tempfile.TemporaryDirectory() as place:
        home = Path(place)
        good = prepare(home)
        for number in range(found.cases, found.cases + found.commands):
            rows.append(commanded(good, home, number))
            print(json.dumps(rows[-1]), flush=True)
        for number in range(found.cases):
            rows += case(good, number)
    counts, passed = counted(rows)
    kept = [row for row in rows if row["outcome"] in ("silent", "crashed") or row["case"] >= found.cases]
    return common.write(found.json, FIGURE, counts, passed, kept, started)


if __name__ == "__main__":
    sys.exit(main())
