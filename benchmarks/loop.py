"""fastrl bench loop: the whole fine-tuning step on Hopper against its learner and its environment alone.

`kept` is (learner alone + environment alone) / whole loop: what acting, the ring, sampling and bookkeeping leave over.
All three are scans of the same length, timed in turn in one process.
"""

import dataclasses
import json
import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

from fastrl import startup

if __name__ == "__main__":
    startup.prepare()

import jax
import jax.numpy as jnp

from fastrl.benchmarks import flops, schema
from fastrl.benchmarks.ceilings import Ceilings, rates
from fastrl.config import RunOptions
from fastrl.engine import enter, scan, streams
from fastrl.planning import plan as plans
from fastrl.planning.request import Request
from fastrl.recipes import names
from fastrl.replay import ring as replay

LENGTH = 20  # steps of one call
ROUNDS = 5
WARMUP = 1_100  # rows in the ring before the first update


def request(env: str, overrides: Mapping[str, Any], **options: Any) -> Request:
    """SAC from scratch, one seed unless told otherwise; `overrides` of the paper's networks."""
    run = RunOptions(
        **{"seeds": 1, "warmup": WARMUP, "steps": 10 * WARMUP, "eval_every": 1_000, "probe_every": 0, **options}
    )
    return Request("sac", names.find("sac"), env, options=run, overrides=overrides)


def fine_tuning(env: str, overrides: Mapping[str, Any], **options: Any) -> tuple[enter.Plan, Any]:
    """(the plan, a carry at the start of fine-tuning whose ring holds random rows): no warm-up is compiled or run."""
    plan, _ = plans.make(request(env, overrides, **options))
    keys = plan.mesh.spread(plan.keys())
    carry = jax.jit(enter.enter(plan, 0))(keys, plan.mesh.spread(plan.numbers(0)), None, None, None, None)
    rows = jax.random.uniform(jax.random.key(6), carry.ring.rows.shape)  # masks, rewards and actions in [0, 1)
    ring = replay.advance(dataclasses.replace(carry.ring, rows=rows), min(WARMUP, plan.capacity))
    return plan, jax.jit(enter.enter(plan, 1), donate_argnums=2)(
        keys, plan.mesh.spread(plan.numbers(1)), ring, enter.apart(carry)[1], None, None
    )


def timed(function: Callable[[Any], Any], state: Any) -> tuple[float, Any]:
    """(wall seconds of one call, the next state)."""
    start = time.perf_counter()
    state = jax.block_until_ready(function(state))
    return time.perf_counter() - start, state


def measure(env: str = "hopper") -> dict[str, Any]:
    """The benchmark's line."""
    plan, _ = plans.make(request(env, {}))
    keys = streams.seeds(0, 1)
    carry = jax.jit(enter.enter(plan, 0))(keys, plan.numbers(0), None, None, None, None)
    collect = lowered(plan, 0, carry, WARMUP).compile()
    carry = collect(carry, None)
    carry = jax.jit(enter.enter(plan, 1), donate_argnums=2)(keys, plan.numbers(1), *enter.apart(carry), None, None)
    whole = lowered(plan, 1, carry, LENGTH).compile()
    learner, batch = _learner(plan, carry)
    environment, state = _environment(plan)
    agent = jax.tree.map(lambda x: x[0].copy(), carry.seeds.agent)
    times: dict[str, list[float]] = {"loop": [], "learner": [], "environment": []}
    ceilings = Ceilings()
    for _ in range(ROUNDS + 1):  # the first round warms up
        ceilings.round()
        duration, carry = timed(lambda c: whole(c, None), carry)
        times["loop"].append(duration)
        duration, agent = timed(lambda a: learner(a, batch), agent)
        times["learner"].append(duration)
        duration, state = timed(environment, state)
        times["environment"].append(duration)
    medians = {name: statistics.median(values[1:]) / LENGTH * 1e3 for name, values in times.items()}
    shape = flops.Shape(plan.task.spec.obs_size, plan.task.spec.action_size)
    gflop, moved, most = flops.loop_step(shape) / 1e9, flops.loop_bytes(shape) / 1e6, ceilings.found()
    return schema.line(
        "loop",
        env,
        milliseconds=round(medians["loop"], 3),
        learner_milliseconds=round(medians["learner"], 3),
        environment_milliseconds=round(medians["environment"], 3),
        kept=round((medians["learner"] + medians["environment"]) / medians["loop"], 3),
        steps_per_second=round(1e3 / medians["loop"], 1),
        **rates(gflop, moved, medians["loop"], most),
        gflop=round(gflop, 3),
        gflop_source="model (flops.py): the learner's and the policy's products, without the environment's operations",
        megabytes=round(moved, 3),
        ceilings=most,
    )


def lowered(plan: enter.Plan, number: int, carry: Any, length: int) -> Any:
    """`length` steps of a phase, to be compiled: (carry, None) -> carry."""
    program = scan.chunk(plan, number, length, 1_000)
    return jax.jit(program, donate_argnums=0).lower(carry, None)


def _learner(plan: enter.Plan, carry: Any) -> tuple[Any, jax.Array]:
    """`LENGTH` updates on fixed rows of the ring: (agent, rows) -> agent."""
    phase, program = plan.phases[1], scan.program_of(plan, 1)
    numbers = jax.tree.map(lambda x: x[0], carry.seeds.numbers)
    rows = replay.sample(carry.ring, jax.random.split(jax.random.key(2), 1), phase.utd * phase.batch_size)[0]

    def run(agent: Any, rows: jax.Array) -> Any:
        rows = rows.reshape(phase.utd, phase.batch_size, -1)

        def step(agent: Any, xs: tuple[jax.Array, jax.Array]) -> tuple[Any, None]:
            key, time = xs
            return scan.learn(program, agent, numbers, rows, key, time)[0], None

        return jax.lax.scan(step, agent, (jax.random.split(jax.random.key(3), LENGTH), jnp.arange(LENGTH)))[0]

    agent = jax.tree.map(lambda x: x[0], carry.seeds.agent)
    return jax.jit(run, donate_argnums=0).lower(agent, rows).compile(), rows


def _environment(plan: enter.Plan) -> tuple[Any, Any]:
    """`LENGTH` steps of the environment with random actions: (state, key) -> (state, key)."""
    task, env = plan.task, plan.task.env
    assert env is not None

    def run(state: Any) -> Any:
        vector, key = state
        key, chunk_key = jax.random.split(key)

        def step(vector: Any, key: jax.Array) -> tuple[Any, jax.Array]:
            act_key, env_key = jax.random.split(key)
            action = jax.random.uniform(act_key, (1, task.spec.action_size), minval=-1.0)
            vector, outcome = env.step(env_key, vector, action)
            return vector, outcome.step.reward.sum()

        vector, rewards = jax.lax.scan(step, vector, jax.random.split(chunk_key, LENGTH))
        return (vector, key), rewards.sum()

    state = (jax.jit(env.reset)(jax.random.key(4)), jax.random.key(5))
    compiled = jax.jit(run).lower(state).compile()
    return lambda state: compiled(state)[0], state


if __name__ == "__main__":
    startup.start()
    print(json.dumps(measure()))
