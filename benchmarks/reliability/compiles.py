"""python benchmarks/reliability/compiles.py: how often a run compiles, and what a call of its scan moves and keeps.

Runs of four recipes in this process. The scan of each phase must be compiled once, however many calls it has, and
nothing at all may be compiled in the later part of the last phase, which logs and evaluates as the first did. A call is
made under `jax.transfer_guard("disallow")`: nothing may go between host and device in it. Every array of the carry that
goes in must be gone afterwards, its memory taken over by what comes out (donation). No accelerator is used.
"""

import collections
import json
import sys
import time
from typing import Any
from unittest import mock

import jax

from fastrl.benchmarks.reliability import common, small
from fastrl.engine.mesh import Mesh

FIGURE = "A phase's scan is compiled once, and a call of it moves nothing between host and device and copies no carry."
RECIPES = ("wsrl", "o2sac", "o2td3", "o2ppo")
STEPS, CHUNK, FIRST = 400, 25, 8
SCAN = "chunk.<locals>.run"
COMPILED = "/jax/core/compile/backend_compile_duration"


class Notes:
    """What was seen of one run."""

    def __init__(self) -> None:
        self.compilations: collections.Counter[str] = collections.Counter()
        self.calls: list[dict[str, Any]] = []
        self.compiled = self.late = 0  # programs of any kind; those between the newest scan's `FIRST` and last call

    def event(self, event: str, duration_secs: float, **more: str | int) -> None:
        """A program was compiled."""
        self.compiled += event == COMPILED


class Program:
    """What `Mesh.jit` gives, or what it lowers to, watched: the scan's compilations, and its calls."""

    def __init__(self, inner: Any, name: str, notes: Notes):
        self._inner, self._name, self._notes, self._calls = inner, name, notes, 0

    def lower(self, *given: Any) -> "Program":
        """As jax's."""
        return Program(self._inner.lower(*given), self._name, self._notes)

    def compile(self) -> "Program":
        """As jax's; it counts."""
        self._notes.compilations[self._name] += 1
        return Program(self._inner.compile(), self._name, self._notes)

    def __call__(self, *given: Any) -> Any:
        """As jax's; a call of the scan is looked at."""
        if self._name != SCAN:
            return self._inner(*given)
        self._calls += 1
        if self._calls <= FIRST:
            self._notes.compiled = 0
        self._notes.late = self._notes.compiled
        with jax.transfer_guard("disallow"):
            found = jax.block_until_ready(self._inner(*given))
        leaves = jax.tree.leaves(given[0])
        held = sum(leaf.nbytes for leaf in jax.tree.leaves(found))
        kept = round(self._inner.memory_analysis().alias_size_in_bytes / held, 4)
        gone = sum(leaf.is_deleted() for leaf in leaves)
        self._notes.calls.append({"arrays": len(leaves), "gone": gone, "taken_over": kept})
        return found


def case(recipe: str, steps: int = STEPS, **changed: Any) -> dict[str, Any]:
    """One run: what was compiled, and its calls."""
    notes, jit = Notes(), Mesh.jit

    def watched(self: Mesh, function: Any, *held: Any, **more: Any) -> Program:
        return Program(jit(self, function, *held, **more), function.__qualname__, notes)

    options = small.options(recipe, steps) | {"chunk": CHUNK, "eval_every": 4 * CHUNK, "probe_every": 0} | changed
    if "rollout" in options:  # a step of PPO's scan is a rollout
        step = options["rollout"]
        options |= {"steps": 20 * step, "eval_every": 4 * step, "chunk": step}
    jax.monitoring.register_event_duration_secs_listener(notes.event)
    try:
        with mock.patch.object(Mesh, "jit", watched):
            plan, _ = small.run(recipe, "probe-action", small.dataset(), **options)
    finally:
        jax.monitoring.unregister_event_duration_listener(notes.event)
    return {
        **{"recipe": recipe, "phases": len(plan.phases), "compiled": dict(notes.compilations)},
        **{"calls": len(notes.calls), "compiled_late": notes.late},
        "arrays": sum(call["arrays"] for call in notes.calls),
        "gone": sum(call["gone"] for call in notes.calls),
        "least_taken_over": min(call["taken_over"] for call in notes.calls),
    }


def counted(cases: list[dict[str, Any]]) -> tuple[dict[str, Any], bool]:
    """What the runs add up to."""
    scans = [each["compiled"][SCAN] for each in cases]
    counts = {
        "runs": len(cases),
        "phases": sum(each["phases"] for each in cases),
        "scans_compiled": sum(scans),
        "calls": sum(each["calls"] for each in cases),
        "compiled_late": sum(each["compiled_late"] for each in cases),
        "arrays_given": sum(each["arrays"] for each in cases),
        "arrays_gone": sum(each["gone"] for each in cases),
        "least_memory_taken_over": min((each["least_taken_over"] for each in cases), default=0.0),
    }
    once = 0 < counts["phases"] == counts["scans_compiled"] < counts["calls"]
    kept = counts["arrays_given"] == counts["arrays_gone"] and counts["least_memory_taken_over"] > 0.99
    return counts, once and kept and counts["compiled_late"] == 0


def main() -> int:
    """Each recipe."""
    found = common.parser("compiles", __doc__).parse_args()
    small.prepare()
    started, cases = time.monotonic(), []
    for recipe in RECIPES:
        cases.append(case(recipe))
        print(json.dumps(cases[-1]), flush=True)
    counts, passed = counted(cases)
    return common.write(found.json, FIGURE, counts, passed, cases, started)


if __name__ == "__main__":
    sys.exit(main())
