"""python benchmarks/switch.py RUN...: does fine-tuning fall below the pre-trained score? (OCR-CFT's first claim)

The pre-trained score of a seed is the mean over the evaluations of its frozen policy (the re-evaluation phase), or the
last evaluation of its pre-training where there are none, or the first of all. Each evaluation after it is taken minus
that score, seed by seed; it lies below where the 95 % interval of the difference does. Intervals are of one evaluation
each, and too narrow where seeds are few: chance alone takes some below. Prints a table of Markdown.
"""

import sys
from collections.abc import Sequence

import numpy as np

from fastrl import statistics
from fastrl.reports import results
from fastrl.reports.results import Results

HEAD = "| run | seeds | pre-trained | at the switch | lowest while fine-tuning | last | evaluations below |"


def pretrained(run: Results) -> np.ndarray:
    """The score [S] before anything of the method changed the policy."""
    phase = np.array(run.phase)
    frozen = phase == "reevaluate"
    if not frozen.any():
        before = np.flatnonzero(phase == "pretrain")
        frozen[before[-1] if before.size else 0] = True
    return run.values[:, frozen].mean(1)


def line(run: Results) -> str:
    """One row of the table."""
    before = pretrained(run)
    change = run.values - before[:, None]
    centres = np.array([statistics.iqm(column) for column in change.T])
    bands = [statistics.stratified_bootstrap(column) for column in change.T]
    learning = np.flatnonzero(np.array(run.phase) == "finetune")
    lowest, below = int(learning[centres[learning].argmin()]), sum(bands[n][1] < 0 for n in learning)
    assert run.switch is not None
    told = [f"{centres[n]:,.0f} [{bands[n][0]:,.0f}, {bands[n][1]:,.0f}]" for n in (run.switch, lowest, -1)]
    told[1] += f" at {run.online[lowest]:,}"
    cells = (run.folder.name, len(before), f"{statistics.iqm(before):,.0f}", *told, f"{below} of {len(learning)}")
    return f"| {' | '.join(map(str, cells))} |"


def table(runs: Sequence[Results]) -> str:
    """A row a run."""
    return "\n".join([HEAD, "|---" * 7 + "|", *map(line, runs)])


if __name__ == "__main__":
    print(table([results.load(folder) for folder in sys.argv[1:]]))
