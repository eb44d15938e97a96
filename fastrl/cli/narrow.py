"""A report's tables in a terminal: as many columns as it is wide. Files and pipes get all of them, as Markdown.

What is the same in every row is said once below the table; names of runs lose the words that they all begin with; and
where that is not enough, columns are left out in a fixed order, and named.
"""

import re
import textwrap
from collections.abc import Sequence

from fastrl.cli.catalogue import aligned
from fastrl.reports.tables import Block, Table

SCORE = "score of the final"
NAMES = ("run", "minus")
"""Columns of runs' names."""
SETTINGS = ("recipe", "environment", "seeds", "online steps", "measure", "minus", "at", "compared")
"""Columns that are said once where they are the same in every row; numbers that were measured stay in the table."""
KEPT = (
    *("environment", "at the switch", "difference of the IQM", "recipe", "compared", "D4RL score", "normalised score"),
    *(SCORE, "online steps", "seeds", "wall time", "best", "at", "measure"),
)
"""Columns that are not needed, those first that are kept longest."""
LONGEST = 32
"""Characters of a run's name where there is no room for more."""
BIG = re.compile(r"\d{1,3}(?:,\d{3})+\.\d")


def text(blocks: Sequence[Block], width: int, page: str) -> str:
    """Tables and paragraphs in lines of at most `width` characters; `page` is the file that has all columns."""
    blocks = [_rounded(block) if isinstance(block, Table) else block for block in blocks]
    tables = [block for block in blocks if isinstance(block, Table)]
    fits = all(_width(_folded(table)[0]) <= width for table in tables)
    short, common = ({}, "") if fits else shortened(_names(tables))
    parts = [f"Every run's name begins with {common!r}."] if common else []
    for block in blocks:
        if isinstance(block, Table):
            parts.append(_table(_renamed(block, short), width, page))
        else:
            parts.append(textwrap.fill(block.removeprefix("## "), width))
    return "\n\n".join(parts)


def shortened(names: Sequence[str]) -> tuple[dict[str, str], str]:
    """Shorter names of runs that are still distinct, and the words at the front that all of them have lost."""
    common = ""
    for word in re.findall(r".*?[-_/: ]", min(names, default="")) if len(names) > 1 else ():
        if not all(name.startswith(common + word) for name in names):
            break
        common += word
    short = {name: name.removeprefix(common) for name in names}
    cut = {name: _cut(rest) for name, rest in short.items()}
    return (cut if len(set(cut.values())) == len(set(names)) else short), common


def _cut(name: str) -> str:
    half = LONGEST // 2
    return name if len(name) <= LONGEST else f"{name[:half]}…{name[1 - half :]}"


def _table(table: Table, width: int, page: str) -> str:
    """A table that fits, and below it what is the same in every row and what is left out."""
    table, same = _folded(table)
    out = set(KEPT)
    for name in KEPT:
        if _width(_without(table, out - {name})) <= width:
            out.remove(name)
    named, table = [name for name in table.head if name in out], _without(table, out)
    lines = [aligned(tuple(table.head), [tuple(row) for row in table.rows])]
    if same:
        every = "the same in every row: " if len(table.rows) > 1 else ""
        lines.append(textwrap.fill(every + "; ".join(same), width))
    if named:
        lines.append(textwrap.fill(f"left out as the terminal is narrow: {', '.join(named)} (see {page})", width))
    return "\n".join(lines)


def _folded(table: Table) -> tuple[Table, list[str]]:
    """The table without the settings that all rows share, and these in words."""
    same = {}
    for name, *cells in zip(table.head, *table.rows, strict=True):
        if name in SETTINGS and len(set(cells)) == 1:
            same[name] = f"{name} {cells[0]}"
    return _without(table, set(same)), list(same.values())


def _without(table: Table, names: set[str]) -> Table:
    kept = [place for place, name in enumerate(table.head) if name not in names]
    return Table([table.head[place] for place in kept], [[row[place] for place in kept] for row in table.rows])


def _names(tables: Sequence[Table]) -> list[str]:
    """The names of all runs, once each."""
    columns = [cells for table in tables for name, *cells in zip(table.head, *table.rows, strict=True) if name in NAMES]
    return list(dict.fromkeys(name for cells in columns for name in cells))


def _renamed(table: Table, short: dict[str, str]) -> Table:
    places = [place for place, name in enumerate(table.head) if name in NAMES]
    rows = [[short.get(cell, cell) if n in places else cell for n, cell in enumerate(row)] for row in table.rows]
    return Table(table.head, rows)


def _rounded(table: Table) -> Table:
    """Numbers from 1,000 on without decimals, one percent sign for a number and its interval, a score's name once."""

    def rounded(cell: str) -> str:
        cell = BIG.sub(lambda found: f"{float(found[0].replace(',', '')):,.0f}", cell)
        return re.sub(r"^(\S+) % \[(\S+) %, (\S+) %\]$", r"\1 [\2, \3] %", cell)

    rows = [[rounded(cell) for cell in row] for row in table.rows]
    head = list(table.head)
    if SCORE in head:
        place = head.index(SCORE)
        units = {row[place].rpartition(", ")[2] for row in rows if row[place] != "-"}
        if len(units) == 1:  # said once, by the head
            head[place] = units.pop()
            rows = [[cell.removesuffix(f", {head[place]}") for cell in row] for row in rows]
    return Table(head, rows)


def _width(table: Table) -> int:
    columns = zip(table.head, *table.rows, strict=True)
    return sum(max(map(len, cells)) + 2 for cells in columns) - 2
