"""What diagnostics cost: one row of them, compiled, beside the steps of fine-tuning between two rows.

`python -m fastrl.benchmarks.probes` prints a JSON line for each workload. The share is of the default interval, that of
evaluations; evaluations themselves are not counted.
"""

import json
import sys
from typing import Any

from fastrl import startup

if __name__ == "__main__":
    startup.prepare()

import jax
import jax.numpy as jnp
import numpy as np

from fastrl.benchmarks import loop
from fastrl.engine import probes, scan
from fastrl.replay import ring as rings

REPEATS = 7
STEPS = 20  # of fine-tuning, timed together
WORKLOADS: dict[str, dict[str, Any]] = {
    "small": {"actor_hidden": (64, 64), "critic_hidden": (64, 64), "num_critics": 5, "batch_size": 64},
    "paper": {},
}


def measure(name: str, env: str = "hopper") -> dict[str, Any]:
    """Milliseconds of a row of diagnostics and of a step, and the share of the former at the default interval."""
    plan, carry = loop.fine_tuning(env, WORKLOADS[name])
    carry = jax.tree.map(jnp.copy, carry)
    data = jax.random.uniform(
        jax.random.key(1), (10_000, rings.width(plan.task.spec.obs_size, plan.task.spec.action_size))
    )
    program = probes.program(plan, 1)
    assert program is not None
    row = jax.jit(program)
    arguments = (carry.seeds.agent, carry.seeds.agent, carry.ring, data, plan.keys(), jnp.int32(0), jnp.int32(0))
    row(*arguments)
    steps = jax.jit(scan.chunk(plan, 1, STEPS, STEPS))
    steps(carry, None)
    times = [
        (loop.timed(lambda _: row(*arguments), None)[0], loop.timed(lambda c: steps(c, None), carry)[0])
        for _ in range(REPEATS)
    ]
    probe, step = np.median(np.array(times), 0) * 1e3 / np.array([1, STEPS])
    interval = 20_000 if name == "paper" else 300
    return {
        **{"benchmark": "probes", "workload": name, "env": env, "row_milliseconds": round(float(probe), 2)},
        **{"step_milliseconds": round(float(step), 3), "interval": interval},
        "share": round(float(probe / (probe + interval * step)), 6),
    }


if __name__ == "__main__":
    startup.start()
    for workload in sys.argv[1:] or WORKLOADS:
        print(json.dumps(measure(workload)))
