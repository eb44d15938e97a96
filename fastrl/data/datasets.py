"""Offline data on the host, with its provenance."""

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from fastrl.data import rows, validate
from fastrl.data.sources import Source
from fastrl.types import Spec, UserError


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
    """Rows in their stored order, all legal to learn from, an unfinished tail included."""

    obs: np.ndarray  # [M, O]
    action: np.ndarray  # [M, A], clipped to +-(1 - 1e-5)
    reward: np.ndarray  # [M], raw
    mask: np.ndarray  # [M], 1 - terminal
    next_obs: np.ndarray  # [M, O]
    boundary: np.ndarray  # [M] bool: the row ends a stored trajectory (terminal, timeout or jump)
    name: str  # the file's path, or what the caller called its arrays
    sha256: str  # of the file's bytes, or of the arrays
    order: tuple[str, ...] = ()  # of the keys of a Dict observation, where the file has one
    reading: tuple[str, ...] = ()  # the options that changed the file's rows
    notes: tuple[str, ...] = ()  # what the reader found that the user should know, a sentence each
    dropped: str = ""  # how many rows of the file are none of these, and why; empty where all are

    @property
    def rows(self) -> int:
        """M."""
        return len(self.reward)

    def starts(self) -> np.ndarray:
        """First row of each trajectory, of an unfinished tail too, [trajectories] int."""
        return np.flatnonzero(np.r_[True, self.boundary[:-1]])

    def episode_returns(self) -> np.ndarray:
        """Undiscounted raw return of each finished trajectory, [trajectories] float64."""
        ends = np.flatnonzero(self.boundary)
        sums = np.cumsum(self.reward, dtype=np.float64)[ends]
        return np.diff(sums, prepend=0.0)

    def without_tail(self) -> "Dataset":
        """The rows up to the last boundary, as Cal-QL's Monte-Carlo returns need them."""
        ends = np.flatnonzero(self.boundary)
        if not ends.size:
            raise UserError(f"{self.name}: no episode ends; Monte-Carlo returns need finished ones")
        return self.only(slice(0, int(ends[-1]) + 1))

    def only(self, keep: slice | np.ndarray) -> "Dataset":
        """The rows of a slice, or those that are True in [M] bool."""
        fields = ("obs", "action", "reward", "mask", "next_obs", "boundary")
        return dataclasses.replace(self, **{field: getattr(self, field)[keep] for field in fields})

    @classmethod
    def from_arrays(
        cls,
        obs: Any,
        action: Any,
        reward: Any,
        mask: Any,
        next_obs: Any,
        boundary: Any = None,
        name: str = "arrays",
    ) -> "Dataset":
        """Any arrays of the shapes above, checked and copied.

        A trajectory ends where `boundary` says so, where mask is 0, and before a row that does not
        start at `next_obs`; without `boundary` also at the last row.
        """
        given = {"obs": obs, "action": action, "reward": reward, "mask": mask, "next_obs": next_obs}
        if boundary is not None:
            given["boundary"] = boundary
        ranks = {"obs": 2, "action": 2, "next_obs": 2}
        arrays = {key: validate.numbers(name, key, np.array(value), ranks.get(key, 1)) for key, value in given.items()}
        validate.same_rows(name, arrays, "obs")
        if arrays["obs"].shape != arrays["next_obs"].shape:
            raise UserError(
                f"{name}: 'next_obs' has shape {arrays['next_obs'].shape} but 'obs' has "
                f"{arrays['obs'].shape}; store both alike"
            )
        for key in ("obs", "action", "reward", "next_obs"):
            validate.finite(name, key, arrays[key])
        for key in arrays.keys() & {"mask", "boundary"}:
            validate.binary(name, key, arrays[key])
        arrays["action"] = validate.unit_actions(name, "action", arrays["action"])
        ends = _ends(arrays)
        unsaid = int((ends & ~_said(arrays)).sum()) if boundary is not None else 0
        note = f"{unsaid} of {len(arrays['obs'])} rows end no episode and are not followed by their successor"
        arrays["boundary"] = ends
        return cls(**arrays, name=name, sha256=_digest(arrays), notes=(note,) if unsaid else ())  # type: ignore[arg-type]


def load(ref: str | Path, *, horizon: int | None = None, **options: Any) -> Dataset:
    """The dataset of a file, a folder or a Minari id; `options` are the fields of `fastrl.data.sources.Source`.

    `horizon`: the environment's episode length, needed where a D4RL file has no `timeouts`. A
    trajectory whose timeout is the file's last row counts as finished. The rows of an unfinished
    tail stay: see `Dataset.without_tail`.
    """
    return open_source(Source(ref, **options), horizon)


def open_source(source: Source, horizon: int | None = None) -> Dataset:
    """As `load`, of a source that was described before."""
    found, sha256 = source.read(horizon)
    return Dataset(
        obs=found.obs,
        action=found.action,
        reward=found.reward,
        mask=1.0 - found.terminal.astype(np.float32),
        next_obs=found.next_obs,
        boundary=found.boundary,
        name=str(source.ref),
        sha256=sha256,
        order=found.order,
        reading=source.reading,
        notes=found.notes,
        dropped=found.dropped,
    )


def check(dataset: Dataset, spec: Spec, *, capacity: int | None = None) -> None:
    """Refuses a dataset of another task, or one larger than the replay that shall hold it."""
    validate.sizes(dataset.name, dataset.obs.shape[1], dataset.action.shape[1], spec, dataset.order)
    if capacity is not None and dataset.rows > capacity:
        raise UserError(f"{dataset.name}: has {dataset.rows} rows but the replay holds {capacity}; raise the capacity")


def _ends(arrays: dict[str, np.ndarray]) -> np.ndarray:
    """[M] bool: where trajectories end, with CORL's jump test for data without timeouts."""
    ends = _said(arrays) | rows.jumps(arrays["obs"], arrays["next_obs"])
    ends[-1] |= "boundary" not in arrays
    return ends


def _said(arrays: dict[str, np.ndarray]) -> np.ndarray:
    """[M] bool: where trajectories end by `mask` and `boundary` alone."""
    terminal = arrays["mask"] == 0
    return terminal | (arrays["boundary"] == 1) if "boundary" in arrays else terminal


def _digest(arrays: dict[str, np.ndarray]) -> str:
    """The sha256 of the arrays' shapes and bytes, in the order of their names."""
    sha256 = hashlib.sha256()
    for key in sorted(arrays):
        sha256.update(f"{key} {arrays[key].shape}".encode())
        sha256.update(np.ascontiguousarray(arrays[key]).data)
    return sha256.hexdigest()
