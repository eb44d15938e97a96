"""Runs of one environment compared with the first of them: by how much the others score more, and how often.

Where two runs share their seeds and the pre-trained agents that these start from, they are compared seed by seed.
"""

import json
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastrl import statistics
from fastrl.reports import html
from fastrl.reports.report import FEW, with_interval
from fastrl.reports.results import Results
from fastrl.reports.tables import Block, Table
from fastrl.statistics import Comparison

HEAD = ["run", "minus", "environment", "at", "compared", "mean difference", "difference of the IQM"]
HEAD += ["probability of improvement"]
METHOD = (
    "Intervals are 95 %. Paired by seed: seed n of both runs started from the same pre-trained agent, the IQM is that"
    " of the differences, and the probability is the share of seeds in which the run ends higher (Clopper-Pearson). Not"
    " paired: the runs' seeds are redrawn independently, and the probability is that of any seed of the run against any"
    " of the other. Ties count half."
)
APART = (
    "Where the interval of an unpaired probability has no width, every redraw of these seeds said the same; with few"
    " seeds that is no certainty."
)
EARLY = (
    "{} and {} were evaluated at no common step after {:,} online steps, though both went on: they are compared there,"
    " and not at an end. Runs with the same warm-up and --eval-every are evaluated at the same steps."
)
TOO_FEW = f"With fewer than {FEW} seeds the intervals of differences are too narrow: they support no verdict."


def compared(runs: Sequence[Results]) -> list[Block]:
    """The table of the differences and how to read it; nothing where no two runs have an environment in common."""
    first: dict[str, tuple[str, Results]] = {}
    rows, results, early = [], [], []
    for name, run in zip(html.named(runs), runs, strict=True):
        against, base = first.setdefault(_task(run), (name, run))
        if base is not run and (step := _step(run, base)) is not None:
            results.append(_difference(run, base, step))
            rows.append([name, against, *_row(run, base, step, results[-1])])
            if step < min(run.online[-1], base.online[-1]):
                early.append(EARLY.format(name, against, step))
    if not rows:
        return []
    notes = [APART] if any(not each.paired and np.ptp(each.improvement_interval) == 0 for each in results) else []
    notes += [TOO_FEW] if min(min(each.runs) for each in results) < FEW else []
    return ["## Differences from the first run of each environment", Table(HEAD, rows), *early, METHOD, *notes]


def same_start(run: Results, other: Results) -> bool:
    """Whether seed n of both was pre-trained to the same agent: handed over, or made by the same first phase."""
    own, others = _start(run), _start(other)
    if own is None or own != others:
        return False
    if run.point == other.point or run.config["identity"].get("start"):
        return True
    begun = [each.values[:, [name == each.phase[0] for name in each.phase]] for each in (run, other)]
    return np.array_equal(begun[0], begun[1])  # points of a sweep, whose option may concern the first phase


def shared_seeds(run: Results, other: Results) -> list[tuple[int, int]]:
    """The rows of both runs that have one seed; none where they start from different agents."""
    roots = [each.config.get("identity", {}).get("seed") for each in (run, other)]
    if roots[0] is None or roots[0] != roots[1] or not same_start(run, other):
        return []
    own, others = (_numbers(each) for each in (run, other))
    return [(row, others.index(seed)) for row, seed in enumerate(own) if seed in others]


def _numbers(run: Results) -> list[int]:
    return [run.config["identity"].get("first_seed", 0) + seed for seed in run.seeds]


def _start(run: Results) -> Any:
    """What the agents are made of that a run goes online with; None where they are untrained, or unknown."""
    identity = run.config.get("identity", {})
    if identity.get("start"):
        return identity["start"]
    phases = identity.get("phases", [])
    if not phases or phases[0].get("online", True):
        return None
    return [phases[0], *(identity.get(name) for name in ("dataset", "reward_scale", "reward_bias"))]


def _task(run: Results) -> str:
    options = run.config.get("identity", {}).get("env_options", {})
    return json.dumps([run.config.get("env"), options, run.measure], sort_keys=True)


def _step(run: Results, other: Results) -> int | None:
    """The last number of online steps at which both were evaluated."""
    return max(set(run.online.tolist()) & set(other.online.tolist()), default=None)


def at(run: Results, step: int) -> np.ndarray:
    """The values [S] of the last evaluation that a run had at so many online steps."""
    return run.values[:, int(np.flatnonzero(run.online == step)[-1])]


def _difference(run: Results, base: Results, step: int) -> Comparison:
    shared = shared_seeds(run, base)
    if len(shared) > 1:
        rows, others = map(list, zip(*shared, strict=True))
        return statistics.paired(at(run, step)[rows], at(base, step)[others])
    return statistics.unpaired(at(run, step), at(base, step))


def _row(run: Results, base: Results, step: int, found: Comparison) -> list[str]:
    """What follows the two runs' names in `compared`."""
    final = step == run.online[-1] == base.online[-1]
    own, others = found.runs
    how = f"paired by seed, {own} pairs" if found.paired else f"not paired, {own} and {others} seeds"
    return [
        str(run.config.get("env", "-")),
        "the end" if final else f"{step:,} online steps",
        how,
        with_interval(run, found.mean, found.mean_interval),
        with_interval(run, found.iqm, found.iqm_interval),
        _probability(found),
    ]


def _probability(found: Comparison) -> str:
    if math.isnan(found.improvement):
        return "not finite"
    low, high = found.improvement_interval
    text = f"{100 * found.improvement:.0f} %"
    return text if math.isnan(low) else f"{text} [{100 * low:.0f} %, {100 * high:.0f} %]"
