"""python benchmarks/reliability/chunks.py: calls of 1, 7, 50 and all steps of a phase.

The same run of two recipes with `--chunk` 1, 7, 50 and T, the steps of a phase. Evaluations, diagnostics and
rows of the log are far enough apart not to cut the calls shorter than that. The SHA-256 of the whole carry, of the
agents and of the log must be the same. No accelerator is used.
"""

import json
import sys
import time
from collections.abc import Mapping
from typing import Any

from fastrl.benchmarks.reliability import common, small
from fastrl.engine.schedule import Schedule

FIGURE = "How many steps one call of the compiled scan has changes no bit of a run."
RECIPES = ("wsrl", "o2ppo")
STEPS = 350  # of a phase
CHUNKS = (1, 7, 50, STEPS)


def case(recipe: str, chunk: int, steps: int = STEPS, **changed: Any) -> dict[str, Any]:
    """One run: the steps that a call had in each phase, and how it ended."""
    given: dict[str, Any] = small.options(recipe, steps) | {"eval_every": 10 * steps, "probe_every": steps}
    rollout = given.get("rollout", 1)
    given |= {"chunk": chunk * rollout, "eval_episodes": 2} | changed
    if rollout > 1:  # a step of PPO's phases is a rollout
        given |= {"steps": steps * rollout, "eval_every": 10 * steps * rollout, "probe_every": steps * rollout}
    plan, outcome = small.run(recipe, "probe-action", small.dataset(), **given)
    schedule = Schedule(plan)
    calls = {phase.name: schedule.length(phase, 0) for phase in plan.phases}
    return {"recipe": recipe, "chunk": chunk, "calls": calls, **small.end(outcome)}


def compared(cases: list[dict[str, Any]]) -> tuple[dict[str, int], bool]:
    """How many runs end as the first of their recipe does, and whether all do, with calls of different lengths."""
    firsts: dict[str, Mapping[str, Any]] = {}
    for each in cases:
        first = firsts.setdefault(each["recipe"], each)
        each["same"] = {name: each[name] == first[name] for name in common.SAME}
    different = sum(not all(each["same"].values()) for each in cases)
    lengths = {(each["recipe"], *each["calls"].values()) for each in cases}
    counts = {"recipes": len(firsts), "runs": len(cases), "different_calls": len(lengths), "different_ends": different}
    return counts, 0 < len(cases) == len(lengths) and different == 0


def main() -> int:
    """Each recipe with each chunk."""
    found = common.parser("chunks", __doc__).parse_args()
    small.prepare()
    started, cases = time.monotonic(), []
    for recipe in RECIPES:
        for chunk in CHUNKS:
            cases.append(case(recipe, chunk))
            print(json.dumps(cases[-1]), flush=True)
    counts, passed = compared(cases)
    return common.write(found.json, FIGURE, counts, passed, cases, started)


if __name__ == "__main__":
    sys.exit(main())
