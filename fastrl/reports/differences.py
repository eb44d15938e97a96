"""In which options several runs differ, from the config.json of each."""

import dataclasses
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fastrl.reports.tables import Table

if TYPE_CHECKING:  # it loads with jax, which nothing here needs
    from fastrl.reports.results import Results

APART = ("format", "command", "points", "phases", "algorithm")
"""What is no option by itself: a phase's and its algorithm's options are taken out of these."""
NONE, ABSENT = "none", "-"


@dataclasses.dataclass(frozen=True)
class Differences:
    """Tables with a row for each option and a column for each run."""

    differing: Table  # options with different values, a dash where a run has no such option
    partial: Table  # options of phases that not every run has, the same in those that have them
    common: Table  # options on which all agree; one column of values


def of(runs: Sequence["Results"], names: Sequence[str]) -> Differences:
    """Compares the configurations of runs, which the page calls `names`."""
    found = [options(run, _place(runs, number)) for number, run in enumerate(runs)]
    known = list(dict.fromkeys(name for each in found for name in each))
    phases = [each.get("phases", "").split(", ") for each in found]
    apart = {phase for own in phases for phase in own if not all(phase in each for each in phases)}
    differing, partial, common = [], [], []
    for name in known:
        values = [each.get(name, ABSENT) for each in found]
        if len(set(values)) == 1:
            common.append([name, values[0]])
        elif name.partition(".")[0] in apart and len(set(values) - {ABSENT}) == 1:
            partial.append([name, *values])
        else:
            differing.append([name, *values])
    head = ["option", *names]
    return Differences(Table(head, differing), Table(head, partial), Table(["option", "value"], common))


def options(run: "Results", place: int) -> dict[str, str]:
    """Everything that decides a run and where it was made, by dotted name; `place` is that of its point in a sweep."""
    identity = run.config.get("identity", {})
    found = _flat({name: value for name, value in run.config.items() if name != "identity"})
    found |= _flat(identity)
    if run.start is not None:
        found["start"] = run.start
    phases = [{"name": f"phase {n}", **phase} for n, phase in enumerate(identity.get("phases", []), 1)]
    names: list[str] = []
    for phase in phases:
        name, earlier = str(phase["name"]), [str(each["name"]) for each in phases[: len(names)]]
        names.append(f"{name} {earlier.count(name) + 1}" if name in earlier else name)
    if phases:
        found["phases"] = ", ".join(names)
    for name, phase in zip(names, phases, strict=True):
        algorithm = phase.get("algorithm", {})
        own = _flat({key: value for key, value in phase.items() if key != "name"}) | _flat(algorithm)
        if "algorithm" in algorithm:
            own["algorithm"] = _text(algorithm["algorithm"])
        found |= {f"{name}.{key}": value for key, value in own.items()}
    points = identity.get("points", [])
    for option, value in points[place].items() if len(points) > 1 else ():
        rows = [name for name in found if name.endswith(f".{option}")] or [option]
        found |= dict.fromkeys(rows, _text(value))
    return found


def _place(runs: Sequence["Results"], number: int) -> int:
    """Which point of its folder's sweep a run is: the points of a folder stand in their order."""
    return sum(run.folder == runs[number].folder for run in runs[:number])


def _flat(content: dict[str, Any], prefix: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in content.items():
        if not prefix and name in APART:
            continue
        key = f"{prefix}{name}"
        found |= _flat(value, f"{key}.") if isinstance(value, dict) and value else {key: _text(value)}
    return found


def _text(value: Any) -> str:
    """A value as people write it."""
    if value is None or value in ({}, []):
        return NONE
    if isinstance(value, list):
        return ", ".join(map(_text, value))
    return value if isinstance(value, str) else json.dumps(value)
