"""A curve of each method, of committed results, drawn as a small picture inside the page."""

import functools
import json
from typing import NamedTuple

import links

RESULTS = "benchmarks/results"
WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 640, 260, 56, 34, 14


class Curve(NamedTuple):
    """Which rows are drawn: an arm, another one to compare with, and where the figure is if a claim has one."""

    file: str
    arm: str
    beside: str
    figure: str | None = None
    axis: str = "online"  # or offline: gradient steps


MAZE, HOPPER, MEDIUM = "claims/wsrl/maze", "claims/ocr-cft/hopper-medium", "methods/pointmaze-medium"
SCRATCH = "methods/hopper"
CURVES = {
    "wsrl": Curve(MAZE, "wsrl", "sac", "figure-7-without-offline-data"),
    "calql": Curve(MAZE, "calql", "wsrl", "figure-7-without-offline-data"),
    "cql": Curve(MAZE, "cql", "wsrl", "figure-2-offline-to-online-methods-lose-without-the-offline-data"),
    "iql": Curve(MAZE, "iql", "wsrl", "figure-7-without-offline-data"),
    "sac": Curve(MAZE, "sac", "wsrl", "figure-7-without-offline-data"),
    "jsrl": Curve(MAZE, "jsrl", "wsrl", "figure-7-without-offline-data"),
    "so2": Curve(MAZE, "so2", "wsrl", "figure-7-without-offline-data"),
    "o2sac": Curve(HOPPER, "o2sac", "proto", "figure-proto-against-proto"),
    "o2td3": Curve(HOPPER, "o2td3", "proto-td3", "figure-proto-against-proto"),
    "o2ppo": Curve(HOPPER, "o2ppo", "ppo", "figure-ppo-o2ppo-against-ppo"),
    "ppo": Curve(HOPPER, "ppo", "o2ppo", "figure-ppo-o2ppo-against-ppo"),
    "proto": Curve(HOPPER, "proto", "o2sac", "figure-proto-against-proto"),
    "proto-td3": Curve(HOPPER, "proto-td3", "o2td3", "figure-proto-against-proto"),
    **{name: Curve(MEDIUM, name, "wsrl") for name in ("rlpd", "awac", "pex", "aca", "off2on")},
    "odt": Curve(MEDIUM, "odt", "wsrl", axis="offline"),
    "td3": Curve(SCRATCH, "td3", "sac"),
}
TASKS = {
    MAZE: ("`pointmaze-large`", "success"),
    HOPPER: ("`hopper` with data made here", "return"),
    MEDIUM: ("`pointmaze-medium` with data made here", "success"),
    SCRATCH: ("`hopper` without data", "return"),
}
Points = list[tuple[float, list[float]]]


def of(name: str) -> str:
    """The picture of a method and what it shows."""
    curve = CURVES[name]
    task, measure = TASKS[curve.file]
    own, other = (points(curve.file, arm, curve.axis) for arm in (curve.arm, curve.beside))
    seeds, steps = len(own[0][1]), "online environment steps" if curve.axis == "online" else "gradient steps"
    where = "No claim of a paper was put to this test"
    if curve.figure is not None:
        where = f"Whether a difference holds is in [the claims](../claims.md#{curve.figure})"
    return (
        f'<figure class="drawing" role="img" aria-label="{measure} of {name} over {steps}">'
        f"{drawn(own, other, (name, curve.beside), measure, steps)}</figure>\n\n"
        f"The {measure} of `{name}` on {task} over its {steps}: the mean of {seeds} seeds (thick) and each seed "
        f"(thin), beside the mean of `{curve.beside}` (dashed). The run takes minutes on a CPU and has small networks, "
        f"so that it is no reproduction of a paper's figure; {seeds} seeds decide large effects only. {where}; the "
        f"rows are in [{curve.file}.jsonl](../../{RESULTS}/{curve.file}.jsonl)."
    )


@functools.cache
def points(file: str, arm: str, axis: str) -> Points:
    """(steps, a number of each seed) of the evaluations of an arm: from the switch on, or `offline` before it."""
    rows = map(json.loads, (links.ROOT / RESULTS / f"{file}.jsonl").read_text().splitlines())
    measure = TASKS[file][1]
    kept = (r for r in rows if r["arm"] == arm and r["kind"] == "eval" and (axis == "online" or not r["online"]))
    return sorted({r[axis]: r[measure] for r in kept}.items())


def mean(values: list[float]) -> float:
    """The mean of the seeds."""
    return sum(values) / len(values)


def drawn(own: Points, other: Points, names: tuple[str, str], measure: str, steps: str) -> str:
    """The picture, in the colours of the page."""
    right = max(own[-1][0], other[-1][0])
    highest = 1.0 if measure == "success" else max(max(values) for _, values in own + other)

    def line(points: list[tuple[float, float]], kind: str) -> str:
        at = [
            f"{LEFT + x / right * (WIDTH - LEFT - 90):.1f},{TOP + (1 - y / highest) * (HEIGHT - TOP - BOTTOM):.1f}"
            for x, y in points
        ]
        return f'<polyline class="{kind}" points="{" ".join(at)}"/>'

    seeds = [line([(x, values[i]) for x, values in own], "seed") for i in range(len(own[0][1]))]
    thick = line([(x, mean(values)) for x, values in own], "own")
    dashed = line([(x, mean(values)) for x, values in other], "other")
    ends = [(mean(own[-1][1]), names[0], "own"), (mean(other[-1][1]), names[1], "other")]
    labels = []
    for (value, words, kind), shift in zip(ends, (-4, 10) if ends[0][0] >= ends[1][0] else (10, -4), strict=True):
        y = TOP + (1 - value / highest) * (HEIGHT - TOP - BOTTOM) + shift
        labels.append(f'<text class="{kind}" x="{WIDTH - 84}" y="{y:.1f}">{words}</text>')
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}">{_axes(right, highest, measure, steps)}'
        f"{''.join(seeds)}{dashed}{thick}{''.join(labels)}</svg>"
    )


def _axes(right: float, highest: float, measure: str, steps: str) -> str:
    bottom, width = HEIGHT - BOTTOM, WIDTH - 90
    top = "100 %" if measure == "success" else f"{highest:,.0f}"
    return (
        f'<path class="axis" d="M{LEFT},{TOP} V{bottom} H{width}"/>'
        f'<text x="{LEFT - 6}" y="{TOP + 10}" text-anchor="end">{top}</text>'
        f'<text x="{LEFT - 6}" y="{bottom}" text-anchor="end">0</text>'
        f'<text x="{LEFT}" y="{HEIGHT - 14}">0</text>'
        f'<text x="{width}" y="{HEIGHT - 14}" text-anchor="end">{right:,.0f}</text>'
        f'<text x="{(LEFT + width) / 2}" y="{HEIGHT - 14}" text-anchor="middle">{steps}</text>'
    )
