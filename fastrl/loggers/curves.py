"""The names of curves: a row of the log as numbers by name, over environment steps online and gradient steps offline.

`eval/return` is of all seeds, `seed/0/eval/return` of one of them; an offline phase's name stands in front, as in
`pretrain/eval/return`, since its steps are others. The rows of a sweep are told apart by `point/0/`.
"""

import numpy as np

from fastrl.loggers.logger import About, Row
from fastrl.runs.log import ADDRESS, QUANTITIES
from fastrl.statistics import iqm, stratified_bootstrap

ENVIRONMENT, GRADIENT = "environment_steps", "gradient_steps"
"""What stands below a curve."""

EACH = 16
"""Most rows of the seed axis whose training metrics are curves of their own; their evaluations always are."""


def axis(about: About, row: Row) -> tuple[str, int]:
    """The name of the count that a row stands at, and the count."""
    if row.get("phase") in about.offline:
        return GRADIENT, int(row["offline"])
    return ENVIRONMENT, int(row.get("online", 0))


def globs(about: About) -> dict[str, str]:
    """What stands below which curves, by the beginning of their names."""
    online = {f"{start}/*": ENVIRONMENT for start in ("eval", "train", "probe", "seed", "point")}
    return {**online, **{f"{phase}/*": GRADIENT for phase in about.offline}}


def curves(about: About, row: Row, intervals: bool = True) -> dict[str, float]:
    """The numbers of a row by name; a frozen seed has none, and a row that says that one froze is no curve.

    What an evaluation measures is the IQM of the seeds, with the ends of its bootstrap interval (95 %) as `_low` and
    `_high` if `intervals`; everything else is their mean.
    """
    kind = row.get("kind", "train")
    if kind == "frozen":
        return {}
    phase = f"{row['phase']}/" if row.get("phase") in about.offline else ""
    points = len(about.config.get("point", "1"))
    found: dict[str, float] = {}
    for name, value in row.items():
        if name in ADDRESS or not isinstance(value, (int, float, list)):
            continue
        if not isinstance(value, list):
            found[f"{phase}{kind}/{name}"] = value
            continue
        each, evaluated = len(value) // points, kind == "eval" and name in QUANTITIES
        for point in range(points):
            start = phase if points == 1 else f"{phase}point/{point}/"
            part = value[point * each : (point + 1) * each]
            known = np.array([x for x in part if x is not None])
            if len(known):
                found[f"{start}{kind}/{name}"] = iqm(known) if evaluated else float(known.mean())
            if len(known) > 1 and evaluated and intervals:
                ends = stratified_bootstrap(known)
                found |= {f"{start}{kind}/{name}_{end}": x for end, x in zip(("low", "high"), ends, strict=True)}
            if evaluated or len(value) <= EACH:
                first = about.config.get("first_seed", 0)
                found |= {f"{start}seed/{first + n}/{kind}/{name}": x for n, x in enumerate(part) if x is not None}
    return found


def summary(about: About, rows: list[Row]) -> dict[str, float]:
    """The last evaluation's numbers and the best ones: of the online phases, or offline where there is no other."""
    rows = [row for row in rows if row["kind"] == "eval"]
    rows = [row for row in rows if row["phase"] not in about.offline] or rows
    found: dict[str, float] = {}
    for row in rows:
        name, step = axis(about, row)
        for curve, value in curves(about, row, intervals=False).items():
            if curve.rpartition("/")[2] not in QUANTITIES or "seed/" in curve:
                continue
            found[f"final/{curve}"] = value
            if value > found.get(f"best/{curve}", -np.inf):
                found |= {f"best/{curve}": value, f"best/{curve}/{name}": step}
    return found
