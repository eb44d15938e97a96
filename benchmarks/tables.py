"""What `fastrl bench show` prints: a table of machines, and one of figures for each part, medians over launches.

Below each part's table stands what not to infer from it.
"""

import statistics
from collections.abc import Iterable, Sequence
from typing import Any

from fastrl.benchmarks import provenance, schema

Line = dict[str, Any]
Key = tuple[str, str, str]
"""Benchmark, workload, figure."""


def page(lines: Sequence[Line]) -> str:
    """All tables, as Markdown."""
    machines = list(dict.fromkeys(side(line) for line in lines))
    parts = [
        "# Benchmarks",
        "Medians over launches, each a process of its own, and the lowest and highest of them. "
        "Made by `fastrl bench show` from lines that `fastrl bench --out` wrote; see "
        "[benchmarks/README.md](../benchmarks/README.md) for what each figure is.",
        "## Machines",
        table(
            ("machine", "versions", "commit", "measured", "load", "other busy cores"), map(_machine, _by_side(lines))
        ),
    ]
    for part in schema.NOT:
        if found := [line for line in lines if line["benchmark"] == part]:
            parts += [f"## {part}", _part(found, machines), f"What not to infer: {schema.NOT[part]}"]
    return "\n\n".join(parts)


def side(line: Line) -> str:
    """A line's machine, and the other checkout that it is of, if it is."""
    name = provenance.machine(line)
    return f"{name} (checkout {line['checkout']})" if "checkout" in line else name


def grouped(lines: Iterable[Line]) -> dict[Key, list[float]]:
    """The launches of each figure."""
    found: dict[Key, list[float]] = {}
    for line in lines:
        for name, value in schema.figures(line).items():
            found.setdefault((line["benchmark"], line["workload"], name), []).append(value)
    return found


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of Markdown."""
    body = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(str(cell).replace('|', '/') for cell in row)} |" for row in body)


def number(value: float) -> str:
    """Four digits, as people write them."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def span(values: Sequence[float], written: Any = number) -> str:
    """The lowest and the highest; one number where they are alike."""
    low, high = written(min(values)), written(max(values))
    return low if low == high else f"{low} to {high}"


def _part(lines: list[Line], machines: list[str]) -> str:
    """A row for each figure, the machines below one another."""
    rows: list[Sequence[str]] = []
    by = {name: grouped(line for line in lines if side(line) == name) for name in machines}
    for key in dict.fromkeys(key for found in by.values() for key in found):
        unit = schema.unit(key[2])
        assert unit is not None
        for name, found in by.items():
            if values := found.get(key):
                cells = (
                    key[1],
                    f"`{key[2]}`",
                    number(statistics.median(values)),
                    span(values),
                    unit[0],
                    str(len(values)),
                )
                rows.append((*cells, name) if len(machines) > 1 else cells)
    head = ("workload", "figure", "median", "lowest to highest", "unit", "launches")
    return table((*head, "machine") if len(machines) > 1 else head, rows)


def _by_side(lines: Iterable[Line]) -> list[list[Line]]:
    found: dict[str, list[Line]] = {}
    for line in lines:
        found.setdefault(side(line), []).append(line)
    return list(found.values())


def _machine(lines: list[Line]) -> tuple[str, ...]:
    """A row of the machines' table."""
    where = [line["provenance"] for line in lines]
    several = lambda values: ", ".join(dict.fromkeys(map(str, values)))
    versions = [f"fastrl {p['fastrl']}, jax {p['jax']}, Python {p['python']}, {p['os']}" for p in where]
    loads = [load for p in where for load in (p["load_before"], p["load_after"]) if load is not None]
    others = [p["other_busy_cores"] for p in where if p["other_busy_cores"] is not None]
    days = sorted(p["utc"][:10] for p in where)
    return (
        f"{side(lines[0])}, {several(p['memory_gb'] for p in where)} GB",
        several(versions),
        several(p["commit"] for p in where),
        days[0] if days[0] == days[-1] else f"{days[0]} to {days[-1]}",
        span(loads) if loads else "not known",
        span(others) if others else "not known",
    )
