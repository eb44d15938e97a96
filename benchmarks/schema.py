"""The schema of a benchmark's line, which one launch of one workload prints: what is in it, and who is refused.

A line is a JSON object: `schema`, `benchmark` (a part of `fastrl bench`), `workload`, figures whose keys end in their
unit (`UNITS`), `gflop` and `megabytes` of one unit of work (a step, an update, a draw; null where they are not known)
with `gflop_source`, `ceilings` of the same process, and `provenance`.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fastrl.benchmarks import provenance
from fastrl.errors import UserError

SCHEMA = 1
PROVENANCE = (
    *("fastrl", "commit", "processor", "cores", "isa", "memory_gb", "card", "jax", "jaxlib", "numpy", "python", "os"),
    *("xla_flags", "jax_config", "load_before", "load_after", "busy_processes", "other_busy_cores", "utc", "mode"),
)
CEILINGS = ("sgemm_gflops", "copy_gigabytes_per_second")
UNITS: dict[str, tuple[str, int]] = {
    "steps_per_cpu_second": ("env steps / CPU-second", 1),
    "steps_per_second": ("env steps / s", 1),
    "gigabytes_per_second": ("GB/s", 1),
    "cpu_seconds": ("CPU-s", -1),
    "milliseconds": ("ms", -1),
    "microseconds": ("µs", -1),
    "seconds": ("s", -1),
    "gflops": ("GFLOP/s", 1),
    "fraction": ("of the ceiling", 1),
    "kept": ("of the whole", 1),
    "times": ("times", 1),
    "mb": ("MB", -1),
    "ratio": ("times", -1),
    "kernels": ("kernels", -1),
    "copies": ("copies", -1),
    "collectives": ("collectives", -1),
    "decisions": ("decisions", -1),
}
"""How a figure's key ends, its unit, and whether more (1) or less (-1) of it is better."""

NOT = {
    "env": "Steps per CPU-second count all threads of the process, so they are not steps per second of a machine "
    "with many cores, and one CPU's say nothing of a card, where thousands of copies go side by side. "
    "Actions are random: a trained policy meets more contacts, and a walking robot's step can cost more "
    "than a falling one's. MJX is compared with the untouched model, which nobody would choose who has "
    "tuned it. The operations are XLA's count with the body of every inner loop once, so the rate, which "
    "is per CPU-second, is a lower bound.",
    "replay": "The ring is full and draws are uniform over a million rows, so nearly every row misses the caches; a "
    "small ring is faster, and no gather of rows reaches the rate of a copy. It is one insert and one "
    "draw of 1,024 rows in a scan without a learner, so it says how much of a step they can take, not "
    "what a run gains; episodes, priorities and the dataset's half of a batch are left out.",
    "learner": "Updates on random rows that are in memory already: acting, the environment, sampling and evaluation "
    "are left out, so it is not the speed of a run. The fraction is of this process's own product of 2048 "
    "x 2048 matrices; smaller products cannot reach it on any software. One seed: seeds side by side on a "
    "card are another figure. It says nothing of how much is learnt in a step.",
    "loop": "One seed on Hopper with the paper's networks, where the learner takes nearly all of the time: it "
    "says little of a costly environment or of small networks. Evaluations, checkpoints and logs come on "
    "top of it in a run. `kept` can be above 1, as the parts are timed alone and their caches are others.",
    "startup": "The phases are a few steps long, and a real run's pre-training lies between its start and its first "
    "fine-tuning update. One seed; the compiler's time grows with the environment's program and hardly "
    "with the size of networks. Cold means no kept program of ours: files that the system holds in memory "
    "stay there, so that the first start after a reboot is slower.",
    "memory": "Of the process's resident memory on a CPU, from before the first array on: the interpreter and its "
    "libraries are not in it, and a card's allocator behaves otherwise. One seed; the ring and the "
    "dataset grow with seeds and rows, the networks with seeds alone. The second pass may use free blocks "
    "of the first again, so `ratio` is a lower bound.",
    "compile": "Counts of instructions in a program's text, not times: a kernel that does much costs more than one "
    "that does little, and fewer kernels are faster only where launching them is what takes the time. A "
    "CPU launches no kernels; its count is of the instructions in the schedule, and says nothing of a "
    "card's. Loops whose length depends on the data are counted at two rounds.",
    "scaling": "Small networks (two layers of 64, two critics, batches of 64, one update an environment step), so "
    "that what acting and the environment cost is seen: the paper's networks make fewer steps. Every "
    "environment step has its update whatever the copies, and a CPU computes seeds one after another, so "
    "that a flat line by seeds is what can be had there; it says nothing of a card, where they fill what "
    "one leaves idle. With more copies the policy acts longer before it is updated, so that as many steps "
    "need not reach the same score.",
    "beside": "A ratio holds for its case alone: these networks, this batch, this capacity, one copy of the "
    "environment, this machine; `not_equal` in its line says what differs. It says nothing of how much is learnt in "
    "a step. Where others use the machine too, read the CPU times. Sides that take seeds one after another on a CPU "
    "may take them at once on a card.",
}
"""What not to infer from each part's figures."""


def line(benchmark: str, workload: str, **fields: Any) -> dict[str, Any]:
    """A line of this process, complete and checked; `fields` hold figures, `gflop`, `megabytes` and `ceilings`."""
    where = provenance.collect()
    found = {"schema": SCHEMA, "benchmark": benchmark, "workload": workload, **fields, "provenance": where}
    check(found, f"a line of {benchmark}")
    return found


def figures(found: dict[str, Any]) -> dict[str, float]:
    """What a line measured, by key."""
    return {key: value for key, value in found.items() if unit(key) and _number(value)}


def unit(key: str) -> tuple[str, int] | None:
    """A figure's unit, and whether more (1) or less (-1) is better; None: the key is no figure."""
    ends = [end for end in UNITS if key == end or key.endswith(f"_{end}")]
    return UNITS[max(ends, key=len)] if ends else None


def check(found: Any, where: str) -> None:
    """Raises `UserError` with `where` and what is wrong, where it is not a line of this schema."""
    if not isinstance(found, dict):
        raise UserError(f"{where}: it is no JSON object; a line of fastrl bench is one")
    if "schema" not in found:
        raise UserError(
            f"{where}: it has no schema, so it is older than schema {SCHEMA}; measure again with fastrl bench"
        )
    if found["schema"] != SCHEMA:
        raise UserError(f"{where}: schema {found['schema']!r} is not {SCHEMA}; use the fastrl that wrote it")
    wanted = ("benchmark", "workload", "gflop", "gflop_source", "megabytes", "ceilings", "provenance")
    if absent := [name for name in wanted if name not in found]:
        raise UserError(f"{where}: {absent[0]} is missing; measure again with fastrl bench")
    if found["benchmark"] not in NOT:
        raise UserError(f"{where}: unknown benchmark {found['benchmark']!r}; there are {', '.join(NOT)}")
    for group, names in (("ceilings", CEILINGS), ("provenance", PROVENANCE)):
        if not isinstance(found[group], dict) or (absent := [name for name in names if name not in found[group]]):
            raise UserError(f"{where}: {group} has no {absent[0] if isinstance(found[group], dict) else 'fields'}")
    wrong = [key for key in ("gflop", "megabytes") if found[key] is not None and not _number(found[key])]
    wrong += [key for key, value in found.items() if unit(key) and not _number(value)]
    if wrong:
        raise UserError(f"{where}: {wrong[0]} is {found[wrong[0]]!r}, which is no number")
    if not figures(found):
        raise UserError(f"{where}: it has no figure; keys of figures end in {', '.join(UNITS)}")


def read(paths: Sequence[Path | str]) -> list[dict[str, Any]]:
    """The lines of files, in their order; raises `UserError` with the file and the line's number."""
    found = []
    for path in map(Path, paths):
        try:
            rows = path.read_text().splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{path} cannot be read ({getattr(error, 'strerror', 'not text')}); name a file") from error
        for number, row in enumerate(rows, 1):
            if not row.strip():
                continue
            where = f"{path}, line {number}"
            try:
                value = json.loads(row)
            except ValueError as error:
                raise UserError(f"{where}: it is no JSON; write files with fastrl bench PART --out FILE") from error
            check(value, where)
            found.append(value)
    if not found:
        raise UserError(f"{', '.join(map(str, paths))}: no line in it; measure with fastrl bench PART --out FILE")
    return found


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
