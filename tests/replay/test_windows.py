import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fastrl.replay import draws, windows
from fastrl.replay.ring import MC_RETURN

pytestmark = pytest.mark.usefixtures("quick")

LAST = np.array([0, 0, 1, 0, 1, 0, 0, 0, 1], float)  # three episodes, of 3, 2 and 4 rows


@pytest.fixture(scope="module")
def stock(quick):
    """Row r of the dataset holds r everywhere but in its last column."""
    data = np.repeat(np.arange(9.0)[:, None], 7, axis=1)
    data[:, -1] = LAST
    return draws.Stock(None, jnp.asarray(data, jnp.float32), jnp.int32(0), jnp.int32(0))


@pytest.fixture(scope="module")
def drawn(stock):
    draw = windows.windows(4, 100.0 + np.arange(11))  # of a longer array, as data without its tail has
    rows = jax.jit(draw.take, static_argnums=(3, 4))(stock, None, jax.random.split(jax.random.key(0), 2), 30, 8)
    assert draw.offline == 1.0 and draw.start is None
    assert rows.shape == (2, 30, 8 * 4, 7)
    return np.asarray(rows).reshape(2, 240, 4, 7)


def test_a_window_is_the_rows_up_to_one_that_was_drawn_uniformly(drawn):
    end = drawn[:, :, -1, 0]
    np.testing.assert_array_equal(drawn[..., 0], np.maximum(end[..., None] - [3, 2, 1, 0], 0))
    counts = np.bincount(end.ravel().astype(int), minlength=9)
    assert ((counts - 480 / 9) ** 2 / (480 / 9)).sum() < 25  # a chi-square of 8 degrees of freedom
    assert (end[0] != end[1]).any()


def test_rows_know_the_values_that_were_handed_over(drawn):
    np.testing.assert_array_equal(drawn[..., MC_RETURN], 100 + drawn[..., 0])


def test_what_comes_before_the_first_row_counts_as_another_episode(drawn):
    place = drawn[:, :, -1:, 0] - [3, 2, 1, 0]
    np.testing.assert_array_equal(drawn[..., -1], np.where(place < 0, 1, LAST[np.maximum(place, 0).astype(int)]))


def test_a_seed_draws_the_same_alone(stock, drawn):
    keys = jax.random.split(jax.random.key(0), 2)[:1]
    rows = windows.windows(4, 100.0 + np.arange(9)).take(stock, None, keys, 30, 8)
    np.testing.assert_array_equal(np.asarray(rows).reshape(240, 4, 7), drawn[0])
