"""`fastrl bench`: measure this machine, show what was measured, compare it."""

from collections.abc import Sequence
from pathlib import Path

from fastrl.cli.options import Parser
from fastrl.errors import UserError

PARTS = "env, replay, learner, loop, startup, memory, compile, scaling"


def main(words: Sequence[str]) -> int:
    """`compile` and `show` come first and have options of their own; other words are parts to measure."""
    if words[:1] == ["compile"]:
        from fastrl.benchmarks import compile as ahead_of_time

        return ahead_of_time.main(words[1:])
    if words[:1] == ["show"]:
        return show(words[1:])
    parser = Parser(
        prog="fastrl bench",
        description=f"Measures parts of fastrl on this machine, prints JSON lines: {PARTS}.\n"
        "fastrl bench show --help: tables, pictures, and what is faster or slower.\n"
        "fastrl bench compile --help: programs compiled for an H100 or a TPU, on a machine without one.",
    )
    parser.add_argument("parts", nargs="*", default=["all"], metavar="PART", help="what to measure (default: all)")
    parser.add_argument("--launches", type=int, default=1, metavar="N", help="processes of each, by turns (default: 1)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="append the lines to it too (default: print alone)")
    meaning = "another checkout, launched by turns with this one (default: none)"
    parser.add_argument("--against", type=Path, metavar="DIR", help=meaning)
    meaning = "a program of yours beside ours, see benchmarks/README.md (default: none)"
    parser.add_argument("--peer", type=Path, metavar="FILE.py", help=meaning)
    found = parser.parse(words)
    if "compile" in found.parts:
        raise UserError("compile comes first and has options of its own; fastrl bench compile --help lists them")
    if "show" in found.parts:
        raise UserError("show comes first and has options of its own; fastrl bench show --help lists them")
    if found.peer is not None:
        if len(found.parts) != 1 or found.parts == ["all"] or found.against is not None:
            raise UserError("--peer goes with one part; write fastrl bench loop --peer FILE.py, or replay")
        from fastrl.benchmarks import beside

        return beside.run(found.parts[0], found.peer, found.launches, found.out)
    from fastrl.benchmarks import suite

    return suite.run(found.parts, found.launches, found.out, found.against)


def show(words: Sequence[str]) -> int:
    """Tables and pictures of files that `fastrl bench --out` wrote."""
    parser = Parser(
        prog="fastrl bench show",
        description="Prints what was measured as Markdown tables: medians, ranges, and what not to infer from them.",
    )
    parser.add_argument("files", nargs="+", metavar="FILE", help="files of JSON lines")
    meaning = (
        "say what is faster or slower than in this older file (default: no comparison, unless two checkouts are shown)"
    )
    parser.add_argument("--compare", metavar="FILE", help=meaning)
    meaning = "draw roofline.png and scaling.png there (default: no picture)"
    parser.add_argument("--picture", type=Path, metavar="DIR", help=meaning)
    parser.add_argument(
        "--page", type=Path, metavar="FILE", help="write the tables to it, not to stdout (default: stdout)"
    )
    found = parser.parse(words)
    from fastrl.benchmarks import compare, schema, tables

    lines = schema.read(found.files)
    old = [] if found.compare is None else schema.read([found.compare])
    text = tables.page(lines)
    if compare.wanted(lines, old):
        text = compare.table(lines, old)
    if found.picture is not None:
        from fastrl.benchmarks import pictures

        pictures.draw(lines, found.picture)
    if found.page is None:
        print(text)
    else:
        from fastrl.runs import manifest

        manifest.replace(found.page, (text + "\n").encode())
    return 0
