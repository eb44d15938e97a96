"""python benchmarks/reliability/errors.py: every kind of bad dataset and bad word, through the command line.

Each is one thing wrong with a D4RL file that is good otherwise (a key, a shape, a row, a number, the file itself), or
with the words of the command. The command must end with exit code 2 and one line that names the file and the key or
row, or the word; where a doubtful dataset is allowed (constant rewards, no end of an episode), a line must say so. No
run folder may be left. No accelerator is used.
"""

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from fastrl.benchmarks.reliability import brief, common

FIGURE = "Bad input ends a command with exit code 2 and one line that names the file, the key or row, or the word."
ROWS, BAD = 60, 17
Columns = dict[str, Any]


def columns() -> Columns:
    """A good dataset of `probe-action`: episodes that are cut at their fifth row."""
    rng = np.random.default_rng(0)
    last = np.arange(ROWS) % 5 == 4
    return {
        "observations": np.zeros((ROWS, 1), np.float32),
        "actions": rng.uniform(-0.9, 0.9, (ROWS, 1)).astype(np.float32),
        "rewards": rng.normal(size=ROWS).astype(np.float32),
        "terminals": np.zeros(ROWS, bool),
        "timeouts": last,
    }


def put(key: str, value: Any, row: int | None = BAD) -> Callable[[Columns], Columns]:
    """A dataset with another value in one row of a column."""

    def change(found: Columns) -> Columns:
        column = found[key].astype(np.float32)
        column[slice(None) if row is None else row] = value
        return found | {key: column}

    return change


def reshaped(key: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Columns], Columns]:
    """A dataset with another shape of a column."""
    return lambda found: found | {key: change(found[key])}


def without(key: str) -> Callable[[Columns], Columns]:
    """A dataset without a column."""
    return lambda found: {name: column for name, column in found.items() if name != key}


DATASETS: dict[str, tuple[Callable[[Columns], Columns], tuple[str, ...]]] = {
    **{f"no {key}": (without(key), (key,)) for key in ("observations", "actions", "rewards", "terminals")},
    **{
        f"{key} shorter": (reshaped(key, lambda x: x[:-3]), (key,))
        for key in ("observations", "actions", "rewards", "terminals", "timeouts")
    },
    "rewards of two columns": (reshaped("rewards", lambda x: np.stack([x, x], 1)), ("rewards",)),
    "observations of rank 3": (reshaped("observations", lambda x: x[:, None]), ("observations",)),
    "observations of another size": (reshaped("observations", lambda x: np.repeat(x, 2, 1)), ("obs",)),
    "actions of another size": (reshaped("actions", lambda x: np.repeat(x, 2, 1)), ("action",)),
    "text": (reshaped("rewards", lambda x: x.astype("S4")), ("rewards",)),
    **{
        f"{value} in {key}": (put(key, value), (key, str(BAD)))
        for key in ("observations", "actions", "rewards")
        for value in (np.nan, np.inf)
    },
    "an action outside": (put("actions", 1.5), ("action", str(BAD))),
    "a terminal of a half": (put("terminals", 0.5), ("terminals", str(BAD))),
    "a timeout of two": (put("timeouts", 2.0), ("timeouts", str(BAD))),
    "no row": (lambda found: {key: column[:0] for key, column in found.items()}, ()),
}
DOUBTFUL = {
    "constant rewards": (put("rewards", 1.0, None), ("reward",)),
    "no end": (lambda found: found | {"timeouts": np.zeros(ROWS, bool)}, ("end",)),
}
"""Allowed with a line, or refused."""
FILES: dict[str, Callable[[bytes], bytes]] = {
    "cut": lambda content: content[: len(content) // 2],
    "empty": lambda content: b"",
    "text": lambda content: b"not a dataset\n",
}
WORDS: dict[str, tuple[list[str], tuple[str, ...]]] = {
    "unknown command": (["runn"], ("runn", "run")),
    "unknown recipe": (["run", "wsrk", "--env", common.ENV], ("wsrk", "wsrl")),
    "unknown environment": (["run", "sac", "--env", "hoper"], ("hoper", "hopper")),
    "unknown option": (["run", "sac", "--env", common.ENV, "--stepps", "3"], ("--stepps", "--steps")),
    "not a number": (["run", "sac", "--env", common.ENV, "--steps", "many"], ("--steps", "many")),
    "negative": (["run", "sac", "--env", common.ENV, "--batch-size", "-1"], ("batch",)),
    "no environment": (["run", "sac"], ("--env",)),
    "no dataset": (["run", "wsrl", "--env", common.ENV], ("dataset",)),
    "no such file": (["run", "wsrl", "--env", common.ENV, "--dataset", "gone.hdf5"], ("gone.hdf5",)),
    "no such agent": (["evaluate", "gone", "--env", common.ENV], ("gone",)),
    "no such run": (["report", "gone"], ("gone",)),
}


def case(
    name: str, words: list[str], named: tuple[str, ...], home: Path, file: str = "", doubt: bool = False
) -> dict[str, Any]:
    """A command with something wrong, which must name what; a doubt may be told and no more."""
    out = home / "out" / name.replace(" ", "-")
    writes = words[0] in ("run", "pretrain")
    answer = brief.told([*words, "--out", str(out)] if writes else words, home, home / "said.txt")
    line = answer.lines[-1] if answer.lines else answer.said.strip()[-300:]
    told = (answer.refused and answer.code == 2) or (doubt and answer.code == 0)
    names = all(word in answer.said for word in (*named, file))
    good = bool(told and names and (doubt or not out.exists()))
    shown = answer.said if doubt else line
    return {"input": name, "code": answer.code, "line": shown.replace(str(home), "")[:300], "good": good}


def cases(home: Path) -> list[dict[str, Any]]:
    """All of them."""
    rows = [case(name, words, named, home) for name, (words, named) in WORDS.items()]
    options = {"env": common.ENV, "steps": 2, "seeds": 1, "actor-hidden": 8, "batch-size": 8, "log": "none"}
    words = ["pretrain", "bc", *common.as_words(options), "--dataset"]
    for number, (name, (change, named)) in enumerate((DATASETS | DOUBTFUL).items()):
        path = home / f"bad{number}.hdf5"
        with h5py.File(path, "w") as file:
            for key, column in change(columns()).items():
                file[key] = column
        rows.append(case(name, [*words, str(path)], named, home, path.name, name in DOUBTFUL))
    with h5py.File(home / "good.hdf5", "w") as file:
        for key, column in columns().items():
            file[key] = column
    for name, damaged in FILES.items():
        path = home / f"{name}.hdf5"
        path.write_bytes(damaged((home / "good.hdf5").read_bytes()))
        rows.append(case(f"a file that is {name}", [*words, str(path)], (), home, path.name))
    return rows


def counted(rows: list[dict[str, Any]]) -> tuple[dict[str, Any], bool]:
    """What the cases add up to."""
    counts = {"inputs": len(rows), "told_in_one_line": sum(row["good"] for row in rows)}
    return counts, 0 < len(rows) == counts["told_in_one_line"]


def main() -> int:
    """The words, the datasets, the files."""
    found = common.parser("errors", __doc__).parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        rows = cases(Path(folder))
    for row in rows:
        print(json.dumps(row), flush=True)
    counts, passed = counted(rows)
    return common.write(found.json, FIGURE, counts, passed, rows, started)


if __name__ == "__main__":
    sys.exit(main())
