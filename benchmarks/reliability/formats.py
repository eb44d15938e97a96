"""python benchmarks/reliability/formats.py: run folders of every format that a version has written.

`tests/fixtures/formats/` keeps a finished run of each format, packed, with the version that wrote it and the SHA-256 of
its carry and of its agents as that version said them. Each is unpacked; its last checkpoint is restored, its agent is
loaded, and it is asked whether the run may be resumed with the same options. What is read must have the recorded
SHA-256; what is not must be refused with one line that says what to do. Files of today's format must be read, and
checkpoints of every format that `fastrl.runs.manifest` calls readable. No accelerator is used.
"""

import json
import shlex
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastrl import agent as agents
from fastrl.benchmarks.reliability import common
from fastrl.cli import train
from fastrl.planning import asked
from fastrl.planning import plan as plans
from fastrl.runs import digests, folder, manifest
from fastrl.runs.checkpoint import Checkpoints
from fastrl.types import UserError

FIGURE = "What an earlier version wrote is read with the same bits, or refused in one line that says what to do."
FIXTURES = Path(__file__).resolve().parents[2] / "tests" / "fixtures" / "formats"


def outcome(read: Callable[[], str], expected: str) -> dict[str, Any]:
    """How reading ended: `same` bits, `other` bits, `refused` with a line, or `failed`."""
    try:
        found = read()
    except (UserError, manifest.Damaged) as error:
        line = str(error)
        return {"outcome": "refused" if ";" in line and "\n" not in line else "failed", "line": line}
    except Exception as error:
        return {"outcome": "failed", "line": f"{type(error).__name__}: {error}"}
    return {"outcome": "same" if found == expected else "other"}


def checkpoint(run: Path) -> str:
    """The SHA-256 of the whole carry of the last checkpoint, as it was restored."""
    damage: list[str] = []
    restored = Checkpoints(run / "checkpoints").restore(None, damage.append)
    if restored is None or damage:
        raise manifest.Damaged(damage[0] if damage else "no checkpoint")
    return digests.total(restored.carry)


def resumable(run: Path) -> str:
    """Whether the command that made a run may resume it: "same", or a refusal."""
    _, _, arguments = train.asked(shlex.split(folder.read_config(run)["command"])[2:])
    names = ("env", "dataset", "start", "env_options")
    options = {name: value for name, value in arguments.items() if name not in (*names, "out", "resume", "command")}
    given = {name: arguments[name] for name in names}
    _, identity = plans.make(asked.recipe("sac", **given, sweep={}, domain=None, options=options))
    folder.check(run, identity, True)
    return "same"


def case(name: str, entry: dict[str, Any], place: Path) -> dict[str, Any]:
    """One fixture: what became of its checkpoint, its agent, and the wish to resume it."""
    with tarfile.open(FIXTURES / f"{name}.tar.xz") as packed:
        packed.extractall(place / name, filter="data")
    run = place / name / "run"
    found = {
        "checkpoint": outcome(lambda: checkpoint(run), entry["carry"]),
        "agent": outcome(lambda: digests.total(agents.load(run).state), entry["agent"]),
        "resume": outcome(lambda: resumable(run), "same"),
    }
    for each in found.values():
        each.update({"line": each["line"].replace(str(place), "")} if "line" in each else {})
    ok = all(each["outcome"] in ("same", "refused") for each in found.values())
    ok &= found["checkpoint"]["outcome"] == "same" or entry["manifest_format"] not in manifest.READABLE
    ok &= found["agent"]["outcome"] == "same" or entry["agent_format"] != agents.FORMAT
    return {"fixture": name, "version": entry["version"], "git_revision": entry["git_revision"], **found, "ok": ok}


def main() -> int:
    """Every fixture."""
    found = common.parser("formats", __doc__).parse_args()
    started = time.monotonic()
    index = json.loads((FIXTURES / "index.json").read_text())
    with tempfile.TemporaryDirectory() as place:
        cases = [case(name, entry, Path(place)) for name, entry in index.items()]
    outcomes = [each[part]["outcome"] for each in cases for part in ("checkpoint", "agent", "resume")]
    counts = {"fixtures": len(cases), **{name: outcomes.count(name) for name in ("same", "refused", "other", "failed")}}
    return common.write(found.json, FIGURE, counts, all(each["ok"] for each in cases), cases, started)


if __name__ == "__main__":
    sys.exit(main())
