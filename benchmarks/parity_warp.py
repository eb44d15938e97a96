"""Parity with C MuJoCo of the tasks stepped by MJX's Warp implementation on Warp's CPU device, one JSON line each.

    python benchmarks/parity_warp.py halfcheetah hopper walker2d ant

Needs the extra `warp`. The rows are those of `parity.py` without `--states`: each is set in both simulators and
stepped once, in float32. Everything but the device is what `--env-option backend=warp` runs on a GPU: MJX's calls
of Warp from compiled JAX code, the kernels, the task. CUDA's own kernels (tiles of several threads) are not run here.
"""

import argparse
import dataclasses
import json
from typing import Any

import jax

from fastrl.benchmarks import parity
from fastrl.envs import make, warp


def task(name: str) -> Any:
    """Our task with its robot stepped by Warp, on whatever device jax has."""
    timed: Any = make(name)
    robot = timed.env.simulator
    simulator = warp.Simulator(robot.mj_model, robot.frame_skip, getattr(timed.env, "forces", False))
    return dataclasses.replace(timed, env=dataclasses.replace(timed.env, simulator=simulator))


def measure(name: str, steps: int) -> dict[str, Any]:
    """The errors of `steps` single steps from C's states."""
    rows = parity.from_c(name, steps, exact=False)
    obs, reward, mismatches = parity.apart(jax.jit(jax.vmap(parity.one_step(task(name)))), rows)
    return {
        "env": name,
        "backend": "warp",
        "device": jax.default_backend(),
        "behaviour": "random",
        "steps": steps,
        "terminations": int(rows["terminated"].sum()),
        "most_contacts": int(rows["contacts"].max()),
        "float32": {
            "observation_error": parity.quantiles(obs),
            "reward_error": parity.quantiles(reward),
            "termination_mismatches": mismatches,
        },
    }


def main() -> None:
    """Prints one JSON line an environment."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("envs", nargs="+", choices=parity.LOCOMOTION)
    parser.add_argument("--steps", type=int, default=3000)
    options = parser.parse_args()
    for name in options.envs:
        print(json.dumps(measure(name, options.steps)), flush=True)


if __name__ == "__main__":
    main()
