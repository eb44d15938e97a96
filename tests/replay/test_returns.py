"""Returns-to-go against naive loops, and the two classic bugs of Cal-QL."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fastrl.replay import returns
from fastrl.types import UserError


def naive(reward, mask, boundary, discount, failure=None):
    """Trajectory by trajectory, backwards."""
    out, start = np.zeros(len(reward)), 0
    for i in range(len(reward)):
        if not (boundary[i] or i == len(reward) - 1):
            continue
        value = 0.0
        for t in reversed(range(start, i + 1)):
            value = float(reward[t]) + discount * float(mask[t]) * value
            out[t] = value
        if failure is not None and all(reward[start : i + 1] == np.float32(failure)):
            out[start : i + 1] = failure / (1 - discount)
        start = i + 1
    return out.astype(np.float32)


def test_the_std_of_the_running_return_agrees_with_a_loop() -> None:
    rng = np.random.default_rng(0)
    reward, boundary = rng.normal(size=60).astype("f"), rng.random(60) < 0.1
    running, found = 0.0, []
    for now, last in zip(reward, boundary, strict=True):
        running = float(now) + 0.9 * running
        found.append(running)
        running = 0.0 if last else running
    assert boundary.any()
    np.testing.assert_allclose(returns.running_std(reward, boundary, 0.9), np.std(found), rtol=1e-6)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("sparse", [True, False])
def test_monte_carlo_agrees_with_a_loop(seed: int, sparse: bool) -> None:
    rng = np.random.default_rng(seed)
    reward = (rng.choice([-5.0, 5.0], 400, p=[0.95, 0.05]) if sparse else rng.normal(size=400)).astype("f")
    terminal = rng.random(400) < 0.05
    boundary = terminal | (rng.random(400) < 0.05)
    failure = -5.0 if sparse else None
    mask = 1 - terminal.astype(np.float32)
    got = returns.monte_carlo(reward, mask, boundary, 0.99, failure)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, naive(reward, mask, boundary, 0.99, failure), rtol=1e-6)
    if sparse:
        assert (got == np.float32(-500)).sum() > 5  # failed trajectories did occur


def test_returns_do_not_leak_through_runs_of_terminals() -> None:
    reward = np.array([-5, 5, 5, 5, -5, -5], np.float32)
    mask = np.array([1, 0, 0, 0, 1, 1], np.float32)
    boundary = np.array([0, 1, 1, 1, 0, 1], bool)
    got = returns.monte_carlo(reward, mask, boundary, 0.5)
    np.testing.assert_array_equal(got, [-2.5, 5, 5, 5, -7.5, -5])


def test_a_truncation_cuts_although_its_mask_is_one() -> None:
    got = returns.monte_carlo(np.ones(4, "f"), np.ones(4, "f"), np.array([0, 1, 0, 1], bool), 0.5)
    np.testing.assert_array_equal(got, [1.5, 1, 1.5, 1])


def test_a_failed_trajectory_fails_for_ever_and_its_neighbours_do_not() -> None:
    reward = np.array([-5, -5, -5, 5, -5, -5], np.float32)
    boundary = np.array([0, 1, 0, 1, 0, 1], bool)
    got = returns.monte_carlo(reward, np.ones(6, "f"), boundary, 0.99, failure=-5.0)
    np.testing.assert_allclose(got, [-500, -500, -5 + 0.99 * 5, 5, -500, -500], rtol=1e-6)
    scaled = np.float32(0.1) * np.float32(-1) * np.ones(2, "f")  # not exactly the double -0.1
    got = returns.monte_carlo(scaled, np.ones(2, "f"), np.array([0, 1], bool), 0.9, failure=-0.1)
    np.testing.assert_allclose(got, [-1, -1], rtol=1e-6)


def test_an_endless_failure_needs_a_discount_below_one() -> None:
    with pytest.raises(UserError, match="below 1"):
        returns.monte_carlo(np.ones(1, "f"), np.ones(1, "f"), np.ones(1, bool), 1.0, failure=1.0)


def test_the_device_agrees_with_the_host_over_a_thousand_steps() -> None:
    rng = np.random.default_rng(0)
    reward = rng.normal(size=(2, 3, 1000)).astype(np.float32)
    length = np.array([[1000, 1, 0], [999, 17, 500]], np.int32)
    got = jax.jit(returns.returns_to_go, static_argnums=2)(reward, jnp.array(length), 0.99)
    for i in np.ndindex(2, 3):
        end = length[i]
        boundary = np.arange(end) == end - 1
        want = returns.monte_carlo(reward[i][:end], np.ones(end, "f"), boundary, 0.99)
        np.testing.assert_allclose(got[i][:end], want, rtol=1e-5, atol=5e-5)
        assert not np.any(got[i][end:])
