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


X = jax.random.normal(jax.random.key(0), (12, 3))
W = jnp.array([1.0, -2.0, 0.5])


def loss(w, batch):
    x, y = batch
    return ((x @ w - y) ** 2).mean(), {"y": y.mean()}


def scans(piece, weight=1):
    with rows.pieces_of(piece):
        return str(jax.make_jaxpr(lambda w: rows.gradient(loss, w, (X, X[:, 0]), weight))(W)).count(" scan[")


def test_pieces_give_the_gradient_and_values_of_the_whole():
    total = lambda x: x.sum(-1)
    with rows.pieces_of(None):
        whole, values = rows.gradient(loss, W, (X, X[:, 0])), rows.apply(total, X)
    for piece, weight in ((4, 1), (8, 2), (5, 1)):
        with rows.pieces_of(piece):
            split, pieced = rows.gradient(loss, W, (X, X[:, 0]), weight), rows.apply(total, X, weight)
        for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(split), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5)
        np.testing.assert_allclose(pieced, values, rtol=1e-6)


def test_the_split_is_that_of_the_innermost_block():
    assert [scans(None), scans(4), scans(12), scans(24, 2), scans(24, 6)] == [0, 1, 0, 0, 1]
    with rows.pieces_of(4):
        assert rows.most(1) == 4 and rows.most(3) == 1 and rows.most(9) == 1
        with rows.pieces_of(None):
            assert rows.most(1) is None
        assert rows.most(1) == 4
    with pytest.raises(ZeroDivisionError), rows.pieces_of(4):
        _ = 1 / 0
    assert rows.most(1) == (rows.CPU_ROWS if jax.default_backend() == "cpu" else None)
    assert rows.split({"x": X}, 3)["x"].shape == (3, 4, 3) and rows.length({"x": X}) == 12
