"""python benchmarks/reliability/seeds.py: a seed alone, among three and among ten.

SAC on PointMaze for 100 steps of warm-up and 100 updates, with `--map-seeds sequential` (what a CPU does), with
`--map-seeds vmap --exact-seeds`, and with `--map-seeds vmap` (what an accelerator does). Of seeds 0 to 2 it compares
the keys and what is drawn from them, the rows of the ring and the agent: the last alone (`--seeds 1 --first-seed 2`),
all among three and among ten. Keys and draws must have the same bits in each, rows, agents and log too except side by
side without `--exact-seeds`, where products of other sizes round otherwise: the largest differences are stated. No
accelerator is used.
"""

import json
import sys
import time
from typing import Any

import jax
import numpy as np

from fastrl.benchmarks.reliability import common, small
from fastrl.runs import digests

FIGURE = (
    "A seed draws the same numbers however many others there are, and has the same bits in every respect on a CPU "
    "and with --exact-seeds."
)
UPDATES = 100
SIZE = {"actor_hidden": (64, 64), "critic_hidden": (64, 64), "batch_size": 64, "num_critics": 2, "utd": 1}
MODES: dict[str, dict[str, Any]] = {
    "sequential": {"map_seeds": "sequential"},
    "exact": {"map_seeds": "vmap", "exact_seeds": True},
    "vmap": {"map_seeds": "vmap"},
}
ALONE, GROUPS = (2,), (3, 10)
Found = dict[str, dict[str, np.ndarray]]
"""What a run left of one seed: its leaves by part (keys, rows, agent, log) and path."""


def of_seed(plan: Any, outcome: Any, number: int) -> Found:
    """The leaves of one seed."""
    key = plan.keys()[number]
    log = {
        f"{name} {n}": np.asarray(row[name][number])
        for n, row in enumerate(outcome.rows)
        for name in row
        if isinstance(row[name], list)
    }
    keys = {"key": np.asarray(jax.random.key_data(key)), "bits": np.asarray(jax.random.bits(key, (100,)))}
    agent = {path: np.asarray(leaf)[number] for path, leaf in digests.leaves(outcome.agents).items()}
    return {"keys": keys, "rows": {"ring": np.asarray(outcome.carry.ring.rows)[number]}, "agent": agent, "log": log}


def runs(mode: str, seeds: int, first: int = 0, env: str = "pointmaze-umaze", **changed: Any) -> list[Found]:
    """What is left of each of so many seeds of one run."""
    given: dict[str, Any] = {**SIZE, "warmup": UPDATES, "steps": 2 * UPDATES, "eval_every": UPDATES, "eval_episodes": 1}
    given["probe_every"] = 0
    plan, outcome = small.run("sac", env, None, seeds=seeds, first_seed=first, **given | MODES[mode] | changed)
    return [of_seed(plan, outcome, number) for number in range(seeds)]


def difference(ours: Found, theirs: Found) -> dict[str, Any]:
    """For each part whether all bits are the same, and the largest difference of two numbers."""
    found: dict[str, Any] = {}
    for part in ours:
        pairs = [(ours[part][path], theirs[part][path]) for path in ours[part]]
        same = ours[part].keys() == theirs[part].keys() and all(a.tobytes() == b.tobytes() for a, b in pairs)
        apart = [np.nanmax(np.abs(a.astype(np.float64) - b.astype(np.float64)), initial=0.0) for a, b in pairs]
        found[part] = {"same": same, "largest_difference": float(max(apart))}
    return found


def compared(cases: list[dict[str, Any]]) -> tuple[dict[str, Any], bool]:
    """How many comparisons of each mode have the same bits in all parts, and the largest differences of the agents."""
    counts: dict[str, Any] = {"comparisons": len(cases), "same_keys": sum(case["keys"]["same"] for case in cases)}
    passed = 0 < len(cases) == counts["same_keys"]
    for mode in MODES:
        mine = [case for case in cases if case["mode"] == mode]
        every = sum(all(case[part]["same"] for part in ("keys", "rows", "agent", "log")) for case in mine)
        largest = max((case["agent"]["largest_difference"] for case in mine), default=0.0)
        rows = max((case["rows"]["largest_difference"] for case in mine), default=0.0)
        counts[mode] = {"comparisons": len(mine), "same_bits": every, "agent_differs_by": largest, "rows_by": rows}
        passed &= mode == "vmap" or every == len(mine)
    return counts, passed


def cases_of(mode: str, **changed: Any) -> list[dict[str, Any]]:
    """Each of the first seeds among three and alone, beside itself among ten."""
    few, many = (runs(mode, seeds, **changed) for seeds in GROUPS)
    pairs = [("of 3", few[n], n) for n in range(GROUPS[0])]
    pairs += [("alone", runs(mode, 1, first=n, **changed)[0], n) for n in ALONE]
    return [{"mode": mode, "seed": n, "one": one, "other": "of 10", **difference(a, many[n])} for one, a, n in pairs]


def main() -> int:
    """Each way to map the seeds."""
    found = common.parser("seeds", __doc__).parse_args()
    small.prepare()
    started, cases = time.monotonic(), []
    for mode in MODES:
        cases += cases_of(mode)
        print(json.dumps(cases[-1]), flush=True)
    counts, passed = compared(cases)
    return common.write(found.json, FIGURE, {"updates": UPDATES, **counts}, passed, cases, started)


if __name__ == "__main__":
    sys.exit(main())
