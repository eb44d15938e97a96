import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fastrl.algorithms import reference

B, A = 8, 3


def test_sampled_kl(close):
    random = np.random.default_rng(4)
    log_prob, other = random.normal(size=B), random.uniform(-120, 5, B)
    assert other.min() < -50 < other.max()
    expected = [log_prob[row] - (other[row] if other[row] > -50 else -50) for row in range(B)]
    close(reference.sampled_kl(jnp.asarray(log_prob), jnp.asarray(other)), expected)
    lower = [log_prob[row] - max(other[row], -90) for row in range(B)]
    close(reference.sampled_kl(jnp.asarray(log_prob), jnp.asarray(other), -90.0), lower)


def test_sampled_kl_by_hand(close):
    found = reference.sampled_kl(jnp.array([1.0, 1.0, -2.0]), jnp.array([-3.0, -np.inf, 3.0]))
    close(found, [4.0, 51.0, -5.0])  # one sample of a divergence may be negative
    grad = jax.grad(lambda other: reference.sampled_kl(jnp.zeros(2), other).sum())(jnp.array([-49.0, -51.0]))
    close(grad, [-1.0, 0.0])


def test_sampled_kl_refuses_other_shapes():
    for one, other in (
        (jnp.zeros(B), jnp.zeros(1)),
        (jnp.zeros((B, 1)), jnp.zeros((B, 1))),
        (jnp.zeros(()), jnp.zeros(())),
    ):
        with pytest.raises(AssertionError, match=r"rank|shape"):
            reference.sampled_kl(one, other)


def test_squared_distance(close):
    random = np.random.default_rng(5)
    action, other = random.normal(size=(B, A)), random.normal(size=(B, A))
    expected = [sum((action[row, a] - other[row, a]) ** 2 for a in range(A)) / A for row in range(B)]
    close(reference.squared_distance(jnp.asarray(action), jnp.asarray(other)), expected)


def test_squared_distance_by_hand(close):
    found = reference.squared_distance(jnp.array([[1.0, -1.0], [0.5, 0.5]]), jnp.array([[0.0, 1.0], [0.5, 0.5]]))
    close(found, [2.5, 0.0])


def test_squared_distance_refuses_other_shapes():
    for one, other in ((jnp.zeros((B, A)), jnp.zeros((1, A))), (jnp.zeros(A), jnp.zeros(A))):
        with pytest.raises(AssertionError, match=r"rank|shape"):
            reference.squared_distance(one, other)
