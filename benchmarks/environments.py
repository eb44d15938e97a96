"""fastrl bench env: environment steps per CPU-second, ours beside C and beside MJX with the untouched model.

`python benchmarks/environments.py NAME` prints one JSON line. Its figures begin with `ours_B`: B copies in one compiled
scan and random actions; `stock_64`: MJX on Gymnasium's own file (its solver's limits, every contact slot), and
`over_stock_64` how many times as fast ours is; `gymnasium`: one environment of C in a Python loop; `rollout`: C's own
batched loop (`mujoco.rollout`, one thread). CPU-seconds count all threads, so a busy machine changes them little.
"""

import argparse
import importlib.resources
import json
import time
from collections.abc import Callable, Sequence
from typing import Any

from fastrl import startup

if __name__ == "__main__":
    startup.prepare()

import gymnasium
import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from mujoco import rollout

from fastrl.benchmarks import schema
from fastrl.benchmarks.ceilings import Ceilings
from fastrl.envs import Vector, make
from fastrl.envs.mjx import mjx  # imported there without its noise

COPIES = (1, 64, 512)
SECONDS = 4.0  # CPU time of one measurement, about
IDS = {"halfcheetah": "HalfCheetah", "hopper": "Hopper", "walker2d": "Walker2d", "ant": "Ant"}
FILES = {"halfcheetah": "half_cheetah", "hopper": "hopper", "walker2d": "walker2d_v5", "ant": "ant"}


def rate(run: Callable[[Any], Any], state: Any, steps: int) -> float:
    """Steps per CPU-second of `run(state) -> state`, `steps` environment steps a call; the first call warms up."""
    state = jax.block_until_ready(run(state))
    start, calls = time.process_time(), 0
    while calls < 2 or time.process_time() - start < SECONDS:
        state = jax.block_until_ready(run(state))
        calls += 1
    return calls * steps / (time.process_time() - start)


def compiled(function: Callable[[Any], Any], state: Any) -> tuple[Any, float]:
    """The compiled function and what compiling cost, CPU-seconds."""
    lowered = jax.jit(function).lower(state)
    start = time.process_time()
    return lowered.compile(), time.process_time() - start


def length(copies: int) -> int:
    """Steps of one scan."""
    return {1: 100, 64: 20}.get(copies, 5)


def stepping(name: str, copies: int) -> tuple[Callable[[Any], Any], Any]:
    """(`length(copies)` steps of our environment with auto-reset and random actions, a state to begin with)."""
    env = Vector(make(name), copies)
    spec = env.spec
    low, high = (jnp.broadcast_to(jnp.asarray(x, float), spec.action_size) for x in (spec.action_low, spec.action_high))

    def step(carry: Any, _: None) -> Any:
        state, key = carry
        key, act_key, env_key = jax.random.split(key, 3)
        action = jax.random.uniform(act_key, (copies, spec.action_size), minval=low[None], maxval=high[None])
        state, outcome = env.step(env_key, state, action)
        return (state, key), outcome.step.reward.sum()

    def run(carry: Any) -> Any:
        carry, rewards = jax.lax.scan(step, carry, None, length=length(copies))
        return carry, rewards.sum()

    return run, (jax.jit(env.reset)(jax.random.key(0)), jax.random.key(1))


def ours(name: str, copies: int) -> tuple[float, float]:
    """(steps per CPU-second, compile CPU-seconds) of our environment."""
    run, state = stepping(name, copies)
    program, seconds = compiled(run, state)
    return rate(lambda carry: program(carry)[0], state, copies * length(copies)), seconds


def stock(name: str, copies: int, frame_skip: int) -> tuple[float, float]:
    """The same of MJX as it is: Gymnasium's file untouched, `mjx.step`, no observation and no reset."""
    assets = importlib.resources.files("gymnasium") / "envs" / "mujoco" / "assets"
    model = mjx.put_model(mujoco.MjModel.from_xml_string((assets / f"{FILES[name]}.xml").read_text()))
    data = mjx.make_data(model)

    def step(carry: Any, _: None) -> Any:
        data, key = carry
        key, act_key = jax.random.split(key)
        data = data.replace(ctrl=jax.random.uniform(act_key, (copies, model.nu), minval=-1.0))
        advance = jax.vmap(lambda d: mjx.step(model, d))
        data = jax.lax.fori_loop(0, frame_skip, lambda _, d: advance(d), data)
        return (data, key), None

    batch = jax.tree.map(lambda x: jnp.repeat(x[None], copies, 0), data)
    state = (batch, jax.random.key(1))
    steps = max(1, length(copies) // 4)
    program, seconds = compiled(lambda carry: jax.lax.scan(step, carry, None, length=steps)[0], state)
    return rate(program, state, copies * steps), seconds


def in_c(name: str) -> tuple[float, float, int]:
    """(Gymnasium's loop, `mujoco.rollout` of 512 copies: steps per CPU-second; physics steps a step)."""
    env: Any = gymnasium.make(f"{IDS[name]}-v5")
    env.reset(seed=0)
    actions = np.random.default_rng(0).uniform(
        env.action_space.low, env.action_space.high, (500, env.action_space.shape[0])
    )

    def loop(state: None) -> None:
        for action in actions:
            _, _, terminated, truncated, _ = env.step(action)
            if terminated or truncated:
                env.reset()

    model, data = env.unwrapped.model, env.unwrapped.data
    frame_skip = env.unwrapped.frame_skip
    states = np.zeros((512, mujoco.mj_stateSize(model, mujoco.mjtState.mjSTATE_FULLPHYSICS)))
    mujoco.mj_resetData(model, data)
    mujoco.mj_getState(model, data, states[0], mujoco.mjtState.mjSTATE_FULLPHYSICS)
    states[:] = states[0]
    control = np.repeat(np.random.default_rng(0).uniform(-1, 1, (512, 5, model.nu)), frame_skip, axis=1)

    def batched(state: None) -> None:
        rollout.rollout(model, mujoco.MjData(model), states, control)

    return rate(loop, None, len(actions)), rate(batched, None, 512 * 5), frame_skip


def measure(name: str, counts: Sequence[int] = COPIES) -> dict[str, Any]:
    """The benchmark's line, for so many copies each."""
    ceilings = Ceilings()
    fields: dict[str, Any] = {}
    for copies in counts:
        ceilings.round()
        speed, took = ours(name, copies)
        fields |= {
            f"ours_{copies}_steps_per_cpu_second": round(speed),
            f"ours_{copies}_compile_cpu_seconds": round(took, 1),
        }
    ceilings.round()
    most, (gflop, moved) = ceilings.found(), work(name, counts[-1])
    fields["gflops"] = float(f"{gflop * speed:.3g}")
    if name in IDS:
        c, batched, frame_skip = in_c(name)
        fields |= {"gymnasium_steps_per_cpu_second": round(c), "rollout_steps_per_cpu_second": round(batched)}
    if name in IDS and 64 in counts:
        speed, took = stock(name, 64, frame_skip)
        fields |= {"stock_64_steps_per_cpu_second": round(speed), "stock_64_compile_cpu_seconds": round(took, 1)}
        fields["over_stock_64_times"] = round(fields["ours_64_steps_per_cpu_second"] / speed, 2)
    return schema.line(
        "env",
        name,
        **fields,
        gflop=float(f"{gflop:.4g}"),
        gflop_source=f"XLA's cost_analysis of {counts[-1]} copies' step, the body of a loop within it once",
        megabytes=float(f"{moved:.4g}"),
        ceilings=most,
    )


def work(name: str, copies: int) -> tuple[float, float]:
    """(GFLOP, MB) of one copy's step: what XLA counts before it compiles, and the state read and written."""
    run, carry = stepping(name, copies)
    counted: Any = jax.jit(run).lower(carry).cost_analysis()
    held = sum(x.nbytes for x in jax.tree.leaves(carry[0]))
    return counted["flops"] / copies / 1e9, 2 * held / copies / 1e6  # a loop's body counts once: of one step


def main() -> None:
    """A line for each environment."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="+", help=f"{', '.join(IDS)}, or any other environment (ours alone)")
    parser.add_argument("--copies", type=int, nargs="+", default=COPIES, metavar="N", help="of the environment")
    found = parser.parse_args()
    for word in found.names:
        print(json.dumps(measure(word, found.copies)), flush=True)


if __name__ == "__main__":
    main()
