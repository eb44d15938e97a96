"""What the ring starts with: rows of the dataset that a phase puts into it before its first step."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fastrl.data.datasets import Dataset
from fastrl.types import Key, UserError


class Fill(NamedTuple):
    """Rows of the dataset, the same number for each seed."""

    name: str  # in words, part of what a run is
    rows: Callable[[int], int]
    """How many rows of a dataset of M."""
    take: Callable[[jax.Array, Key], jax.Array]
    """`(packed rows [M, W], key) -> rows [K, W]` of one seed, in the order in which they are written."""


EVERYTHING = Fill("everything", lambda count: count, lambda data, key: data)
"""The whole dataset, in its order (retention `append`)."""


def some(count: int) -> Fill:
    """`count` rows drawn uniformly with replacement, others for each seed (WSRL, figure 25; PROTO)."""

    def take(data: jax.Array, key: Key) -> jax.Array:
        return data[jax.random.randint(key, (count,), 0, data.shape[0])]

    return Fill(f"{count} random rows", lambda _: count, take)


def best(data: Dataset | None, trajectories: int) -> Fill:
    """The rows of the trajectories with the highest raw returns, all of each, in the dataset's order (ACA; ODT).

    An unfinished trajectory at the end of the data does not count. Raises `UserError` where there are fewer.
    """
    index = np.zeros(0, np.int64) if data is None else best_rows(data, trajectories)
    return Fill(f"rows of the {trajectories} best trajectories", lambda _: len(index), lambda rows, key: rows[index])


def best_rows(data: Dataset, trajectories: int) -> np.ndarray:
    """Indices [K] of the rows of the `trajectories` with the highest returns."""
    ends = np.flatnonzero(data.boundary)
    if len(ends) < trajectories:
        raise UserError(f"the dataset has {len(ends)} finished trajectories, and the method keeps {trajectories}")
    starts = np.r_[0, ends[:-1] + 1]
    returns = np.add.reduceat(data.reward[: ends[-1] + 1].astype(np.float64), starts)
    chosen = np.sort(np.argsort(-returns, kind="stable")[:trajectories])
    return np.concatenate([np.arange(starts[i], ends[i] + 1) for i in chosen])


def packed(fill: Fill, data: jax.Array, keys: Key) -> jax.Array:
    """Rows [S, K, W] of the seeds whose keys [S] are given."""
    return jax.vmap(lambda key: jnp.asarray(fill.take(data, key)))(keys)
