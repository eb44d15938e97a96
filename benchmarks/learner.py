"""python benchmarks/learner.py [WORKLOAD ...] times whole learner updates and prints one JSON line each.

A unit is one `update`: U critic updates and one actor update, several of them scanned in one jitted, donated call on
random rows. `sgemm_fraction` is the achieved rate over that of a float32 2048^3 product timed in the same process
between the same calls (`ceilings`); `flops` counts operations and bytes. `calql` puts the penalty on all ten critics;
`calql_subset` is the released code's algorithm, which penalises two, and is counted so.
"""

import json
import statistics
import sys
import time
from typing import Any

from fastrl import startup

if __name__ == "__main__":
    startup.prepare()

import jax
import jax.numpy as jnp

from fastrl.algorithms import rows
from fastrl.benchmarks import schema
from fastrl.benchmarks.ceilings import Ceilings, rates
from fastrl.benchmarks.flops import Shape, learner_bytes, learner_step
from fastrl.config import ActorCritic
from fastrl.methods import SAC, CalQL
from fastrl.types import Algorithm, Clock, Spec, Transition

SMALL: dict[str, Any] = {"actor_hidden": (64, 64), "critic_hidden": (64, 64), "num_critics": 5, "batch_size": 128}
CONFIGS: dict[str, ActorCritic] = {
    "locomotion": SAC(),
    "antmaze": SAC(critic_hidden=(256,) * 4, backup="max_actions", std="uniform"),
    "calql": CalQL(penalized="all"),
    "calql_subset": CalQL(),
    "small": SAC(**SMALL),
}
CALQL = {"utd": 1, "candidates": 30, "targets": 10}  # targets: 10 critics or 2 x 10 actions are 1 % apart
SHAPES = {
    "locomotion": Shape(17, 6),
    "antmaze": Shape(29, 8, critic_layers=4, heads=1, backup_actions=10),
    "calql": Shape(17, 6, **CALQL),
    "calql_subset": Shape(17, 6, penalized=2, **CALQL),
    "small": Shape(17, 6, critics=5, width=64, actor_width=64, batch=128),
}
ROUNDS = 7  # alternations of learner and product
SECONDS = 1.0  # of one learner call, about


def transitions(shape: Shape, key: jax.Array) -> Transition:
    """Random rows [U, B]."""
    keys = jax.random.split(key, 5)
    rows = (shape.utd, shape.batch)
    return Transition(
        obs=jax.random.normal(keys[0], (*rows, shape.obs)),
        action=jax.random.uniform(keys[1], (*rows, shape.act), minval=-1.0),
        reward=jax.random.normal(keys[2], rows),
        mask=jnp.ones(rows),
        next_obs=jax.random.normal(keys[3], (*rows, shape.obs)),
        mc_return=jax.random.normal(keys[4], rows),
        last=jnp.zeros(rows),
    )


def learner(algorithm: Algorithm, count: int) -> Any:
    """`count` updates as one compiled call that reuses the state's memory."""

    def run(state: Any, batches: Transition, key: jax.Array) -> Any:
        def body(state: Any, xs: tuple[jax.Array, jax.Array]) -> Any:
            key, call = xs
            return algorithm.update(state, batches, key, Clock(call, call))

        state, metrics = jax.lax.scan(body, state, (jax.random.split(key, count), jnp.arange(count)))
        return state, metrics["actor/loss"].mean()

    return jax.jit(run, donate_argnums=0)


def measure(workload: str) -> dict[str, Any]:
    """The benchmark's line for one workload."""
    shape = SHAPES[workload]
    algorithm = CONFIGS[workload].build(Spec(workload, shape.obs, shape.act, 1000))
    batches, key = transitions(shape, jax.random.key(2)), jax.random.key(3)
    gflop = learner_step(shape) / 1e9
    count = max(2, round(SECONDS * 60 / gflop))
    run = learner(algorithm, count).lower(algorithm.init(key), batches, key)
    start = time.perf_counter()
    compiled = run.compile()
    compile_seconds = time.perf_counter() - start
    state, _ = compiled(algorithm.init(key), batches, key)
    ceilings, step, cpu = Ceilings(), [], []
    for _ in range(ROUNDS):
        ceilings.round()
        before, start = time.process_time(), time.perf_counter()
        state, loss = compiled(state, batches, key)
        jax.block_until_ready(loss)
        step.append((time.perf_counter() - start) / count)
        cpu.append((time.process_time() - before) / count)
    ceilings.round()
    most, milliseconds, moved = ceilings.found(), statistics.median(step) * 1e3, learner_bytes(shape) / 1e6
    return schema.line(
        "learner",
        workload,
        milliseconds=round(milliseconds, 3),
        best_milliseconds=round(min(step) * 1e3, 3),
        **rates(gflop, moved, milliseconds, most),
        cpu_seconds=round(statistics.median(cpu), 5),
        compile_seconds=round(compile_seconds, 2),
        updates_per_call=count,
        rows_of_a_piece=rows.most(1),
        finite=bool(jnp.isfinite(loss)),
        gflop=round(gflop, 3),
        gflop_source="model (flops.py): products of matrices alone",
        megabytes=round(moved, 3),
        ceilings=most,
    )


if __name__ == "__main__":
    for name in sys.argv[1:] or CONFIGS:
        print(json.dumps(measure(name)), flush=True)
