"""A replay ring on the device: an explicit seed axis and one pointer that all seeds share.

A transition is one packed row, so an insert is one write and a sample one gather. The pointer has
no seed axis, so a write under many seeds stays one dynamic-update-slice, and the ring is updated in
place inside a scan. The order within an environment step is `insert`, `set_returns`, `advance`,
then a draw (`fastrl.replay.draws`).
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from fastrl.data.datasets import Dataset
from fastrl.replay.returns import monte_carlo
from fastrl.types import Key, Transition, UserError

MC_RETURN = -2  # the column of mc_return in a packed row; the last one is `last`
SCALARS = 4  # columns behind the vectors


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Ring:
    """The newest N rows of each seed."""

    rows: jax.Array  # [S, N, W]
    pointer: jax.Array  # [] int32: where the next row goes, in every seed
    size: jax.Array  # [] int32: rows written, at most N


def width(obs_size: int, action_size: int) -> int:
    """W, the columns of a packed row: obs, action, next_obs, reward, mask, mc_return, last."""
    return 2 * obs_size + action_size + SCALARS


def tpu_layout(width: int) -> tuple[int, int, int]:
    """The order of a ring's axes in a TPU's memory, slowest first, in which its compiler copies no ring of W columns.

    Its tiles have 128 lanes. Of narrow rows it wants one column of many rows side by side, of wide ones a row: left to
    itself it stores them the other way at the start of a program, and copies all of it, twice.
    """
    return (0, 2, 1) if 2 * width < 128 else (0, 1, 2)


def pack(transition: Transition) -> jax.Array:
    """Transition with leading axes `...` -> rows [..., W]."""
    scalars = (transition.reward, transition.mask, transition.mc_return, transition.last)
    vectors = (transition.obs, transition.action, transition.next_obs)
    return jnp.concatenate([*vectors, *(scalar[..., None] for scalar in scalars)], axis=-1)


def unpack(rows: jax.Array, obs_size: int, action_size: int) -> Transition:
    """Rows [..., W] -> Transition; the inverse of `pack`."""
    action, following = obs_size, obs_size + action_size
    return Transition(
        obs=rows[..., :action],
        action=rows[..., action:following],
        reward=rows[..., -4],
        mask=rows[..., -3],
        next_obs=rows[..., following:-SCALARS],
        mc_return=rows[..., MC_RETURN],
        last=rows[..., -1],
    )


def create(seeds: int, capacity: int, obs_size: int, action_size: int) -> Ring:
    """An empty ring."""
    return Ring(
        rows=jnp.zeros((seeds, capacity, width(obs_size, action_size)), jnp.float32),
        pointer=jnp.zeros((), jnp.int32),
        size=jnp.zeros((), jnp.int32),
    )


def insert(ring: Ring, rows: jax.Array, first_seed: int | jax.Array = 0) -> Ring:
    """Writes rows [n, K, W] of n consecutive seeds at the pointer, without moving it."""
    seeds, count, _ = rows.shape
    capacity = ring.rows.shape[1]
    if count > capacity:
        raise UserError(f"{count} rows do not fit a replay of {capacity}; raise the capacity")
    if count == 1:
        start = (jnp.int32(first_seed), ring.pointer, jnp.int32(0))
        return dataclasses.replace(ring, rows=jax.lax.dynamic_update_slice(ring.rows, rows, start))
    seed = (first_seed + jnp.arange(seeds, dtype=jnp.int32))[:, None]
    position = ((ring.pointer + jnp.arange(count, dtype=jnp.int32)) % capacity)[None, :]
    written = ring.rows.at[seed, position].set(
        rows, unique_indices=True, mode="promise_in_bounds", wrap_negative_indices=False
    )
    return dataclasses.replace(ring, rows=written)


def advance(ring: Ring, count: int) -> Ring:
    """Moves the pointer past `count` rows, once for all seeds."""
    capacity = ring.rows.shape[1]
    return dataclasses.replace(
        ring,
        pointer=(ring.pointer + count) % capacity,
        size=jnp.minimum(ring.size + count, capacity),
    )


def sample(ring: Ring, keys: Key, count: int, first_seed: int | jax.Array = 0) -> jax.Array:
    """Rows [n, count, W] of n consecutive seeds, uniform with replacement over the written rows.

    One key a seed (keys [n]), so that a seed's draws do not depend on its neighbours. The ring must
    not be empty.
    """
    draw = jax.vmap(lambda key: jax.random.randint(key, (count,), 0, ring.size))
    return gather(ring, draw(keys), first_seed)


def set_returns(ring: Ring, returns: jax.Array, age: jax.Array, first_seed: int | jax.Array = 0) -> Ring:
    """Fills in mc_return of the rows that E lanes wrote `age` environment steps ago.

    returns, age: [n, E, H]; age 0 is the step just inserted and not yet advanced past. Entries of
    age -1 and rows already overwritten are dropped. Each environment step inserts E rows, lane e
    the e-th of them.
    """
    seeds, lanes, _ = age.shape
    capacity = ring.rows.shape[1]
    back = lanes * age - jnp.arange(lanes, dtype=jnp.int32)[None, :, None]
    kept = (age >= 0) & (back <= capacity - lanes)
    position = jnp.where(kept, (ring.pointer - back) % capacity, capacity)
    seed = (first_seed + jnp.arange(seeds, dtype=jnp.int32))[:, None, None]
    written = ring.rows.at[seed, position, MC_RETURN].set(returns, mode="drop")
    return dataclasses.replace(ring, rows=written)


def sample_finished(ring: Ring, length: jax.Array, keys: Key, count: int, first_seed: int | jax.Array = 0) -> jax.Array:
    """As `sample`, leaving out the rows of episodes that are still open: [n, count, W].

    length [n, E]: rows so far of each lane's open episode (`OpenEpisodes.length`), all advanced
    past. Everything older counts as finished, whoever wrote it. At least one finished row must be
    in the ring; otherwise what comes back is arbitrary.
    """
    lanes = length.shape[-1]
    behind = lanes - jnp.arange(lanes, dtype=jnp.int32)  # rows from a lane's newest to the pointer
    live = (ring.size - behind) // lanes + 1  # [E] rows of each lane in the ring

    def draw(key: Key, length: jax.Array) -> jax.Array:
        ends = jnp.cumsum(jnp.maximum(live - length, 0))
        pick = jax.random.randint(key, (count,), 0, ends[-1])
        lane = jnp.sum(pick[:, None] >= ends[None, :], axis=1, dtype=jnp.int32)
        age = ends[lane] - 1 - pick + length[lane]
        return (ring.pointer - behind[lane] - lanes * age) % ring.rows.shape[1]

    return gather(ring, jax.vmap(draw)(keys, length), first_seed)


def newest(ring: Ring, count: int, keys: Key, first_seed: int | jax.Array = 0) -> jax.Array:
    """The last `count` rows [n, count, W] of n consecutive seeds (keys [n]), in the order of their writing."""
    position = (ring.pointer - count + jnp.arange(count, dtype=jnp.int32)) % ring.rows.shape[1]
    return gather(ring, jnp.broadcast_to(position, (keys.shape[0], count)), first_seed)


def take(rows: jax.Array, key: Key, count: int) -> jax.Array:
    """[count, W] of a dataset's packed rows [M, W], uniform with replacement."""
    index = jax.random.randint(key, (count,), 0, rows.shape[0])
    return rows.at[index].get(mode="promise_in_bounds", wrap_negative_indices=False)


def pack_dataset(
    dataset: Dataset, *, scale: float, bias: float, discount: float, failure: float | None = None
) -> jax.Array:
    """A dataset on the device as packed rows [M, W], with `reward * scale + bias`.

    Nothing else transforms a dataset's rewards. mc_return comes from the transformed rewards
    (`failure`: of a failed step, transformed too). The host array that is uploaded is private to
    this call, and gone after it: JAX copies asynchronously, and would keep it for a while.
    """
    reward = dataset.reward * np.float32(scale) + np.float32(bias)
    returns = monte_carlo(reward, dataset.mask, dataset.boundary, discount, failure)
    vectors = (dataset.obs, dataset.action, dataset.next_obs)
    scalars = (reward, dataset.mask, returns, dataset.boundary.astype(np.float32))
    rows = np.concatenate([*vectors, *(scalar[:, None] for scalar in scalars)], axis=1)
    return jax.block_until_ready(jnp.asarray(rows, dtype=jnp.float32))


def gather(ring: Ring, position: jax.Array, first_seed: int | jax.Array) -> jax.Array:
    """Rows at position [n, count] of n consecutive seeds, without slicing out a seed's ring."""
    seed = (first_seed + jnp.arange(position.shape[0], dtype=jnp.int32))[:, None]
    return ring.rows.at[seed, position].get(mode="promise_in_bounds", wrap_negative_indices=False)
