"""python benchmarks/reliability/nans.py: a number of one seed that is not finite.

Three seeds in an environment of the script's own, where at one step the reward of the second seed is NaN, or its
observation infinite, or its reward so large that a loss overflows: at three steps of the warm-up and the fine-tuning of
two recipes. The log must say at which step and by what that seed was frozen, and its agent must have the bits that it
had before that step in a run in which nothing happened; the rows of the ring, the agents and the log of the other seeds
must have the bits of that run's end. With `--on-nan stop` the run must end with the same words instead. No accelerator
is used.
"""

import dataclasses
import functools
import hashlib
import json
import sys
import time
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np

from fastrl.benchmarks.reliability import common, small
from fastrl.data.datasets import Dataset
from fastrl.engine.run import Diverged, Driver
from fastrl.envs import TimeLimit
from fastrl.runs import digests
from fastrl.types import Spec, Step

FIGURE = (
    "A seed with a number that is not finite is frozen at its last good update, with the step and the cause in the "
    "log, and no bit of another seed changes."
)
SEEDS, LOST, STEPS, WARMUP = 3, 1, 60, 20
MOMENTS = (0, 12, 33)  # environment steps before the bad one: the first of all, and two inside calls of both phases
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
    """How a run ends in that environment; a call of the scan has ten steps."""
    lengths = {"seeds": SEEDS, "steps": STEPS, "warmup": WARMUP, "eval_every": 100, "eval_episodes": 1}
    options = SIZES | RECIPES[recipe] | lengths | {"chunk": 10, "probe_every": 0} | changed
    return small.run(recipe, TimeLimit(env, SPEC.horizon), None if recipe == "sac" else dataset(), **options)[1]


def of_seeds(tree: Any, seeds: list[int]) -> str:
    """The SHA-256 of some seeds of leaves [S, ...]."""
    return digests.total({path: np.asarray(leaf)[seeds] for path, leaf in digests.leaves(tree).items()})


def of_others(outcome: Any) -> dict[str, str]:
    """SHA-256 of the agents, the rows and the log of the seeds to which nothing happens."""
    others = [seed for seed in range(SEEDS) if seed != LOST]
    log = [
        {name: [value[seed] for seed in others] if isinstance(value, list) else value for name, value in row.items()}
        for row in outcome.rows
        if row["kind"] != "frozen"
    ]
    ends = {"agent": of_seeds(outcome.agents, others), "rows": of_seeds(outcome.carry.ring.rows, others)}
    return ends | {"log": hashlib.sha256(json.dumps(log).encode()).hexdigest()}


@dataclasses.dataclass(frozen=True)
class Whole:
    """A run in which nothing happens: its other seeds, and the one to which something could have."""

    others: dict[str, str]
    number: float  # that its episode observes
    agents: dict[tuple[str, int], str]  # SHA-256 after so many steps of a phase


@functools.cache
def whole(recipe: str, fault: str) -> Whole:
    """The run without a fault, one step a call."""
    agents: dict[tuple[str, int], str] = {}
    phase = Driver._phase

    def seen(self: Driver, number: int, carry: Any, end: bool) -> None:
        agents[self.plan.phases[number].name, int(carry.step)] = of_seeds(carry.seeds.agent, [LOST])

    def entered(self: Driver, number: int, carry: Any) -> Any:
        seen(self, number, carry, False)
        return phase(self, number, carry)

    with mock.patch.object(Driver, "_save", seen), mock.patch.object(Driver, "_phase", entered):
        outcome = run(recipe, Breaks(NOBODY, MOMENTS[0], fault), chunk=1)
    return Whole(of_others(outcome), float(np.asarray(outcome.carry.ring.rows)[LOST, 0, 0]), agents)


def case(recipe: str, moment: int, fault: str) -> dict[str, Any]:
    """One fault at one moment: what the log says of it, what is left of its seed, and the others."""
    known = whole(recipe, fault)
    outcome = run(recipe, Breaks(known.number, moment, fault))
    frozen = [row for row in outcome.rows if row["kind"] == "frozen"]
    told = {name: frozen[0][name] for name in ("seed", "phase", "at", "what")} if len(frozen) == 1 else {}
    ours = of_others(outcome)
    return {
        **{"recipe": recipe, "moment": moment, "fault": fault, "told": told},
        "as_it_was": bool(told) and as_injected(told, moment, fault),
        "last_good": bool(told) and of_seeds(outcome.agents, [LOST]) == known.agents[told["phase"], told["at"] - 1],
        "others_same": {name: ours[name] == known.others[name] for name in ours},
        "finite_rows": bool(np.isfinite(np.asarray(outcome.carry.ring.rows)[LOST]).all()),
    }


def as_injected(told: dict[str, Any], moment: int, fault: str) -> bool:
    """Whether the log names the seed, the phase, the step and the cause; a large reward is met once it is drawn."""
    phase, step = ("warmup", moment + 1) if moment < WARMUP else ("finetune", moment + 1 - WARMUP)
    if fault == "critic/loss":  # whatever overflows first in the update that draws the row
        return told["seed"] == LOST and told["phase"] == "finetune" and told["what"] not in ("reward", "observation")
    return told == {"seed": LOST, "phase": phase, "at": step, "what": fault}


def stopped(recipe: str) -> dict[str, Any]:
    """The words with which a run ends that shall not go on."""
    try:
        run(recipe, Breaks(whole(recipe, "reward").number, MOMENTS[1], "reward"), on_nan="stop")
    except Diverged as error:
        said = str(error)
        ok = said.startswith(f"seed {LOST}: not finite at step {MOMENTS[1] + 1} of warmup: reward") and "\n" not in said
        return {"recipe": recipe, "on_nan": "stop", "said": said, "ok": ok}
    return {"recipe": recipe, "on_nan": "stop", "said": "", "ok": False}


def counted(cases: list[dict[str, Any]], stops: list[dict[str, Any]]) -> tuple[dict[str, Any], bool]:
    """What the cases add up to."""
    counts = {
        "faults": len(cases),
        "told_as_they_were": sum(each["as_it_was"] for each in cases),
        "frozen_at_the_last_good_update": sum(each["last_good"] for each in cases),
        "others_with_the_same_bits": sum(all(each["others_same"].values()) for each in cases),
        "rows_all_finite": sum(each["finite_rows"] for each in cases),
    }
    return counts, len(cases) > 0 and set(counts.values()) == {len(cases)} and all(each["ok"] for each in stops)


def main() -> int:
    """Each recipe, moment and fault."""
    found = common.parser("nans", __doc__).parse_args()
    small.prepare()
    started, cases, stops = time.monotonic(), [], []
    for recipe in RECIPES:
        for moment in MOMENTS:
            for fault in FAULTS:
                cases.append(case(recipe, moment, fault))
                print(json.dumps(cases[-1]), flush=True)
        stops.append(stopped(recipe))
        print(json.dumps(stops[-1]), flush=True)
    counts, passed = counted(cases, stops)
    return common.write(found.json, FIGURE, counts, passed, [*cases, *stops], started)


if __name__ == "__main__":
    sys.exit(main())
