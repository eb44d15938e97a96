"""`fastrl reproduce`: a paper's claims, put to the test."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from fastrl.cli.options import Parser
from fastrl.errors import UserError, unknown

PAPERS = ("wsrl", "ocr-cft")
BUDGETS = ("small", "paper")


def main(words: Sequence[str], prepare: Callable[[], None]) -> int:
    """Runs what a paper's figures need, draws them, prints each claim with its verdict."""
    parser = Parser(
        prog="fastrl reproduce",
        description="Runs what a paper's figures need, draws them, and says of each claim whether it holds, with its\n"
        "effect and 95 % interval. What is in --out already is not run again.",
    )
    parser.add_argument("paper", metavar="PAPER", help=" or ".join(PAPERS))
    for flag in ("figure", "table"):
        meaning = f"a {flag}, any number of times (default: all of the paper's)"
        parser.add_argument(f"--{flag}", action="append", default=[], metavar="N", help=meaning)
    parser.add_argument(
        "--budget", default="small", metavar="{small,paper}", help="small: two CPU cores (default: small)"
    )
    parser.add_argument("--seeds", type=int, default=5, metavar="N", help="seeds of every run (default: 5)")
    parser.add_argument("--out", default="runs/reproduce", metavar="DIR", help="folder (default: runs/reproduce)")
    parser.add_argument(
        "--run",
        metavar="NAME",
        help="one agent (TASK/AGENT) or arm (TASK/arms/ARM) alone, as a job of a cluster (default: all needed)",
    )
    parser.add_argument("--list", action="store_true", help="list the paper's figures and claims (default: run them)")
    found = parser.parse(words)
    if found.paper not in PAPERS:
        raise unknown("paper", found.paper, PAPERS)
    if found.budget not in BUDGETS:
        raise unknown("budget", found.budget, BUDGETS)
    if found.seeds < 2:
        raise UserError(f"--seeds must be at least 2, not {found.seeds}: one seed has no interval")
    prepare()
    import jax

    from fastrl import startup
    from fastrl.experiments import reproduce, side_by_side
    from fastrl.runs import manifest
    from fastrl.runs.progress import Progress

    numbers = [*found.figure, *found.table]
    if found.list:
        print(reproduce.listing(found.paper))
        return 0
    out = Path(found.out) / f"{found.paper}-{found.budget}"
    reproduce.select(found.paper, numbers)
    manifest.make_folder(out)
    startup.keep_compiled(out / "compiled")  # arms share their warm-up's program and that of their evaluations
    known = found.paper, found.budget, found.seeds, out
    if found.run is not None:
        reproduce.one(*known, found.run, Progress(sys.stderr))
        return 0
    many = jax.default_backend() == "cpu" and len(side_by_side.cores()) > 1
    command = (
        (lambda run: [sys.executable, "-m", "fastrl.cli.main", "reproduce", *words, "--run", run]) if many else None
    )
    print(reproduce.reproduce(found.paper, numbers, *known[1:], Progress(sys.stderr), command))
    return 0
