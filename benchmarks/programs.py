"""The `compile` part of fastrl bench all: Hopper's fine-tuning program, counted as its compiler made it.

`python -m fastrl.benchmarks.programs here` compiles for this machine and counts in the same way as `fastrl bench
compile` does for a target; any other word is such a target. Seeds are side by side, one of them.
"""

import json
import sys
import time
from typing import Any

from fastrl.benchmarks import compile as compilers

if __name__ == "__main__":
    from fastrl import startup

    if sys.argv[1] == "here":
        startup.prepare()
    else:
        compilers.prepare(sys.argv[1])

import jax

from fastrl.benchmarks import ahead, loop, schema
from fastrl.benchmarks.ceilings import Ceilings

ENV = "hopper"
KEPT = ("kernels", "copies", "decisions", "compile_seconds")


def here() -> dict[str, Any]:
    """Counts of the program for this machine."""
    plan, carry = loop.fine_tuning(ENV, {}, map_seeds="vmap", capacity=ahead.STEPS)
    lowered = loop.lowered(plan, 1, carry, ahead.LENGTH)
    start = time.perf_counter()
    compiled = lowered.compile()
    took = time.perf_counter() - start
    memory = compiled.memory_analysis()
    counted = ahead.counts(compiled.as_text(), carry.ring.rows.size)
    return {"compile_seconds": round(took, 1), "temporary_bytes": memory.temp_size_in_bytes, **counted}


def measure(target: str) -> dict[str, Any]:
    """The benchmark's line."""
    seeds = 8 if ":" in target else 1
    found = here() if target == "here" else ahead.measure(target, ENV, "sac", seeds)
    ceilings = Ceilings()
    ceilings.round()
    name = jax.default_backend() if target == "here" else target
    return schema.line(
        "compile",
        f"{ENV}, {seeds} seed{'s' * (seeds > 1)}, {name}",
        **{key: found[key] for key in KEPT},
        collectives=sum(found["collectives"].values()),
        ring_copies=found["ring_copies"],
        temporary_mb=round(found["temporary_bytes"] / 1e6, 2),
        step=found["step"],
        gflop=None,
        gflop_source="none: the program is counted and does not run",
        megabytes=None,
        ceilings=ceilings.found(),
    )


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1])))
