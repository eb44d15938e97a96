"""Small runs in this process and in memory, for the scripts that compare bits of what one call of the library made."""

import hashlib
import io
import json
from typing import Any

import numpy as np

from fastrl import startup
from fastrl.benchmarks.reliability import common
from fastrl.data.datasets import Dataset
from fastrl.engine import run as engine
from fastrl.engine.plan import Plan
from fastrl.planning import asked
from fastrl.planning import plan as plans
from fastrl.runs import digests
from fastrl.runs.progress import Progress


def prepare() -> None:
    """Starts jax on the CPU as the command does."""
    startup.prepare()
    startup.start()


def dataset(rows: int = 100) -> Dataset:
    """Random actions in `probe-action`, episodes of one step."""
    action = np.random.default_rng(0).uniform(-1, 1, (rows, 1))
    obs, ends = np.zeros((rows, 1)), np.ones(rows, bool)
    return Dataset.from_arrays(obs, action, -((action[:, 0] - 0.5) ** 2), ~ends, obs, ends)


def options(recipe: str, steps: int) -> dict[str, Any]:
    """Those of the command's small runs for `fastrl.run`, with that many steps a phase."""
    words = {**common.SIZES, **common.RECIPES[recipe]}
    found = {name.replace("-", "_"): (int(value),) if "hidden" in name else value for name, value in words.items()}
    phases = ("warmup", "reevaluate_steps", "align_steps")
    return found | {name: steps for name in phases if name in found} | {"pretrain_steps": steps, "steps": 2 * steps}


def run(recipe: str, env: Any, data: Dataset | None, **options: Any) -> tuple[Plan, engine.Outcome]:
    """What `fastrl.run` does, with the plan and the whole carry at its end."""
    request = asked.recipe(
        recipe, env=env, dataset=data, start=None, env_options={}, sweep={}, domain=None, options=options
    )
    plan, _ = plans.make(request)
    return plan, engine.run(plan, None, Progress(io.StringIO()))


def end(outcome: engine.Outcome) -> dict[str, str]:
    """How it ended: SHA-256 of the whole carry, of the agents and of the log."""
    log = hashlib.sha256(json.dumps(outcome.rows).encode()).hexdigest()
    return {"carry": digests.total(outcome.carry), "agent": digests.total(outcome.agents), "log": log}
