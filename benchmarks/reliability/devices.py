"""python benchmarks/reliability/devices.py: a run that is saved on one device and goes on on two, on eight, and back.

`wsrl` with three seeds. It is stopped by SIGTERM in the middle of a phase and continued with
`--resume auto` on another number of devices of the CPU, along several ways; the end must have the same SHA-256 of the
whole carry, of the agents and of the log as a run on one device that was never stopped. Other numbers of seeds than the
run was made with must be refused in one line with exit code 2, and leave the folder as it was. An agent of three seeds
starts runs of one to three, and is refused in one line for more. Linux or macOS; no accelerator is used.
"""

import functools
import json
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from fastrl.benchmarks.reliability import common
from fastrl.runs import lock, manifest

FIGURE = "A run that was saved on one number of devices goes on on any other to the same bits, with the seeds it has."
RECIPES = ("wsrl",)
SEEDS = 3
WAYS = ((1, 2, 8, 1), (8, 1))
"""Devices, one after another; the run is stopped between two of them."""


def way(recipe: str, home: Path, devices: tuple[int, ...], expected: dict[str, str]) -> dict[str, Any]:
    """A run that goes on on other devices each time: where it was saved, and how it ended."""
    out = home / f"{recipe}-{'-'.join(map(str, devices))}"
    words = [*common.command(recipe, home, out, seeds=SEEDS), "--resume", "auto"]
    moments = [phase for phase in common.phases(recipe) if phase != "pretrain"]
    stops = []
    for place, count in enumerate(devices[:-1]):
        said, phase = home / f"{out.name}-{place}.txt", moments[min(place, len(moments) - 1)]
        row = common.LOGGED // (2 if place < len(moments) else 4)
        process = common.start(words, home, said, count)
        common.wait(process, said, functools.partial(common.passed, phase, row, out))
        process.send_signal(signal.SIGTERM)
        stops.append({"devices": count, "phase": phase, "code": process.wait(), "saved": common.acknowledged(out)})
    common.done(words, home, devices=devices[-1])
    found = common.end(out)
    same = {name: found[name] == expected[name] for name in common.SAME}
    return {"recipe": recipe, "devices": devices, "stops": stops, "same": same, "ok": moved(stops, same)}


def moved(stops: list[dict[str, Any]], same: dict[str, bool]) -> bool:
    """Whether a run was stopped each time with something saved, and ended in the same bits."""
    return all(each["code"] == 128 + signal.SIGTERM and each["saved"] > 0 for each in stops) and all(same.values())


def files(out: Path) -> dict[str, dict[str, Any]]:
    """The files of a run, but for its lock, which names who had it last."""
    return {name: entry for name, entry in manifest.files(out).items() if name != lock.LOCK}


def other_seeds(home: Path, words: list[str], count: int, out: Path, refused: bool) -> dict[str, Any]:
    """A command with so many seeds: whether it was refused, if it must be, in one line that leaves `out` as it is."""
    before = files(out)
    process = common.start([*words, "--seeds", str(count)], home, subprocess.PIPE)
    said = process.communicate()[1].splitlines()
    line = said[-1].replace(str(home), "HOME") if said else ""
    if not refused:
        return {"seeds": count, "code": process.returncode, "line": line, "ok": process.returncode == 0}
    ok = process.returncode == 2 and len(said) == 1 and files(out) == before
    return {"seeds": count, "code": process.returncode, "line": line, "ok": ok}


def seeds(home: Path, out: Path) -> list[dict[str, Any]]:
    """A finished run of three seeds resumed with others, and runs that start from its agent."""
    found = []
    for count in (2, 4):
        words = [*common.command("wsrl", home, out), "--resume", "auto"]
        found.append({"what": "resume", **other_seeds(home, words, count, out, refused=True)})
    for count in (1, 3, 4):
        again = {"env": common.ENV, "from": out, "out": home / f"from-{count}", "steps": 100, "warmup": 50}
        words = ["run", "wsrl", *common.as_words({**common.SIZES, "num-critics": 2, **again})]
        found.append({"what": "start from its agent", **other_seeds(home, words, count, out, refused=count > SEEDS)})
    return found


def main() -> int:
    """Each recipe along each way, then other numbers of seeds."""
    found = common.parser("devices", __doc__).parse_args()
    started, cases = time.monotonic(), []
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        common.collect(home)
        for recipe in RECIPES:
            common.done(common.command(recipe, home, home / recipe, seeds=SEEDS), home)
            expected = common.end(home / recipe)
            for devices in WAYS:
                cases.append(way(recipe, home, devices, expected))
                print(json.dumps(cases[-1]), flush=True)
        others = seeds(home, home / "wsrl")
    counts = {"runs": len(cases), "moves": sum(len(case["stops"]) for case in cases)}
    counts |= {
        "same_ends": sum(case["ok"] for case in cases),
        "other_seeds_as_told": sum(case["ok"] for case in others),
    }
    passed = all(case["ok"] for case in [*cases, *others])
    return common.write(found.json, FIGURE, counts, passed, [*cases, *others], started)


if __name__ == "__main__":
    sys.exit(main())
