"""fastrl bench replay: a ring of a million Hopper rows: one row in and 1,024 rows out, microseconds.

One row goes into each seed's ring and 1,024 come out of it, uniformly, in a compiled scan, for 1 seed and for 8 side by
side; the scan hands on what was drawn, so that all of it is written. `megabytes` is what must move, by hand: each row
that is written or drawn is read once and written once.
"""

import json
import statistics
import sys
from collections.abc import Callable
from typing import Any

from fastrl import startup

if __name__ == "__main__":
    startup.prepare()

import jax
import jax.numpy as jnp

from fastrl.benchmarks import schema
from fastrl.benchmarks.ceilings import Ceilings, seconds
from fastrl.replay import ring as rings

OBS, ACTION = 11, 3  # Hopper's
ROWS = 1_000_000
DRAWN = 1_024
LENGTH = 500  # inserts and draws of one call
ROUNDS = 7


def megabytes(seeds: int) -> float:
    """What one insert and one draw must move, each float32 read and written once."""
    return seeds * (1 + DRAWN) * rings.width(OBS, ACTION) * 4 * 2 / 1e6


def program(length: int) -> Callable[[rings.Ring, jax.Array], tuple[rings.Ring, jax.Array]]:
    """`(ring, key) -> (ring, the rows drawn last)`, `length` inserts and draws later."""

    def run(ring: rings.Ring, key: jax.Array) -> tuple[rings.Ring, jax.Array]:
        seeds, _, width = ring.rows.shape

        def step(both: tuple[rings.Ring, jax.Array], keys: jax.Array) -> tuple[tuple[rings.Ring, jax.Array], None]:
            ring, _ = both
            row = jnp.full((seeds, 1, width), 1.0) * ring.pointer
            ring = rings.advance(rings.insert(ring, row), 1)
            return (ring, rings.sample(ring, keys, DRAWN)), None

        keys = jax.random.split(key, (length, seeds))
        return jax.lax.scan(step, (ring, jnp.zeros((seeds, DRAWN, width))), keys)[0]

    return run


def measure(seeds: int) -> dict[str, Any]:
    """The benchmark's line for so many seeds."""
    ring = rings.create(seeds, ROWS, OBS, ACTION)
    ring = rings.advance(ring, ROWS)  # full of zeros
    key = jax.random.key(0)
    compiled = jax.jit(program(LENGTH), donate_argnums=0).lower(ring, key).compile()
    ring, _ = jax.block_until_ready(compiled(jax.tree.map(jnp.copy, ring), key))
    ceilings, times = Ceilings(), []
    for number in range(ROUNDS):
        ceilings.round()
        duration, (ring, _) = seconds(lambda: compiled(ring, jax.random.key(number)))
        times.append(duration / LENGTH * 1e6)
    moved, took, most = megabytes(seeds), statistics.median(times), ceilings.found()
    rate = moved / took * 1e3
    return schema.line(
        "replay",
        f"insert 1, draw {DRAWN}, {seeds} seed{'s' * (seeds > 1)}",
        microseconds=round(took, 2),
        best_microseconds=round(min(times), 2),
        gigabytes_per_second=round(rate, 2),
        copy_fraction=round(rate / most["copy_gigabytes_per_second"], 3),
        rows=ROWS,
        seeds=seeds,
        gflop=None,
        gflop_source="none: it only moves numbers",
        megabytes=round(moved, 5),
        ceilings=most,
    )


if __name__ == "__main__":
    startup.start()
    for word in sys.argv[1:] or ("1", "8"):
        print(json.dumps(measure(int(word))), flush=True)
