"""Windows of consecutive rows of the dataset, for sequence models (ODT)."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fastrl.replay.draws import Draw, Stock
from fastrl.replay.ring import MC_RETURN
from fastrl.types import Key


def windows(length: int, values: np.ndarray) -> Draw:
    """For each of B rows, drawn uniformly, it and the `length - 1` rows before it: [n, C, B * length, W].

    A window may begin in another trajectory: there `last` is 1 before its own begins. In place of rows before the
    dataset's first there is that one, with `last` 1 too. `values` [M] stand in `mc_return`, one for each row of the
    dataset or more: what a sequence model is told about returns depends neither on the discount nor on the reward's
    scale.
    """
    known = np.asarray(values, np.float32)

    def take(stock: Stock, memory: Any, keys: Key, calls: int, batch: int) -> jax.Array:
        data = stock.data
        assert data is not None

        def one(key: Key) -> jax.Array:
            end = jax.random.randint(key, (calls * batch,), 0, data.shape[0])
            place = end[:, None] - jnp.arange(length - 1, -1, -1, dtype=jnp.int32)[None]
            there = jnp.maximum(place, 0)
            rows = data.at[there].get(mode="promise_in_bounds", wrap_negative_indices=False)
            rows = rows.at[..., MC_RETURN].set(jnp.asarray(known)[there])
            rows = rows.at[..., -1].set(jnp.where(place < 0, 1.0, rows[..., -1]))
            return rows.reshape(calls, batch * length, -1)

        return jax.vmap(one)(keys) if len(keys) > 1 else one(keys[0])[None]

    return Draw(take, offline=1.0)
