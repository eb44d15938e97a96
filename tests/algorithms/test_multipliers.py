import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fastrl.algorithms import multipliers


@pytest.mark.parametrize("form", ["exp", "softplus"])
@pytest.mark.parametrize(("low", "high"), [(1.0, 1.0), (0.3, 0.7)])
@pytest.mark.parametrize("shape", [(5,), (5, 3)])
def test_dual(close, form, low, high, shape):
    slack = np.random.default_rng(0).normal(size=shape)
    multiplier = np.exp(-0.4) if form == "exp" else np.log(1 + np.exp(-0.4))
    total = 0.0
    for u in slack.ravel():
        total += (abs(0.7 - (u > 0)) if high == 0.7 else 1.0) * u
    expected = multiplier * total / slack.size
    close(multipliers.dual(jnp.asarray(-0.4), jnp.asarray(slack), form=form, low=low, high=high), expected)


def test_dual_is_one_to_one_and_exp_unless_told_otherwise(close):
    close(multipliers.dual(jnp.asarray(0.5), jnp.array([1.0, -3.0])), -np.exp(0.5))


@pytest.mark.parametrize("form", ["exp", "softplus"])
def test_lambda_falls_slowly_and_rises_fast(form):
    def step(slack):
        loss = lambda raw: multipliers.dual(raw, jnp.array([slack]), form=form, low=0.3, high=0.7)
        return -jax.grad(loss)(jnp.asarray(0.2))

    assert step(1.0) < 0 < step(-1.0)
    np.testing.assert_allclose(step(-1.0) / step(1.0), -7 / 3, rtol=1e-5)


def test_no_gradient_flows_through_the_slack():
    grad = jax.grad(lambda slack: multipliers.dual(jnp.asarray(0.2), slack))(jnp.array([1.0, -2.0]))
    np.testing.assert_array_equal(grad, 0)


def test_dual_refuses_a_raw_number_with_an_axis():
    with pytest.raises(AssertionError, match="rank"):
        multipliers.dual(jnp.zeros(1), jnp.zeros(3))
    with pytest.raises(AssertionError, match="shape"):
        multipliers.dual(jnp.zeros(()), jnp.zeros(3), low=jnp.zeros((2, 1)))


@pytest.mark.parametrize(("start", "end"), [(0.125, 2.0), (2.0, 0.125), (0.5, 0.5), (-1.0, 1.0)])
@pytest.mark.parametrize("dtype", ["int32", "float32"])
def test_ramp(close, start, end, dtype):
    for step in (0, 1, 25_000, 99_999, 100_000, 100_001, 250_000):
        line = start + (end - start) * step / 1e5
        expected = min(end, line) if end > start else max(end, line)
        close(multipliers.ramp(jnp.asarray(step, dtype), start, end, 100_000), expected)


def test_ramp_by_hand(close):
    steps = jnp.array([0, 50_000, 100_000, 400_000], jnp.int32)
    close(multipliers.ramp(steps, 0.0025, 0.04, 1e5), [0.0025, 0.02125, 0.04, 0.04])
    close(multipliers.ramp(steps, 4, 2, 100_000), [4, 3, 2, 2])


def test_the_numbers_of_a_ramp_may_be_traced(close):
    close(jax.jit(multipliers.ramp)(jnp.asarray(5), jnp.asarray(1.0), jnp.asarray(0.0), jnp.asarray(10.0)), 0.5)


def test_ramp_refuses_ends_with_an_axis():
    for place in range(3):
        numbers = [jnp.zeros(2) if place == k else 1.0 for k in range(3)]
        with pytest.raises(AssertionError, match="rank"):
            multipliers.ramp(jnp.asarray(1), *numbers)


@pytest.mark.parametrize("dtype", ["int32", "float32"])
def test_decay(close, dtype):
    close(multipliers.decay(jnp.array([0, 100, 250, 300], dtype), 250), [1.0, 0.6, 0.0, 0.0])
    close(multipliers.decay(jnp.asarray(250_000, dtype), 500_000), 0.5)


def test_decay_refuses_a_length_with_an_axis():
    with pytest.raises(AssertionError, match="rank"):
        multipliers.decay(jnp.asarray(1), jnp.ones(2))
