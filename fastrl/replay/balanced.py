"""Balanced replay (Off2On, arXiv 2107.00591, section 4.2): rows of dataset and ring together, by priority.

One draw of a minibatch of B rows is 3 B rows: B of the union of dataset and ring, each with a probability in proportion
to its priority, then B uniform ones of the dataset, then B uniform ones of the ring. From the last two a network learns
how online a row is; after the update, what it says of the first B is their priority.

A row is found by an exact inverse CDF of two levels: a block of rows by the sums of the blocks, then a row inside it,
each by a uniform number of its own. (One cumulative sum of a million float32 numbers would lose the small ones, and one
uniform float32 has 2^23 values.) The sums are taken anew for each draw: to keep them up to date costs as much.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from fastrl.replay import ring as rings
from fastrl.replay.draws import Draw, Room, Stock
from fastrl.types import Key, Transition, UserError

BLOCK = 512
"""Rows of one block."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Priorities:
    """How often the rows are drawn; a seed's own, so that every leaf may have seeds [n] in front."""

    data: jax.Array  # [M], of the dataset's rows
    ring: jax.Array  # [N], of the ring's, 0 where nothing is written
    pointer: jax.Array  # [] int32, the ring's
    maximum: jax.Array  # [], the largest so far, which new rows get


def balanced(share: float, first: int = 1_000) -> Draw:
    """Rows by priority, of which the first `first` rows of the ring are that `share`, in (0, 1).

    The dataset's M rows start at priority 1, so that these get `M share / ((1 - share) first)`.
    """
    if not 0.0 < share < 1.0:
        raise UserError(
            f"--offline-ratio {1.0 - share:g}: rows that are drawn by priority are of both kinds at first; choose a "
            "share between 0 and 1"
        )

    def start(room: Room) -> Priorities:
        first_priority = jnp.float32(room.data * share / ((1.0 - share) * first))
        return Priorities(jnp.ones(room.data), jnp.zeros(room.capacity), jnp.int32(0), first_priority)

    return Draw(_take, start, _observe, weighed=_weighed, offline=1.0 - share)


def index(memory: Priorities, key: Key, count: int) -> jax.Array:
    """`count` places [count] by priority: below M of the dataset's rows, from M on of the ring's. One seed."""
    block_key, row_key = jax.random.split(key)
    sums = jnp.concatenate([_sums(memory.data), _sums(memory.ring)])
    block = jax.vmap(_inverse, (None, 0))(jnp.cumsum(sums), jax.random.uniform(block_key, (count,)))
    own = -(-memory.data.shape[0] // BLOCK)  # blocks of the dataset
    offline = block < own
    place = jnp.where(offline, block, block - own)[:, None] * BLOCK + jnp.arange(BLOCK)[None]
    inside = jnp.where(offline[:, None], _at(memory.data, place), _at(memory.ring, place))
    row = jax.vmap(_inverse)(jnp.cumsum(inside, axis=1), jax.random.uniform(row_key, (count,)))
    chosen = jnp.take_along_axis(place, row[:, None], axis=1)[:, 0]
    return jnp.where(offline, chosen, memory.data.shape[0] + chosen)


def _inverse(cumulative: jax.Array, uniform: jax.Array) -> jax.Array:
    """The place of a uniform number [] in the CDF whose unnormalised values are `cumulative` [K].

    It is the first place above the number, so that what has no probability is never chosen.
    """
    return jnp.sum(cumulative <= uniform * cumulative[-1], dtype=jnp.int32)


def _sums(priority: jax.Array) -> jax.Array:
    """Of each block, the last of which is filled with zeros."""
    return jnp.pad(priority, (0, -priority.shape[0] % BLOCK)).reshape(-1, BLOCK).sum(1)


def _at(priority: jax.Array, place: jax.Array) -> jax.Array:
    return priority.at[place].get(mode="fill", fill_value=0.0, wrap_negative_indices=False)


def _take(stock: Stock, memory: Priorities, keys: Key, calls: int, batch: int) -> jax.Array:
    """Rows [n, C, 3 B, W]: by priority, of the dataset, of the ring."""
    assert stock.ring is not None and stock.data is not None
    seeds, count, data, own = keys.shape[0], calls * batch, stock.data, stock.data.shape[0]
    places = _each(lambda memory, key: index(memory, jax.random.fold_in(key, 0), count), memory, keys)
    of_data = data.at[jnp.minimum(places, own - 1)].get(mode="promise_in_bounds", wrap_negative_indices=False)
    of_ring = rings.gather(stock.ring, jnp.maximum(places - own, 0), stock.first)
    chosen = jnp.where((places < own)[..., None], of_data, of_ring)
    offline = _each(lambda key: rings.take(data, jax.random.fold_in(key, 1), count), keys)
    ring_keys = _each(lambda key: jax.random.fold_in(key, 2), keys)
    online = rings.sample(stock.ring, ring_keys, count, stock.first)
    return jnp.concatenate([rows.reshape(seeds, calls, batch, -1) for rows in (chosen, offline, online)], axis=2)


def _observe(memory: Priorities, rows: Transition) -> tuple[Priorities, None]:
    """The step's E rows get the largest priority so far, at the ring's own places."""
    count, capacity = rows.reward.shape[0], memory.ring.shape[0]
    place = (memory.pointer + jnp.arange(count, dtype=jnp.int32)) % capacity
    ring = memory.ring.at[place].set(memory.maximum, unique_indices=True, wrap_negative_indices=False)
    return dataclasses.replace(memory, ring=ring, pointer=(memory.pointer + count) % capacity), None


def _weighed(stock: Stock, memory: Priorities, keys: Key, weights: jax.Array) -> Priorities:
    """The rows that were drawn by priority get their weights [n, C, B]; a row that came twice gets the larger one."""

    def one(memory: Priorities, key: Key, weights: jax.Array) -> Priorities:
        places = index(memory, jax.random.fold_in(key, 0), weights.size)
        own, capacity = memory.data.shape[0], memory.ring.shape[0]
        there = jnp.where(places < own, capacity, places - own)  # beyond its end, where it is dropped
        return dataclasses.replace(
            memory,
            data=_written(memory.data, places, weights.reshape(-1)),
            ring=_written(memory.ring, there, weights.reshape(-1)),
            maximum=jnp.maximum(memory.maximum, weights.max()),
        )

    return _each(one, memory, keys, weights)


def _written(priority: jax.Array, place: jax.Array, weight: jax.Array) -> jax.Array:
    """The weights at their places, the largest where there are several: the same in whatever order they are written."""
    cleared = priority.at[place].set(0.0, mode="drop", wrap_negative_indices=False)
    return cleared.at[place].max(weight, mode="drop", wrap_negative_indices=False)


def _each(function: Callable[..., Any], *seeds: Any) -> Any:
    """`function` of each of n seeds, [n, ...]; of one without a map."""
    if jax.tree.leaves(seeds)[0].shape[0] > 1:
        return jax.vmap(function)(*seeds)
    return jax.tree.map(lambda x: x[None], function(*jax.tree.map(lambda x: x[0], seeds)))
