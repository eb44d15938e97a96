"""Faster, slower or cannot tell: two sides of launches, figure by figure.

The ratio is new over old, of medians over launches; its interval is a bootstrap's over launches (both sides redrawn,
95 %). A verdict needs five launches a side on one machine, and an interval without 1. Half of the interval's width is
the smallest difference that these launches could have shown.
"""

import dataclasses
import statistics
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastrl.benchmarks import provenance, schema, tables
from fastrl.errors import UserError

LAUNCHES = 5
DRAWS = 10_000
SIZES = ("MB", "kernels", "copies", "collectives", "decisions")


@dataclasses.dataclass(frozen=True)
class Verdict:
    """Of one figure."""

    ratio: float
    low: float
    high: float
    words: str

    @property
    def smallest(self) -> float:
        """The smallest difference that could have been seen, as a ratio's distance from 1."""
        return (self.high - self.low) / 2


def wanted(lines: Sequence[dict[str, Any]], old: Sequence[dict[str, Any]]) -> bool:
    """Whether there are two sides to compare."""
    return bool(old) or any("checkout" in line for line in lines)


def judge(new: Sequence[float], old: Sequence[float], unit: str, better: int) -> Verdict:
    """A verdict on one figure, of launches on one machine; `better` is 1 where more of it is."""
    if min(map(abs, old)) == 0:
        same = list(new) == list(old)
        return Verdict(1.0 if same else float("nan"), float("nan"), float("nan"), "the same" if same else "cannot tell")
    ratio = statistics.median(new) / statistics.median(old)
    random = np.random.default_rng(0)
    drawn = [np.median(random.choice(np.asarray(side, float), (DRAWS, len(side))), axis=1) for side in (new, old)]
    low, high = np.percentile(drawn[0] / drawn[1], [2.5, 97.5])
    if min(len(new), len(old)) < LAUNCHES:
        words = f"cannot tell: fewer than {LAUNCHES} launches"
    elif low == high == 1:
        words = "the same"
    elif low <= 1 <= high:
        words = "cannot tell"
    else:
        good = (ratio > 1) == (better > 0)
        words = ("less" if ratio < 1 else "more") if unit in SIZES else ("faster" if good else "slower")
    return Verdict(ratio, float(low), float(high), words)


def table(lines: Sequence[dict[str, Any]], old: Sequence[dict[str, Any]]) -> str:
    """The comparison as Markdown; without `old`, of the lines of this checkout with those of the other one."""
    if not old:
        if len(others := {line["checkout"] for line in lines if "checkout" in line}) > 1:
            raise UserError(
                f"lines of {len(others)} other checkouts ({', '.join(sorted(others))}); compare one at a time"
            )
        old = [line for line in lines if "checkout" in line]
        lines = [line for line in lines if "checkout" not in line]
    sides = [tables.grouped(side) for side in (lines, old)]
    machines = [{provenance.machine(line) for line in side} for side in (lines, old)]
    alike = machines[0] == machines[1] and len(machines[0]) == 1
    rows = [_row(key, sides[0][key], sides[1][key], alike) for key in sides[0] if key in sides[1]]
    if not rows:
        raise UserError("the two sides have no figure in common; measure the same parts on both")
    head = (
        "part",
        "workload",
        "figure",
        "old",
        "new",
        "unit",
        "new / old",
        "95 % interval",
        "could be seen",
        "verdict",
    )
    return "\n\n".join([tables.table(head, rows), *_notes(lines, old, machines, alike, len(rows))])


def _row(key: tables.Key, new: list[float], old: list[float], alike: bool) -> tuple[str, ...]:
    unit = schema.unit(key[2])
    assert unit is not None
    found = judge(new, old, *unit)
    told = [f"{tables.number(statistics.median(side))} ({len(side)})" for side in (old, new)]
    interval = f"{found.low:.3f} to {found.high:.3f}"
    many = min(len(new), len(old)) > 1 and found.low == found.low
    cells = (interval, f"{100 * found.smallest:.1f} %") if alike and many else ("", "")
    verdict = found.words if alike else "none: other machine"
    return (*key[:2], f"`{key[2]}`", *told, unit[0], f"{found.ratio:.3f}", *cells, verdict)


def _notes(lines: Any, old: Any, machines: list[set[str]], alike: bool, count: int) -> list[str]:
    """What to know before a verdict is quoted."""
    if not alike:
        names = ["; ".join(sorted(side)) for side in machines]
        return [f"No verdict: the new lines are of {names[0]}, the old ones of {names[1]}."]
    notes = [
        "In brackets: launches. A verdict is at 95 % for each figure alone: "
        f"of {count} figures about {tables.number(count / 20)} would differ by chance."
    ]
    times = [sorted(line["provenance"]["utc"] for line in side) for side in (lines, old)]
    if "checkout" not in old[0] and (times[0][0] > times[1][-1] or times[1][0] > times[0][-1]):
        notes.append(
            "The two sides were not launched by turns, and a machine's speed changes by the hour: "
            "`fastrl bench PART --against DIR` launches two checkouts by turns."
        )
    return notes
