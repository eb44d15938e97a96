import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fastrl.data.datasets import Dataset
from fastrl.replay import fills
from fastrl.types import UserError

LENGTHS = (3, 2, 4, 1)  # and two rows of a trajectory that has no end
RETURNS = (3.0, 10.0, 4.0, 5.0)


@pytest.fixture(scope="module")
def data():
    reward = np.concatenate([np.full(n, total / n) for n, total in zip(LENGTHS, RETURNS, strict=True)] + [[100, 100]])
    obs, boundary = np.arange(12.0)[:, None], np.zeros(12, bool)
    boundary[np.cumsum(LENGTHS) - 1] = True
    return Dataset.from_arrays(obs, np.zeros((12, 1)), reward, np.ones(12), obs + 1, boundary)


def test_the_best_trajectories_are_kept_whole(data):
    assert fills.best_rows(data, 1).tolist() == [3, 4]
    assert fills.best_rows(data, 2).tolist() == [3, 4, 9]
    assert fills.best_rows(data, 3).tolist() == [3, 4, 5, 6, 7, 8, 9]
    fill = fills.best(data, 2)
    assert fill.rows(12) == 3
    rows = fills.packed(fill, jnp.arange(12.0)[:, None], jax.random.split(jax.random.key(0), 2))
    np.testing.assert_array_equal(rows[..., 0], [[3, 4, 9]] * 2)
    with pytest.raises(UserError, match="the dataset has 4 finished trajectories, and the method keeps 5"):
        fills.best(data, 5)


def test_random_rows_differ_by_seed_and_cover_the_data():
    fill = fills.some(2_000)
    rows = fills.packed(fill, jnp.arange(7.0)[:, None], jax.random.split(jax.random.key(0), 2))
    assert rows.shape == (2, fill.rows(7), 1)
    counts = [np.bincount(np.asarray(seed[:, 0], int), minlength=7) for seed in rows]
    assert not np.array_equal(*counts)
    assert all(abs(count - 2_000 / 7).max() < 80 for count in counts)


def test_everything_is_the_dataset_in_its_order():
    rows = fills.packed(fills.EVERYTHING, jnp.arange(7.0)[:, None], jax.random.split(jax.random.key(0), 2))
    assert fills.EVERYTHING.rows(7) == 7
    np.testing.assert_array_equal(rows[..., 0], [np.arange(7)] * 2)
