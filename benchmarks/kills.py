"""python benchmarks/kills.py [--recipe wsrl] [--kills 10]: kill -9 at random moments, resume, compare with no kill.

One reference run of `fastrl run RECIPE`, then as many as asked of the same command, each killed once while it is in a
given stage: one of the recipe's phases, or a save (an unfinished Orbax folder, or a step without its manifest).
`--resume` continues each to its end, which must have the reference's SHA-256 of the whole carry and its metrics.jsonl
byte for byte, and nothing that was acknowledged before the kill may be gone. Prints a JSON line for each kill and one
of the sum, and writes them to `--json`. Linux or macOS; no accelerator is used.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from fastrl.recipes import table
from fastrl.runs import manifest
from fastrl.runs.checkpoint import MANIFEST

ENV, ROWS = "probe-action", 2_000
SIZES = {"seeds": 2, "actor-hidden": "8", "critic-hidden": "8", "batch-size": 8}
STEPS = {"pretrain-steps": 4_000, "steps": 8_000, "eval-every": 1_000, "eval-episodes": 2}
STAGED = {"reevaluate-steps": 4_000, "align-steps": 4_000}
PACE = {"chunk": 10, "checkpoint-minutes": 0.01}
RECIPES: dict[str, dict[str, Any]] = {
    "wsrl": {"num-critics": 2, "cql-actions": 2, "warmup": 4_000},
    "o2sac": {"num-critics": 2, "cql-actions": 2, "warmup": 4_000, "utd": 2, **STAGED},
    "o2td3": {"num-critics": 2, "warmup": 4_000, **STAGED},
    "o2ppo": {"rollout": 40, "reevaluate-steps": 4_000},
}


def options(recipe: str) -> list[str]:
    """The options of every run of a recipe here."""
    given = {**SIZES, **STEPS, **RECIPES[recipe], **PACE}
    return [word for name, value in given.items() for word in (f"--{name}", str(value))]


def start(recipe: str, home: Path, out: Path, *more: str) -> subprocess.Popen[bytes]:
    """The command, in a process of its own; `home` holds the data and the cache of compiled programs."""
    words = [sys.executable, "-m", "fastrl.cli", "run", recipe, "--env", ENV, "--dataset", str(home / "data.hdf5")]
    environment = {**os.environ, "HOME": str(home), "JAX_PLATFORMS": "cpu"}
    with (home / "stderr.txt").open("ab") as error:
        return subprocess.Popen(
            [*words, *options(recipe), "--out", str(out), *more],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=error,
        )


def steps(out: Path) -> list[int]:
    """Steps that have a folder, acknowledged or not."""
    folder = out / "checkpoints"
    return sorted(int(p.name) for p in folder.iterdir() if p.name.isdigit()) if folder.is_dir() else []


def saving(out: Path) -> bool:
    """Whether a save is under way."""
    folder = out / "checkpoints"
    if not folder.is_dir():
        return False
    found = steps(out)
    unfinished = bool(found) and not (folder / str(found[-1]) / MANIFEST).is_file()
    return unfinished or any("orbax-checkpoint-tmp" in path.name for path in folder.iterdir())


def phases(out: Path) -> list[str]:
    """The phase of each row of the log."""
    path = out / "metrics.jsonl"
    lines = path.read_bytes().split(b"\n")[:-1] if path.is_file() else []
    return [json.loads(line)["phase"] for line in lines]


def acknowledged(out: Path) -> int:
    """The newest step with a manifest, -1 before there is one."""
    return max((step for step in steps(out) if (out / "checkpoints" / str(step) / MANIFEST).is_file()), default=-1)


def end(out: Path) -> tuple[str, bytes]:
    """The whole carry's SHA-256 in the last checkpoint, and the log."""
    content = manifest.read(out / "checkpoints" / str(steps(out)[-1]) / MANIFEST)
    return content["sha256"], (out / "metrics.jsonl").read_bytes()


def wait_for(stage: str, out: Path, process: subprocess.Popen[bytes], rng: random.Random) -> bool:
    """Waits for a random row of the stage's log, or a save, and a little; False if the run ended first."""
    skipped = rng.randrange(4) if stage == "save" else 0
    row = rng.randrange(30)  # a phase logs 40 or more
    inside = False
    while process.poll() is None:
        now = saving(out) if stage == "save" else phases(out).count(stage) > row
        if now and not inside and skipped == 0:
            time.sleep(rng.uniform(0.0, 0.02 if stage == "save" else 0.1))
            return process.poll() is None
        skipped -= now and not inside
        inside = now
        time.sleep(0.001)
    return False


def kill_once(
    recipe: str, home: Path, number: int, stage: str, expected: tuple[str, bytes], rng: random.Random
) -> dict[str, Any]:
    """One run, killed in `stage` and resumed to its end."""
    out = home / f"run-{number}"
    process = start(recipe, home, out)
    struck = wait_for(stage, out, process, rng)
    process.send_signal(signal.SIGKILL)
    process.wait()
    row: dict[str, Any] = {
        "kill": number,
        "stage": stage,
        "struck": struck,
        "phase": (phases(out) or [""])[-1],
        "saving": saving(out),
        "rows": len((out / "metrics.jsonl").read_bytes().splitlines()) if (out / "metrics.jsonl").is_file() else 0,
        "acknowledged": acknowledged(out),
    }
    kept = acknowledged(out)
    resumed = start(recipe, home, out, "--resume", "auto")
    row["resume_code"] = resumed.wait()
    sha256, log = end(out)
    text = (home / "stderr.txt").read_text().splitlines()
    row["resumed"] = next((line for line in reversed(text) if line.startswith("resumed at")), "from the start")
    row["resumed"] = row["resumed"] if kept >= 0 else "from the start"
    row["same_bits"], row["same_log"] = sha256 == expected[0], log == expected[1]
    return row


def main() -> int:
    """The reference, the kills, the sum."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="wsrl", choices=RECIPES)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0, help="of the random moments")
    parser.add_argument("--json", type=Path, default=Path(__file__).parent / "results" / "kills.json")
    found = parser.parse_args()
    rng, recipe = random.Random(found.seed), found.recipe
    stages = (*table.RECIPES[recipe].phases.split(", "), "save")
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        collect = ["collect", ENV, str(home / "data.hdf5"), "--behaviour", "random", "--steps", str(ROWS)]
        subprocess.run([sys.executable, "-m", "fastrl.cli", *collect], check=True, stdout=subprocess.DEVNULL)
        if start(recipe, home, home / "reference").wait() != 0:
            print((home / "stderr.txt").read_text(), file=sys.stderr)
            return 1
        expected = end(home / "reference")
        rows = []
        for number in range(found.kills):
            rows.append(kill_once(recipe, home, number, stages[number % len(stages)], expected, rng))
            print(json.dumps(rows[-1]), flush=True)
    good = sum(row["struck"] and row["resume_code"] == 0 and row["same_bits"] and row["same_log"] for row in rows)
    struck = {stage: sum(row["stage"] == stage and row["struck"] for row in rows) for stage in stages}
    total = {"recipe": recipe, "kills": len(rows), "identical": good, "stages": struck, "sha256": expected[0]}
    total |= manifest.provenance()
    print(json.dumps(total), flush=True)
    found.json.write_text(json.dumps({"total": total, "kills": rows}, indent=1) + "\n")
    return 0 if good == len(rows) else 1


if __name__ == "__main__":
    sys.exit(main())
