"""python3 benchmarks/gpu.py --out DIR: everything worth knowing of one GPU, in eight minutes.

It runs from the source tree and needs jax with CUDA beside the packages of `pyproject.toml` (benchmarks/README.md says
how to carry them to a machine without a network): `PYTHONPATH=SITE:. python3 benchmarks/gpu.py --out DIR`. Each step is
a process of its own with a time limit, and writes a JSON line a figure into `DIR/gpu.jsonl` as it goes: a step that
fails or is cut off costs only itself. The most valuable figures of a step come first. A table comes last. `--dry` does
all of it on the CPU at toy sizes; then no figure means anything.
"""

import argparse
import dataclasses
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

BUDGET = 460  # seconds for all steps


@dataclasses.dataclass(frozen=True)
class Step:
    """A part of the script, by the name that `benchmarks/card.py` knows it by."""

    name: str
    seconds: int  # after which it is ended
    command: tuple[str, ...] = ()  # none is the step itself

    def words(self, out: Path, dry: bool) -> list[str]:
        """The command line of its process."""
        own = [sys.executable, "-m", "fastrl.benchmarks.card", self.name, str(out), str(self.seconds)]
        return list(self.command) or [*own, *(["--dry"] if dry else [])]


STEPS = (
    Step("device", 40),
    Step("correctness", 100),
    Step("learner", 80),
    Step("loop", 120),
    Step("choices", 60),
    Step("flags", 60),
    Step("bits", 40),
    Step("memory", 30),
    Step("profile", 30),
)


def environment(cache: Path, dry: bool) -> dict[str, str]:
    """What the processes inherit: a cache of compiled programs, no memory taken in advance, the CPU beside the GPU."""
    toys = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"} if dry else {}
    return {
        **toys,
        **os.environ,
        "JAX_PLATFORMS": "cpu" if dry else "cuda,cpu",
        "JAX_COMPILATION_CACHE_DIR": str(cache),
        "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.5",
        "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
        "TF_CPP_MIN_LOG_LEVEL": "2",
    }


def run(steps: Sequence[Step], out: Path, dry: bool, budget: float = BUDGET) -> list[dict[str, Any]]:
    """Runs the steps in turn, none longer than what is left of `budget` seconds; their lines, and how each ended."""
    out.mkdir(parents=True, exist_ok=True)
    lines, began = out / "gpu.jsonl", time.monotonic()
    with tempfile.TemporaryDirectory() as cache:
        for step in steps:
            left = budget - (time.monotonic() - began)
            ended = {"step": step.name, "ended": "not reached", "seconds": 0.0}
            if left > 5:
                ended = _process(step, lines, environment(Path(cache), dry), min(step.seconds, left), dry)
            with lines.open("a") as file:
                file.write(json.dumps(ended) + "\n")
            print(json.dumps(ended), flush=True)
    return [json.loads(line) for line in lines.read_text().splitlines()]


def _process(step: Step, lines: Path, environ: dict[str, str], seconds: float, dry: bool) -> dict[str, Any]:
    """One step's process, ended with all that it started when its time is over."""
    start = time.monotonic()
    with tempfile.TemporaryFile("w+") as error:
        process = subprocess.Popen(
            step.words(lines, dry), env=environ, stdout=subprocess.DEVNULL, stderr=error, start_new_session=True
        )
        try:
            code = process.wait(seconds)
            ended = "done" if code == 0 else f"exit code {code}"
        except subprocess.TimeoutExpired:
            ended = f"cut off after {seconds:.0f} s"
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        error.seek(0)
        last = next((line for line in reversed(error.read().splitlines()) if line.strip()), "")
    said = {} if ended == "done" else {"said": last[:300]}
    return {"step": step.name, "ended": ended, "seconds": round(time.monotonic() - start, 1), **said}


def table(rows: list[dict[str, Any]]) -> str:
    """Every figure in a line, then how the steps ended."""
    found = [row for row in rows if "what" in row]
    width = max((len(row["what"]) for row in found), default=0)
    text = [f"{row['step']:12} {row['what']:{width}}  {_shown(row['value'])} {row['unit']}" for row in found]
    ends = [f"{row['step']:12} {row['ended']} in {row['seconds']} s" for row in rows if "ended" in row]
    return "\n".join([*text, "", *ends])


def _shown(value: Any) -> str:
    return f"{value:,.4g}" if isinstance(value, float) else str(value)


def main() -> int:
    """All steps; exit code 1 where one did not end as it should."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where gpu.jsonl and table.txt go")
    parser.add_argument("--dry", action="store_true", help="toy sizes on the CPU")
    found = parser.parse_args()
    longer = 5 if found.dry else 1  # a busy machine without a GPU is no reason to fail
    steps = [dataclasses.replace(step, seconds=step.seconds * longer) for step in STEPS]
    rows = run(steps, found.out, found.dry, BUDGET * longer)
    (found.out / "table.txt").write_text(table(rows) + "\n")
    print(table(rows))
    return 0 if all(row["ended"] == "done" for row in rows if "ended" in row) else 1


if __name__ == "__main__":
    sys.exit(main())
