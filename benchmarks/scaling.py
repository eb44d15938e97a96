"""fastrl bench scaling: environment steps a second of the whole loop, by seeds and by copies of the environment.

Fine-tuning on Hopper as `fastrl run sac` does it, small networks, an update for every environment step: 1, 2, 4, 8
seeds (on a card 64 and 256 too) of one copy each, and one seed of 1, 64 and 512 copies. One line for each.
"""

import json
import statistics
from collections.abc import Iterator
from typing import Any

from fastrl import startup

if __name__ == "__main__":
    startup.prepare()

import jax

from fastrl.benchmarks import flops, loop, schema
from fastrl.benchmarks.ceilings import Ceilings, rates

SMALL: dict[str, Any] = {
    "num_critics": 2,
    "batch_size": 64,
    "utd": 1,
    "actor_hidden": (64, 64),
    "critic_hidden": (64, 64),
}
SHAPE = flops.Shape(11, 3, critics=2, width=64, actor_width=64, batch=64, utd=1)
SEEDS, MORE_SEEDS, COPIES = (1, 2, 4, 8), (64, 256), (64, 512)
RUN: dict[str, Any] = {"warmup": 1_024, "steps": 102_400, "capacity": 100_000}  # of a seed; multiples of all copies
CALL = 0.25  # seconds of one call, about
ROUNDS = 4


def measure(env: str = "hopper") -> Iterator[dict[str, Any]]:
    """The benchmark's lines."""
    ceilings = Ceilings()
    card = jax.default_backend() != "cpu"
    points = [(seeds, 1) for seeds in (*SEEDS, *(MORE_SEEDS if card else ()))] + [(1, copies) for copies in COPIES]
    for seeds, copies in points:
        yield point(env, seeds, copies, ceilings)


def point(env: str, seeds: int, copies: int, ceilings: Ceilings) -> dict[str, Any]:
    """One line: so many seeds, each of so many copies."""
    plan, carry = loop.fine_tuning(env, SMALL, seeds=seeds, num_envs=copies, **RUN)
    length = max(2, round(CALL * 5_000 / (seeds * copies)))
    compiled = loop.lowered(plan, 1, carry, length).compile()
    _, carry = loop.timed(lambda c: compiled(c, None), carry)
    times = []
    for number in range(ROUNDS):
        if number % 2 == 0:
            ceilings.round()
        duration, carry = loop.timed(lambda c: compiled(c, None), carry)
        times.append(duration / length * 1e3)
    took = statistics.median(times)
    gflop, moved = (
        seeds * copies * count(SHAPE) / scale for count, scale in ((flops.loop_step, 1e9), (flops.loop_bytes, 1e6))
    )
    most = ceilings.found()
    return schema.line(
        "scaling",
        f"{env}, {seeds} seed{'s' * (seeds > 1)} of {copies} cop{'y' if copies == 1 else 'ies'}",
        milliseconds=round(took, 4),
        steps_per_second=round(seeds * copies / took * 1e3, 1),
        seeds=seeds,
        environments=copies,
        **rates(gflop, moved, took, most),
        gflop=float(f"{gflop:.5g}"),
        gflop_source="model (flops.py): the learner's and the policy's products, without the environment's operations",
        megabytes=float(f"{moved:.5g}"),
        ceilings=most,
    )


if __name__ == "__main__":
    startup.start()
    for found in measure():
        print(json.dumps(found), flush=True)
