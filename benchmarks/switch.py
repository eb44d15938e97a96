"""python benchmarks/switch.py RUN...: does fine-tuning fall below the pre-trained score? (OCR-CFT's first claim)

The pre-trained score of a seed is the mean over the evaluations of its frozen policy (the re-evaluation phase), or the
last evaluation of its pre-training where there are none. Each evaluation after it is taken minus that score, seed by
seed; a run falls below where the 95 % interval of the difference lies below 0. The lowest evaluation is the lowest of
many, so that chance alone takes it below more often than one in twenty. Prints a table of Markdown.
"""

import sys
from collections.abc import Sequence

import numpy as np

from fastrl.reports import results, statistics
from fastrl.reports.results import Results

HEAD = "| run | seeds | pre-trained | moment | minus pre-trained, 95 % interval | below |"


def pretrained(run: Results) -> np.ndarray:
    """The score [S] before anything of the method changed the policy."""
    phase = np.array(run.phase)
    frozen = phase == "reevaluate"
    if not frozen.any():
        frozen[np.flatnonzero(phase == "pretrain")[-1]] = True
    return run.values[:, frozen].mean(1)


def line(run: Results, moment: str, index: int) -> str:
    """One row of the table: the differences of one evaluation."""
    before = pretrained(run)
    change = run.values[:, index] - before
    low, high = statistics.stratified_bootstrap(change)
    name, score, found = run.folder.name, statistics.iqm(before), statistics.iqm(change)
    below = "yes" if high < 0 else "no"
    return f"| {name} | {len(before)} | {score:,.0f} | {moment} | {found:,.0f} [{low:,.0f}, {high:,.0f}] | {below} |"


def table(runs: Sequence[Results]) -> str:
    """For each run: the switch, the lowest evaluation while it fine-tunes, the last."""
    lines = [HEAD, "|---|---|---|---|---|---|"]
    for run in runs:
        change = run.values - pretrained(run)[:, None]
        centres = np.array([statistics.iqm(column) for column in change.T])
        learning = np.flatnonzero(np.array(run.phase) == "finetune")
        lowest = int(learning[centres[learning].argmin()])
        assert run.switch is not None
        lines.append(line(run, "at the switch", run.switch))
        lines.append(line(run, f"lowest while fine-tuning, at {run.online[lowest]:,} steps", lowest))
        lines.append(line(run, f"last, at {run.online[-1]:,} steps", -1))
    return "\n".join(lines)


if __name__ == "__main__":
    print(table([results.load(folder) for folder in sys.argv[1:]]))
