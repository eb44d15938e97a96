"""Which rows an update learns from: a draw is a few pure functions, with a memory for each seed where it needs one."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from fastrl.replay import episodes
from fastrl.replay import ring as rings
from fastrl.replay.ring import Ring
from fastrl.types import Key, Transition, UserError


class Stock(NamedTuple):
    """What there is to draw from, for n consecutive seeds of which `first` is the first."""

    ring: Ring | None
    data: jax.Array | None  # the dataset's packed rows [M, W]
    first: jax.Array
    step: jax.Array  # [] int32: environment steps of one seed since it went online; offline, gradient steps


class Room(NamedTuple):
    """The sizes that a draw's memory may depend on."""

    copies: int  # environments of one seed, E
    horizon: int  # of an episode
    data: int  # rows of the dataset, M; 0 without one
    capacity: int  # rows of the ring


class Draw(NamedTuple):
    """Rows of C minibatches of B rows, for each of n seeds."""

    take: Callable[[Stock, Any, Key, int, int], jax.Array]
    """`(stock, memory [n, ...], keys [n], C, B) -> rows [n, C, B, W]`."""
    start: Callable[[Room], Any] | None = None
    """`room -> memory` of one seed; None: there is none."""
    observe: Callable[[Any, Transition], tuple[Any, Any]] | None = None
    """`(memory, the step's rows [E, ...]) -> (memory, what was found)`, of one seed."""
    settle: Callable[[Ring, Any, jax.Array, jax.Array], Ring] | None = None
    """`(ring, found [n, ...], sound [n], first) -> ring`, after the rows are written and before the pointer moves."""
    weighed: Callable[[Stock, Any, Key, jax.Array], Any] | None = None
    """`(stock, memory [n, ...], keys [n], weights [n, C, B]) -> memory` after an update, the keys those of `take`."""
    offline: float = 0.0  # the share of dataset rows, at first
    annealed: tuple[float, int] | None = None  # the share that it ends at, and after how many steps


def _uniform(stock: Stock, memory: Any, keys: Key, calls: int, batch: int) -> jax.Array:
    assert stock.ring is not None
    rows = rings.sample(stock.ring, keys, calls * batch, stock.first)
    return rows.reshape(len(rows), calls, batch, -1)


UNIFORM = Draw(_uniform)
"""Uniform over the ring, with replacement."""


def _data(stock: Stock, memory: Any, keys: Key, calls: int, batch: int) -> jax.Array:
    data = stock.data
    assert data is not None
    take = lambda key: rings.take(data, key, calls * batch).reshape(calls, batch, -1)
    return jax.vmap(take)(keys) if len(keys) > 1 else take(keys[0])[None]


DATA = Draw(_data, offline=1.0)
"""Uniform over the dataset, with replacement."""


def finished(discount: Any, failure: float | None) -> Draw:
    """Uniform over the rows of episodes that have ended, whose Monte-Carlo returns are known by then (Cal-QL)."""

    def take(stock: Stock, memory: episodes.OpenEpisodes, keys: Key, calls: int, batch: int) -> jax.Array:
        assert stock.ring is not None
        rows = rings.sample_finished(stock.ring, memory.length, keys, calls * batch, stock.first)
        return rows.reshape(len(rows), calls, batch, -1)

    def observe(memory: episodes.OpenEpisodes, rows: Transition) -> tuple[Any, Any]:
        memory, returns, age = episodes.push(memory, rows.reward, rows.mask, rows.last > 0, discount, failure)
        return memory, (returns, age)

    def settle(ring: Ring, found: Any, sound: jax.Array, first: jax.Array) -> Ring:
        returns, age = found
        kept = jnp.where(sound[:, None, None], age, -1)
        return rings.set_returns(ring, returns, kept, first)

    start = lambda room: episodes.start(room.copies, room.horizon)
    return Draw(take, start, observe, settle)


def newest(length: int, copies: int) -> Draw:
    """The last `length` steps of all E copies in their order, as `length` minibatches of E rows (PPO)."""

    def take(stock: Stock, memory: Any, keys: Key, calls: int, batch: int) -> jax.Array:
        assert stock.ring is not None
        rows = rings.newest(stock.ring, length * copies, keys, stock.first)
        return rows.reshape(len(rows), length, copies, -1)

    return Draw(take)


def mixed(online: Draw, ratio: float, annealed: tuple[float, int] | None = None) -> Draw:
    """Rows of the dataset in every minibatch, in an exact ratio, beside those of another draw.

    `annealed` (b, n): the ratio goes from `ratio` to b on a straight line over the first n environment steps, rounded
    to whole rows. The released WSRL code concatenates before it cuts into minibatches, so that at ratio 0.5 and UTD 4
    their offline fractions are 0, 0, 1, 1; RLPD's and ours are 0.5 each.
    """
    if annealed is not None and annealed[0] != ratio:
        return _annealed(online, ratio, *annealed)
    if ratio == 0.0:
        return online

    def take(stock: Stock, memory: Any, keys: Key, calls: int, batch: int) -> jax.Array:
        own_key, data_key = _two(keys)
        offline = offline_rows(batch, ratio)
        own = online.take(stock, memory, own_key, calls, batch - offline)
        return jnp.concatenate([own, _data(stock, None, data_key, calls, offline)], axis=-2)

    return online._replace(take=take, offline=ratio)


def _annealed(online: Draw, start: float, end: float, steps: int) -> Draw:
    """As `mixed`, with a ratio that moves: both kinds of row are drawn for every place, and one of them is taken."""
    for ratio in (start, end):
        if not 0.0 <= ratio <= 1.0:
            raise UserError(f"offline ratio is {ratio}; it must be between 0 and 1")

    def take(stock: Stock, memory: Any, keys: Key, calls: int, batch: int) -> jax.Array:
        own_key, data_key = _two(keys)
        share = start + (end - start) * jnp.minimum(stock.step / steps, 1.0)
        own = online.take(stock, memory, own_key, calls, batch)
        place = jnp.arange(batch)[None, None, :, None]
        return jnp.where(place < jnp.round(batch * share), _data(stock, None, data_key, calls, batch), own)

    return online._replace(take=take, offline=start, annealed=(end, steps))


def _two(keys: Key) -> tuple[Key, Key]:
    """Keys [n] of the ring's rows and of the dataset's; of one seed without a map."""
    fold = jax.vmap(jax.random.fold_in, (0, None)) if len(keys) > 1 else _fold_one
    return fold(keys, 0), fold(keys, 1)


def offline_rows(batch: int, ratio: float) -> int:
    """Dataset rows in every minibatch of `batch` rows: the nearest count to `ratio * batch`."""
    if not 0.0 <= ratio <= 1.0:
        raise UserError(f"offline ratio is {ratio}; it must be between 0 and 1")
    count = round(batch * ratio)
    if 0.0 < ratio < 1.0 and count in (0, batch):
        raise UserError(f"offline ratio {ratio} of {batch} rows rounds to {count} rows; raise the batch size")
    return count


def _fold_one(keys: Key, number: int) -> Key:
    """As the mapped fold, of one seed."""
    return jax.random.fold_in(keys[0], number)[None]
