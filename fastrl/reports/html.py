"""One self-contained HTML page of one or several runs: curves to switch, tables to sort, options that differ.

The page needs no network: style, script and numbers are inside. Whatever comes from a run is text and never markup,
and what would steer a terminal or turn the direction of writing is shown as an escape. Nothing here needs jax.
"""

import base64
import hashlib
import html
import json
import re
from collections.abc import Iterable, Sequence
from importlib import resources
from string import Template
from typing import TYPE_CHECKING, Any

import numpy as np

from fastrl import statistics
from fastrl.errors import printable
from fastrl.reports import differences
from fastrl.reports.tables import Block, Table

if TYPE_CHECKING:  # it loads with jax, which nothing here needs
    from fastrl.reports.results import Results

NUMBERS = 60_000
"""Most numbers of the curves of a page; with more, fewer evaluations of each run are drawn."""
FEWEST = 50
"""Evaluations of a run that are drawn however many runs there are."""
LONG = 40
"""Characters from which a cell of a table is broken into lines."""
LABELS = {"warmup": "warm-up", "finetune": "fine-tuning"}


def page(runs: Sequence["Results"], compared: Sequence[Block], details: Sequence[Sequence[Block]]) -> bytes:
    """The page, in UTF-8.

    `runs` are the curves, `compared` begins with a table of a row for each of them, and `details` are the parts of each
    folder's own report.
    """
    folders = list(dict.fromkeys(run.folder for run in runs))
    names, anchors = named(runs), [f"run-{folders.index(run.folder)}" for run in runs]
    script, style = _file("page.js"), _file("page.css")
    several = len(runs) > 1
    sections = [("curves", "Curves", "Curves", _figures(runs))]
    sections += [("runs", "Runs", "Runs", _compared(compared, anchors))] if several else []
    options = ("options", "Options", "Options", _options(differences.of(runs, names), several))
    parts = []
    for number, blocks in enumerate(details):
        name, title = folders[number].absolute().name, str(blocks[0]).removeprefix("# ")
        title = f"{name}: {title}" if len(folders) > 1 else title
        parts.append((f"run-{number}", name, title, "".join(map(_block, blocks))))
    sections += [options, *parts] if several else [*parts, options]
    links = "".join(f'<a href="#{anchor}">{shown(name)}</a>' for anchor, name, _, _ in sections)
    body = "".join(
        f'<section id="{anchor}"><h2><a href="#{anchor}">{shown(title)}</a></h2>{content}</section>'
        for anchor, _, title, content in sections
    )
    curves = [_curve(*each, _kept(each[0], runs)) for each in zip(runs, names, anchors, strict=True)]
    text = Template(_file("page.html")).substitute(
        title=shown(_title(runs)),
        subtitle=shown(_subtitle(runs)),
        script=script,
        script_sum=_sum(script),
        style=style,
        style_sum=_sum(style),
        links=links,
        body=body,
        data=_json({"runs": curves}),
    )
    return text.encode()


def shown(text: str) -> str:
    """Text of a run, harmless in HTML and in a terminal: no markup, and escapes for what is not printable."""
    return html.escape(printable(text))


def _json(content: Any) -> str:
    """JSON inside a `script` element: without the characters that could end it."""
    text = json.dumps(content, separators=(",", ":"), allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")


def _file(name: str) -> str:
    return (resources.files("fastrl") / "reports" / name).read_text("utf-8")


def _sum(text: str) -> str:
    """What the page's policy allows to run: this text and no other."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def named(runs: Sequence["Results"]) -> list[str]:
    """The names of runs: their folders, with their points; whole paths where two folders share a name."""
    folders = {run.folder for run in runs}
    homes = [folder.absolute().name for folder in folders]
    names = []
    for run in runs:
        home = run.folder.absolute().name
        home = home if homes.count(home) == 1 else str(run.folder)
        names.append(run.point if run.point and len(folders) == 1 else f"{home}: {run.point}" if run.point else home)
    return names


def _title(runs: Sequence["Results"]) -> str:
    environments = " and ".join(sorted({str(run.config["env"]) for run in runs if run.config.get("env")}))
    recipes = {str(run.config["recipe"]) for run in runs if run.config.get("recipe")}
    what = recipes.pop() if len(recipes) == 1 else f"{len(runs)} runs" if len(runs) > 1 else "A run"
    return f"{what} on {environments}" if environments else what


def _subtitle(runs: Sequence["Results"]) -> str:
    counts = sorted({len(run.values) for run in runs})
    seeds = " to ".join(map(str, counts[:: max(1, len(counts) - 1)]))
    text = "one seed" if counts == [1] else f"{seeds} seeds a run" if len(runs) > 1 else f"{seeds} seeds"
    lost = sum(len(run.frozen) for run in runs)
    return f"{text}, {lost} left out as numbers stopped being finite" if lost else text


def _figures(runs: Sequence["Results"]) -> str:
    """An empty figure for every task and quantity, which the script fills."""
    groups = dict.fromkeys(map(_group, runs))
    titles = [f"<h3>{shown(group)}</h3>" if len(groups) > 1 else "" for group in groups]
    return "".join(f'{title}<div class="figure"></div>' for title in titles) + (
        "<noscript><p>The curves need JavaScript; the picture beside this page shows them without.</p></noscript>"
    )


def _group(run: "Results") -> str:
    return f"{run.config.get('env') or 'evaluation'}: {run.quantity}"


def _compared(blocks: Sequence[Block], anchors: Sequence[str]) -> str:
    """The table of the runs, and what else compares them."""
    table, *others = blocks
    assert isinstance(table, Table)
    return _table(table, anchors) + "".join(map(_block, others))


def _options(found: differences.Differences, several: bool) -> str:
    """The options that differ, and folded away those of phases that some runs lack and those that are the same."""
    parts = []
    if several:
        parts += [_table(found.differing) if found.differing.rows else "<p>No option differs.</p>"]
    for table, words in (
        (found.partial, "options of phases that not every run has"),
        (found.common, "options that are the same in all" if several else "options"),
    ):
        if table.rows:
            parts.append(f"<details><summary>{len(table.rows)} {words}</summary>{_table(table)}</details>")
    return "".join(parts)


def _table(table: Table, anchors: Sequence[str] = ()) -> str:
    """A table; with `anchors`, the first cell of each row leads to one."""
    links = [f'<a href="#{anchor}">' for anchor in anchors] or [""] * len(table.rows)
    head = "".join(f'<th scope="col">{shown(cell)}</th>' for cell in table.head)
    body = "".join(
        f"<tr>{_cell(row[0], link)}{''.join(map(_cell, row[1:]))}</tr>"
        for row, link in zip(table.rows, links, strict=True)
    )
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _cell(text: str, link: str = "") -> str:
    kind = ' class="long"' if len(text) > LONG else ""
    return f"<td{kind}>{link}{shown(text)}{'</a>' if link else ''}</td>"


def _block(block: Block) -> str:
    """A part of a report; its title and its picture stand elsewhere on the page."""
    if isinstance(block, Table):
        return _table(block)
    if block.startswith(("# ", "![")):
        return ""
    if block.startswith("## "):
        return f"<h3>{shown(block.removeprefix('## '))}</h3>"
    if block.startswith("```"):
        return "<pre>" + shown(block.removeprefix("```\n").removesuffix("\n```")) + "</pre>"
    text = re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", shown(block))
    return "<p>" + re.sub(r"`(.+?)`", r"<code>\1</code>", text) + "</p>"


def _kept(run: "Results", runs: Sequence["Results"]) -> np.ndarray:
    """The evaluations of a run that are drawn: all, or every so many, the ends and those beside a boundary."""
    lines = sum(len(each.values) + len(each.frozen) + 3 for each in runs)
    count, most = len(run.phase), max(FEWEST, NUMBERS // lines)
    if count <= most:
        return np.arange(count)
    starts = [n for n in range(1, count) if run.phase[n] != run.phase[n - 1]]
    needed = {0, count - 1, *starts, *(n - 1 for n in starts), *([] if run.switch is None else [run.switch])}
    return np.array(sorted(needed | set(range(0, count, -(-count // most)))))


def _curve(run: "Results", name: str, anchor: str, kept: np.ndarray) -> dict[str, Any]:
    """What the script draws of a run: [kept] evaluations of every seed, their centre and interval."""
    values = run.values[:, kept]
    seeds: list[dict[str, Any]] = [
        *({"seed": seed, "values": _numbers(row)} for seed, row in zip(run.seeds, values, strict=True)),
        *({"seed": lost.seed, "values": _numbers(lost.values[kept]), "frozen": True} for lost in run.frozen),
    ]
    intervals = np.array([statistics.stratified_bootstrap(column) for column in values.T])
    return {
        "name": printable(name),
        "group": printable(_group(run)),
        "quantity": run.quantity,
        "rate": run.rate,
        "details": anchor,
        "centre": "interquartile mean" if len(values) >= 4 else "mean",
        "online": run.online[kept].tolist(),
        "offline": run.offline[kept].tolist(),
        "switch": int(np.flatnonzero(run.online[kept] == 0)[-1]) if run.switch is not None else None,
        "scratch": run.scratch,
        "thinned": len(run.phase) if len(kept) < len(run.phase) else None,
        "middle": _numbers(statistics.iqm(column) for column in values.T),
        "low": _numbers(intervals[:, 0]),
        "high": _numbers(intervals[:, 1]),
        "seeds": sorted(seeds, key=lambda each: each["seed"]),
        "marks": _marks(run),
    }


def _marks(run: "Results") -> list[dict[str, Any]]:
    """Where phases begin: the label, the steps on its axis, and where the phase ends if it is the warm-up."""
    spots, learns = run.boundaries(), "learning" if run.scratch else "fine-tuning"
    if run.went_online and not run.offline[-1]:  # there is no phase before the first
        spots = [(run.phase[0], 0, 0), *spots]
    ends = [online for _, online, _ in spots[1:]] + [int(run.online[-1])]
    marks = []
    for (phase, online, offline), end in zip(spots, ends):
        first = run.went_online and (run.switch is None or offline == run.offline[run.switch])
        label = {**LABELS, "finetune": learns}.get(phase, phase)
        mark = {"label": printable(label), "online": bool(online > 0 or first)}
        mark |= {"at": online if mark["online"] else offline, "end": end if phase == "warmup" else None}
        marks.append(mark)
    return marks


def _numbers(values: Iterable[float]) -> list[float | None]:
    """Six digits of each; null where a value is not finite."""
    return [float(f"{value:.6g}") if np.isfinite(value) else None for value in values]
