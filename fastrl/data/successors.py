"""Which observation follows each stored row, and which rows stay: one rule for every format that stores flat rows.

By default the row after a row has its successor, as in D4RL's `qlearning_dataset`: a timed-out row has none and is
dropped, and so is a last row that ends nothing. Where a file names the successors itself (`next_observations`), they
must agree, or be asked for. Two things differ from D4RL: a terminal row stays wherever it stands, as nothing is
bootstrapped from it, and a row that is terminal and timed out at once is terminal.
"""

from typing import Literal

import numpy as np

from fastrl.data import rows
from fastrl.data.rows import Rows
from fastrl.types import UserError

Successors = Literal["row", "file"]
ROUNDING = (
    1e-5  # by which the two may differ, of one plus their size: float64 that was stored as float32 differs by less
)


def resolve(
    where: str, arrays: dict[str, np.ndarray], terminals: np.ndarray, timeouts: np.ndarray, which: Successors
) -> Rows:
    """The rows of checked arrays by their key in a file; `terminals` and `timeouts` are [N] bool."""
    if which == "file" and "next_observations" not in arrays:
        raise UserError(f"{where}: has no 'next_observations' to take; leave --next-observations out")
    if which == "file":
        return _own(arrays, terminals, timeouts)
    kept = terminals | ~timeouts
    kept[-1] &= terminals[-1]
    if not kept.any():
        raise UserError(f"{where}: 'timeouts' leave no rows; store 1 only where an episode is cut")
    following = np.concatenate([arrays["observations"][1:], arrays["observations"][-1:]])
    if "next_observations" in arrays:
        following[-1] = arrays["next_observations"][-1]
        _agree(where, arrays["next_observations"], following, kept & ~terminals)
    cut = np.append(timeouts[1:] & ~terminals[1:], False)  # the row after it is dropped
    found = _rows(arrays, terminals, following, terminals | cut, kept)
    return found._replace(dropped=_dropped(kept, timeouts, "next_observations" in arrays))


def _dropped(kept: np.ndarray, timeouts: np.ndarray, named: bool) -> str:
    """What was dropped and why; `named`: the file says itself what follows a row."""
    cut, tail = int((~kept & timeouts).sum()), int(not (kept[-1] or timeouts[-1]))
    causes = [f"{cut:,} timed out"] * (cut > 0) + ["1 is the last of the file"] * tail
    fix = "; --next-observations file keeps them" if named else ""
    why = f", as no row of their episode follows: {', '.join(causes)}{fix}"
    return f"{cut + tail:,} of {len(kept):,}{why}" if causes else ""


def _own(arrays: dict[str, np.ndarray], terminals: np.ndarray, timeouts: np.ndarray) -> Rows:
    """Every row, with the successor that the file names."""
    following = arrays["next_observations"]
    jumps = rows.jumps(arrays["observations"], following)
    unsaid = int((jumps & ~terminals & ~timeouts).sum())
    note = f"{unsaid} of {len(jumps)} rows end no episode and are not followed by their successor"
    found = _rows(arrays, terminals, following, terminals | timeouts | jumps, np.ones(len(jumps), bool))
    return found._replace(notes=(note,) if unsaid else ())


def _rows(
    arrays: dict[str, np.ndarray], terminals: np.ndarray, following: np.ndarray, ends: np.ndarray, kept: np.ndarray
) -> Rows:
    columns = (arrays["observations"], arrays["actions"], arrays["rewards"], terminals, following, ends)
    return Rows(*(column[kept] for column in columns))


def _agree(where: str, named: np.ndarray, following: np.ndarray, pairs: np.ndarray) -> None:
    """The file's successors are the next rows', but for rounding, in the rows `pairs` [N] bool."""
    apart = np.abs(named - following) > ROUNDING * (1.0 + np.abs(following))
    wrong = int((apart.any(axis=1) & pairs).sum())
    if wrong:
        raise UserError(
            f"{where}: in {wrong} of {int(pairs.sum())} rows 'next_observations' is not the next row's observation; "
            "add --next-observations file to take the file's own, or mend its order and its flags"
        )
