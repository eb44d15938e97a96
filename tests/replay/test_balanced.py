"""Rows by priority: frequencies against NumPy, the two levels against a search in NumPy, priorities by hand."""

import dataclasses
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fastrl.replay import balanced, draws
from fastrl.replay import ring as replay
from fastrl.replay.balanced import BLOCK, Priorities
from fastrl.types import UserError

pytestmark = pytest.mark.usefixtures("quick")

ROOM = draws.Room(copies=2, horizon=5, data=6, capacity=5)


def memory(data, ring, pointer=0, maximum=1.0):
    return Priorities(
        jnp.asarray(data, jnp.float32), jnp.asarray(ring, jnp.float32), jnp.int32(pointer), jnp.float32(maximum)
    )


def ragged(seed=0, data=2 * BLOCK + 77, ring=BLOCK + 300):
    """Priorities over six orders of magnitude; a third of the ring is not written."""
    random = np.random.default_rng(seed)
    found = [10.0 ** random.uniform(-3, 3, size) for size in (data, ring)]
    found[1][-ring // 3 :] = 0
    return found


def test_rows_come_as_often_as_their_priorities_say():
    data, ring = ragged()
    draw = jax.jit(lambda key: balanced.index(memory(data, ring), key, 4_000))
    found = np.concatenate([draw(key) for key in jax.random.split(jax.random.key(0), 20)])
    priority = np.concatenate([data, ring])
    counts, expected = np.bincount(found, minlength=len(priority)), 80_000 * priority / priority.sum()
    assert (counts[priority == 0] == 0).all() and len(counts) == len(priority)
    often = expected > 20
    squares = ((counts - expected)[often] ** 2 / expected[often]).sum()
    assert abs(squares - often.sum()) < 4 * np.sqrt(2 * often.sum())  # a chi-square's mean and spread
    assert abs(counts[~often].sum() - expected[~often].sum()) < 4 * np.sqrt(expected[~often].sum())


def test_the_place_is_that_of_a_search_in_both_levels(key):
    data, ring = ragged(1)
    found = balanced.index(memory(data, ring), key, 500)
    first, second = (
        np.asarray(jax.random.uniform(own, (500,)), np.float64) for own in jax.random.split(jax.random.key(0))
    )
    blocks = [part[start : start + BLOCK] for part in (data, ring) for start in range(0, len(part), BLOCK)]
    starts = [*range(0, len(data), BLOCK), *(len(data) + start for start in range(0, len(ring), BLOCK))]
    cumulative = np.cumsum([block.sum() for block in blocks])
    block = np.searchsorted(cumulative, first * cumulative[-1], side="right")
    row = [np.searchsorted(np.cumsum(blocks[b]), u * blocks[b].sum(), side="right") for b, u in zip(block, second)]
    assert (np.asarray(found) == np.array(starts)[block] + row).mean() > 0.99  # float32 on a border


def test_a_small_priority_among_a_million_rows_is_not_lost(key):
    data = np.full(1_000_000, 1e-3)
    data[-1] = 1_000.0
    found = np.asarray(jax.jit(lambda: balanced.index(memory(data, np.zeros(10)), key, 20_000))())
    assert abs((found == len(data) - 1).mean() - 0.5) < 0.02
    rest = found[found < len(data) - 1]
    assert len(np.unique(rest)) > 0.98 * len(rest)  # of 2^23 values of one uniform number many rows would have none
    np.testing.assert_allclose(np.histogram(rest, 4, (0, len(data)))[0] / len(rest), 0.25, atol=0.02)


@pytest.fixture
def stock():
    """Row r of the ring of seed s holds 100 s + r everywhere, row r of the dataset -1 - r."""
    ring = replay.create(2, 5, 1, 1)
    rows = jnp.arange(5.0)[None] + 100 * jnp.arange(2.0)[:, None]
    rows = jnp.broadcast_to(rows[..., None], ring.rows.shape)
    ring = dataclasses.replace(ring, rows=rows, size=jnp.int32(4), pointer=jnp.int32(4))
    data = jnp.broadcast_to(-1.0 - jnp.arange(6.0)[:, None], (6, 7))
    return draws.Stock(ring, data, jnp.int32(0), jnp.int32(0))


def taken(draw):
    return jax.jit(draw.take, static_argnums=(3, 4))


def pair(*memories):
    return jax.tree.map(lambda *x: jnp.stack(x), *memories)


def test_a_draw_is_rows_by_priority_then_of_the_dataset_then_of_the_ring(stock, key):
    draw = taken(balanced.balanced(0.5))
    first = memory([0, 0, 1, 0, 0, 0], [0, 0, 0, 1, 0])
    both = pair(first, memory(np.zeros(6), [0, 1, 0, 0, 0]))
    rows = np.asarray(draw(stock, both, jax.random.split(key, 2), 30, 8)[..., 0])
    assert rows.shape == (2, 30, 24)
    assert set(rows[0, :, :8].ravel()) == {-3.0, 3.0} and set(rows[1, :, :8].ravel()) == {101.0}
    assert set(rows[:, :, 8:16].ravel()) == {-1.0, -2.0, -3.0, -4.0, -5.0, -6.0}
    assert [set(own.ravel()) for own in rows[:, :, 16:]] == [{0.0, 1.0, 2.0, 3.0}, {100.0, 101.0, 102.0, 103.0}]
    first, keys = jax.tree.map(lambda x: x[:1], both), jax.random.split(jax.random.clone(key), 2)[:1]
    alone = draw(stock, first, keys, 30, 8)
    np.testing.assert_array_equal(alone[0, ..., 0], rows[0])  # whatever its neighbours


def test_new_rows_get_the_largest_priority_at_the_rings_places():
    draw = balanced.balanced(0.25, first=4)
    now = draw.start(ROOM)
    np.testing.assert_array_equal(now.data, np.ones(6))
    np.testing.assert_array_equal(now.ring, np.zeros(5))
    first = 6 * 0.25 / (0.75 * 4)
    assert float(now.maximum) == first
    rows = types.SimpleNamespace(reward=jnp.zeros(2))
    for places in ([0, 1], [0, 1, 2, 3]):
        now, found = draw.observe(now, rows)
        assert found is None
        np.testing.assert_array_equal(np.flatnonzero(now.ring), places)
    assert float(now.ring.sum() / (now.ring.sum() + now.data.sum())) == pytest.approx(0.25)  # the first 4 rows
    now, _ = draw.observe(dataclasses.replace(now, maximum=jnp.float32(7)), rows)
    np.testing.assert_allclose(now.ring, [7, first, first, first, 7])  # round the end
    assert int(now.pointer) == 1


def test_weights_become_the_priorities_of_what_was_drawn(stock, key):
    draw = balanced.balanced(0.5)
    before = pair(
        memory([3, 0, 1, 0, 0, 0], [0, 0, 2, 1, 0], maximum=2), memory(np.ones(6), [0, 4, 0, 0, 0], maximum=9)
    )
    keys = jax.random.split(key, 2)
    rows = np.asarray(taken(draw)(stock, before, jax.random.clone(keys), 3, 4))[..., :4, 0]
    weights = np.arange(1.0, 25.0, dtype=np.float32).reshape(2, 3, 4)
    after = jax.jit(draw.weighed)(stock, before, keys, weights)
    for seed in range(2):
        data, ring = (np.array(getattr(before, name)[seed]) for name in ("data", "ring"))
        best = {}
        for row, weight in zip(rows[seed].ravel(), weights[seed].ravel()):
            best[row] = max(best.get(row, 0), weight)
        for row, weight in best.items():
            (data if row < 0 else ring)[int(-1 - row if row < 0 else row - 100 * seed)] = weight
        np.testing.assert_array_equal(after.data[seed], data)
        np.testing.assert_array_equal(after.ring[seed], ring)
        assert len(best) < 12  # some came twice
    np.testing.assert_array_equal(after.maximum, [12, 24])
    np.testing.assert_array_equal(after.pointer, before.pointer)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_rows_of_one_kind_alone_are_refused(share):
    with pytest.raises(UserError, match="drawn by priority are of both kinds at first"):
        balanced.balanced(share)
