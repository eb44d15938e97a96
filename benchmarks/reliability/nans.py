"""python benchmarks/reliability/nans.py: a number of one seed that is not finite.

Three seeds in an environment of the script's own, where at one step the reward of the second seed is NaN, or its
observation infinite, or its reward so large that a loss overflows: in the warm-up and in the fine-tuning of two
recipes. That seed must be frozen, and its log must say at which step and by what; the rows of the ring, the agents and
the log of the other seeds must have the bits of a run in which nothing happened. With `--on-nan stop` the run must end
with the same words instead. No accelerator is used.
"""

import dataclasses
import json
import sys
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fastrl.benchmarks.reliability import common, small
from fastrl.data.datasets import Dataset
from fastrl.engine.run import Diverged
from fastrl.envs import TimeLimit
from fastrl.runs import digests
from fastrl.types import Spec, Step

FIGURE = (
    "A seed with a number that is not finite is frozen at its last good update, with the step and the cause in the "
    "log, and no bit of another seed changes."
)
SEEDS, LOST, STEPS, WARMUP = 3, 1, 60, 20
MOMENTS = {"warmup": 12, "finetune": 33}  # environment steps before the bad one
FAULTS = {"reward": jnp.nan, "observation": jnp.inf, "critic/loss": 1e30}
RECIPES: dict[str, dict[str, Any]] = {
    "sac": {},
    "wsrl": {"pretrain_steps": 20, "cql_actions": 2},
}
SIZES: dict[str, Any] = {"actor_hidden": (8,), "critic_hidden": (8,), "batch_size": 8, "num_critics": 2, "utd": 2}
NOBODY = 2.0
"""A number that no episode has: the same program without its fault, as another one may round otherwise."""
SPEC = Spec("breaks", 1, 1, horizon=2 * STEPS)


@dataclasses.dataclass(frozen=True)
class Breaks:
    """Observes a number that is drawn at the start; the episode of one number breaks at one step, in one way."""

    number: float
    after: int
    fault: str
    spec: Spec = SPEC

    def reset(self, key: jax.Array) -> Any:
        """A number, and the time."""
        draw = jax.random.uniform(key)
        return (draw, jnp.int32(0)), draw[None]

    def step(self, key: jax.Array, state: Any, action: jax.Array) -> Any:
        """The reward is best at an action of 0.5."""
        draw, time = state
        broken = (time == self.after) & (draw == self.number)
        reward = -jnp.square(action[0] - 0.5)
        bad = FAULTS[self.fault]
        obs = jnp.where(broken & (self.fault == "observation"), bad, draw)
        reward = jnp.where(broken & (self.fault != "observation"), bad, reward)
        return (draw, time + 1), Step(obs[None], reward, jnp.bool_(False), jnp.bool_(False))


def dataset() -> Dataset:
    """Ten episodes of random actions, each cut after ten steps."""
    numbers = np.random.default_rng(0)
    obs, action = np.repeat(numbers.uniform(0, 1, (10, 1)), 10, axis=0), numbers.uniform(-1, 1, (100, 1))
    reward, cut = -np.square(action[:, 0] - 0.5), np.arange(100) % 10 == 9
    return Dataset.from_arrays(obs, action, reward, np.ones(100), obs, cut)


def run(recipe: str, env: Breaks, **changed: Any) -> Any:
    """How a run ends in that environment."""
    lengths = {"seeds": SEEDS, "steps": STEPS, "warmup": WARMUP, "eval_every": STEPS, "eval_episodes": 1}
    options = SIZES | RECIPES[recipe] | lengths | {"chunk": 10, "probe_every": 0} | changed
    return small.run(recipe, TimeLimit(env, SPEC.horizon), None if recipe == "sac" else dataset(), **options)[1]


def of_others(outcome: Any) -> dict[str, Any]:
    """Agents, rows and log of the seeds to which nothing happens."""
    others = np.array([seed for seed in range(SEEDS) if seed != LOST])
    kept = lambda tree: {path: np.asarray(leaf)[others].tobytes() for path, leaf in digests.leaves(tree).items()}
    log = [
        {name: [value[seed] for seed in others] if isinstance(value, list) else value for name, value in row.items()}
        for row in outcome.rows
        if row["kind"] != "frozen"
    ]
    rows = np.asarray(outcome.carry.ring.rows)[others]
    return {"agent": kept(outcome.agents), "rows": rows.tobytes(), "log": json.dumps(log)}


def pair(recipe: str, phase: str, fault: str, **changed: Any) -> tuple[Any, Any]:
    """A run in which nothing happens, and the same with a fault."""
    whole = run(recipe, Breaks(NOBODY, MOMENTS[phase], fault))
    number = float(np.asarray(whole.carry.ring.rows)[LOST, 0, 0])
    return whole, run(recipe, Breaks(number, MOMENTS[phase], fault), **changed)


def case(recipe: str, phase: str, fault: str) -> dict[str, Any]:
    """One fault at one moment: what the log says of it, and whether the other seeds are as they were."""
    whole, outcome = pair(recipe, phase, fault)
    frozen = [row for row in outcome.rows if row["kind"] == "frozen"]
    told = {name: frozen[0][name] for name in ("seed", "phase", "at", "what")} if len(frozen) == 1 else {}
    ours, theirs = of_others(outcome), of_others(whole)
    agent = [np.asarray(leaf)[LOST] for leaf in jax.tree.leaves(outcome.agents)]
    return {
        **{"recipe": recipe, "phase": phase, "fault": fault, "told": told},
        "as_it_was": bool(told) and as_injected(told, phase, fault),
        "others_same": {name: ours[name] == theirs[name] for name in ours},
        "finite": all(bool(np.isfinite(leaf).all()) for leaf in agent if leaf.dtype.kind == "f"),
    }


def as_injected(told: dict[str, Any], phase: str, fault: str) -> bool:
    """Whether the log names the seed, the phase, the step and the cause; a large reward is met once it is drawn."""
    first = MOMENTS[phase] + 1 - (0 if phase == "warmup" else WARMUP)
    place = (told["seed"], told["what"].split(", ")[0])
    if fault == "critic/loss":  # whatever overflows first in the update that draws the row
        return told["seed"] == LOST and told["phase"] == "finetune" and told["what"] not in ("reward", "observation")
    return place == (LOST, fault) and told["phase"] == phase and told["at"] == first


def stopped(recipe: str) -> dict[str, Any]:
    """The words with which a run ends that shall not go on."""
    try:
        pair(recipe, "warmup", "reward", on_nan="stop")
    except Diverged as error:
        return {"recipe": recipe, "on_nan": "stop", "said": str(error), "ok": f"seed {LOST}" in str(error)}
    return {"recipe": recipe, "on_nan": "stop", "said": "", "ok": False}


def counted(cases: list[dict[str, Any]], stops: list[dict[str, Any]]) -> tuple[dict[str, Any], bool]:
    """What the cases add up to."""
    counts = {
        "faults": len(cases),
        "told_as_they_were": sum(each["as_it_was"] for each in cases),
        "others_with_the_same_bits": sum(all(each["others_same"].values()) for each in cases),
        "finite_agents": sum(each["finite"] for each in cases),
    }
    return counts, len(cases) > 0 and set(counts.values()) == {len(cases)} and all(each["ok"] for each in stops)


def main() -> int:
    """Each recipe, moment and fault."""
    found = common.parser("nans", __doc__).parse_args()
    small.prepare()
    started, cases, stops = time.monotonic(), [], []
    for recipe in RECIPES:
        for phase in MOMENTS:
            for fault in FAULTS:
                cases.append(case(recipe, phase, fault))
                print(json.dumps(cases[-1]), flush=True)
        stops.append(stopped(recipe))
        print(json.dumps(stops[-1]), flush=True)
    counts, passed = counted(cases, stops)
    return common.write(found.json, FIGURE, counts, passed, [*cases, *stops], started)


if __name__ == "__main__":
    sys.exit(main())
