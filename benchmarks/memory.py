"""fastrl bench memory: peak memory of a run whose ring holds one million Hopper rows, against what it must hold.

`ratio` is the growth of the process's peak resident memory over (ring + dataset + networks with their optimisers),
from just before the first array to the end of a chunk of fine-tuning; `program_ratio` is the same from XLA's own
accounting of the fine-tuning program (arguments + temporaries + outputs that alias nothing). Everything runs twice:
`with_code_ratio` is the first time, when the programs' code comes into memory too, `ratio` the second.
"""

import gc
import json
from pathlib import Path
from typing import Any

from fastrl.cli.main import prepare

if __name__ == "__main__":
    prepare()

import jax
import numpy as np

from fastrl import startup
from fastrl.benchmarks import schema
from fastrl.benchmarks.ceilings import Ceilings
from fastrl.config import RunOptions
from fastrl.data.datasets import Dataset
from fastrl.engine import enter, scan, streams
from fastrl.engine.run import upload
from fastrl.planning import plan as plans
from fastrl.planning.request import Request
from fastrl.recipes import names

ROWS = 1_000_000
DATA = 100_000
LENGTH = 10


def dataset(rows: int, obs: int, action: int) -> Dataset:
    """Random rows of Hopper's sizes."""
    rng = np.random.default_rng(0)
    return Dataset.from_arrays(
        rng.normal(size=(rows, obs)),
        rng.uniform(-1, 1, size=(rows, action)),
        rng.normal(size=rows),
        np.ones(rows),
        rng.normal(size=(rows, obs)),
        boundary=np.arange(rows) % 1000 == 999,
    )


def size(tree: Any) -> int:
    """Bytes of all arrays of a tree."""
    return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(tree) if hasattr(x, "itemsize"))


def resident(field: str) -> int:
    """VmRSS or VmHWM (peak) of this process, bytes (Linux)."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024


def measure() -> dict[str, Any]:
    """The benchmark's line."""
    data = dataset(DATA, 11, 3)
    options = RunOptions(
        seeds=1, warmup=5_000, steps=ROWS, capacity=ROWS, eval_every=1_000, retention="mixed", offline_ratio=0.5
    )
    plan, _ = plans.make(Request("rlpd", names.find("rlpd"), "hopper", dataset=data, options=options))
    rows = jax.eval_shape(lambda: upload(plan))
    programs = {n: _program(plan, n, rows) for n in range(2)}
    entries = {n: _entry(plan, n, rows) for n in range(2)}
    keys = jax.block_until_ready(streams.seeds(0, 1))
    first, needed = _growth(plan, entries, programs, keys)
    peak, _ = _growth(plan, entries, programs, keys)
    analysis = programs[1].memory_analysis()
    program = analysis.argument_size_in_bytes + analysis.temp_size_in_bytes
    program += analysis.output_size_in_bytes - analysis.alias_size_in_bytes
    ceilings = Ceilings()
    ceilings.round()
    return schema.line(
        "memory",
        f"hopper, ring of {ROWS} rows",
        needed_mb=round(needed / 1e6, 1),
        peak_mb=round(peak / 1e6, 1),
        ratio=round(peak / needed, 3),
        with_code_ratio=round(first / needed, 3),
        program_ratio=round(program / needed, 3),
        gflop=None,
        gflop_source="none: it is memory that is measured",
        megabytes=None,
        ceilings=ceilings.found(),
    )


def _growth(plan: enter.Plan, entries: dict[int, Any], programs: dict[int, Any], keys: Any) -> tuple[int, int]:
    """(growth of the peak over a run of both phases, what the run cannot do without), bytes."""
    gc.collect()
    startup.return_free_memory()
    Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    before = resident("VmRSS")
    needed = _run(plan, entries, programs, keys)
    return resident("VmHWM") - before, needed


def _run(plan: enter.Plan, entries: dict[int, Any], programs: dict[int, Any], keys: Any) -> int:
    """Both phases, as the engine runs them; bytes of what they cannot do without."""
    on_device, carry = upload(plan), None
    for number, program in programs.items():
        entered = entries[number](keys, plan.numbers(number), *enter.apart(carry), None, on_device)
        carry = jax.block_until_ready(entered)
        startup.return_free_memory()
        carry = jax.block_until_ready(program(carry, on_device))
    assert carry is not None
    return size((carry.ring, carry.seeds.agent, on_device))


def _program(plan: enter.Plan, number: int, rows: Any) -> Any:
    program = scan.chunk(plan, number, LENGTH, 1_000)
    return jax.jit(program, donate_argnums=0).lower(enter.template(plan, number, rows), rows).compile()


def _entry(plan: enter.Plan, number: int, rows: Any) -> Any:
    keys = jax.eval_shape(lambda: streams.seeds(0, 1))
    before = enter.template(plan, number - 1, rows) if number else None
    entry = jax.jit(enter.enter(plan, number), donate_argnums=2)
    return entry.lower(keys, plan.numbers(number), *enter.apart(before), None, rows).compile()


if __name__ == "__main__":
    print(json.dumps(measure()))
