import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fastrl.algorithms import rows


@pytest.mark.parametrize(
    ("total", "chunk", "count"), [(1024, 256, 4), (256, 25, 16), (256, None, 1), (10, 256, 1), (257, 64, 1), (12, 5, 3)]
)
def test_number_of_pieces(total, chunk, count):
    assert rows.pieces(total, chunk) == count


def test_pieces_give_the_gradient_and_values_of_the_whole():
    x = jax.random.normal(jax.random.key(0), (12, 3))
    w = jnp.array([1.0, -2.0, 0.5])

    def loss(w, batch):
        x, y = batch
        return ((x @ w - y) ** 2).mean(), {"y": y.mean()}

    whole = rows.gradient(loss, w, (x, x[:, 0]), None)
    split = rows.gradient(loss, w, (x, x[:, 0]), 4)
    for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(split)):
        np.testing.assert_allclose(a, b, rtol=1e-5)
    np.testing.assert_allclose(rows.apply(lambda x: x.sum(-1), x, 5), x.sum(-1), rtol=1e-5)
