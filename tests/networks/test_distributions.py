import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fastrl.networks import distributions
from fastrl.networks.distributions import Delta, Normal, TanhNormal


def plain(mean, std, x):
    return np.exp(-0.5 * ((x - mean) / std) ** 2) / (std * np.sqrt(2 * np.pi))


def line(low, high, count=20001):
    return np.linspace(low, high, count)[:, None]


def density(dist, x):
    return np.exp(np.asarray(dist.log_prob(jnp.asarray(x, jnp.float32)), np.float64))


def test_the_squashed_density_integrates_to_one_and_is_the_change_of_variables():
    dist = TanhNormal(jnp.array([[0.4]]), jnp.array([[0.7]]))
    edges = line(-0.9999, 0.9999)
    np.testing.assert_allclose(np.trapezoid(density(dist, edges), edges[:, 0]), 1.0, atol=1e-3)
    x = np.arctanh(0.3)
    slope = (np.tanh(x + 1e-5) - np.tanh(x - 1e-5)) / 2e-5  # numerical d tanh / dx
    np.testing.assert_allclose(density(dist, [[0.3]]), plain(0.4, 0.7, x) / slope, rtol=1e-4)


def test_the_plain_density_integrates_to_one_and_is_the_gaussians():
    dist = Normal(jnp.array([[0.4]]), jnp.array([[0.7]]))
    edges = line(-6, 6)
    np.testing.assert_allclose(np.trapezoid(density(dist, edges), edges[:, 0]), 1.0, atol=1e-4)
    np.testing.assert_allclose(density(dist, edges), plain(0.4, 0.7, edges)[:, 0], rtol=1e-4, atol=1e-30)


@pytest.mark.parametrize(("kind", "reach"), [(TanhNormal, 1.0), (Normal, 3.0)])
def test_samples_follow_the_density(kind, reach, key):
    dist = kind(jnp.full((1, 1), -0.5), jnp.full((1, 1), 0.8))
    noise = jax.random.normal(key, (20000, 1))
    action, log_prob = dist.sample_log_prob(noise)
    np.testing.assert_array_equal(dist.sample(noise), action)
    np.testing.assert_allclose(log_prob, dist.log_prob(action), atol=2e-2)
    counts, edges = np.histogram(np.asarray(action)[:, 0], 20, (-reach, reach))
    width = edges[1] - edges[0]
    middle = (edges[1:] + edges[:-1]) / 2
    fine = middle[:, None] + width * np.linspace(-0.5, 0.5, 51)[None]
    found = density(dist, fine.reshape(-1, 1)).reshape(20, 51).mean(-1) * width
    np.testing.assert_allclose(counts / 20000, found, atol=0.012)


@pytest.mark.parametrize("kind", [TanhNormal, Normal])
def test_dimensions_are_independent(kind):
    random = np.random.default_rng(0)
    mean, std = random.normal(size=(5, 3)), random.uniform(0.3, 1, (5, 3))
    action = random.uniform(-0.9, 0.9, (5, 3))
    dist = kind(jnp.asarray(mean, jnp.float32), jnp.asarray(std, jnp.float32))
    x = np.arctanh(action) if kind is TanhNormal else action
    want = np.log(plain(mean, std, x)) - (np.log(1 - action**2) if kind is TanhNormal else 0)
    np.testing.assert_allclose(dist.log_prob(jnp.asarray(action, jnp.float32)), want.sum(-1), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(dist.mode(), np.tanh(mean) if kind is TanhNormal else mean, rtol=1e-5)


def test_actions_at_the_limits_have_a_finite_density():
    dist = TanhNormal(jnp.zeros((1, 1)), jnp.ones((1, 1)))
    ends = dist.log_prob(jnp.array([[1.0], [-1.0]]))
    np.testing.assert_allclose(ends, dist.log_prob(jnp.array([[1 - 1e-5], [1e-5 - 1]])), rtol=1e-3)
    assert np.isfinite(ends).all()


def test_log_det_is_finite_far_out_and_right_near_zero():
    x = jnp.array([[0.5], [30.0], [-30.0]])
    got = distributions.tanh_log_det(x)
    np.testing.assert_allclose(got[0], np.log(1 - np.tanh(0.5) ** 2), rtol=1e-5)
    np.testing.assert_allclose(got[1:], 2 * (np.log(2) - 30), rtol=1e-5)


def test_candidates_are_samples_of_their_row(key):
    keys = jax.random.split(key, 2)
    dist = TanhNormal(jax.random.normal(keys[0], (4, 2)), jnp.full((4, 2), 0.3))
    noise = jax.random.normal(keys[1], (4, 5, 2))
    action, log_prob = dist.candidates(noise)
    assert action.shape == (4, 5, 2) and log_prob.shape == (4, 5)
    for k in range(5):
        want = dist.sample_log_prob(noise[:, k])
        np.testing.assert_allclose(action[:, k], want[0], rtol=1e-6)
        np.testing.assert_allclose(log_prob[:, k], want[1], rtol=1e-5)


def test_entropy_is_that_of_the_formula_and_of_samples(key):
    mean, std = np.array([[0.5, -2.0, 1.0]]), np.array([[0.3, 1.0, 2.5]])
    dist = Normal(jnp.asarray(mean, jnp.float32), jnp.asarray(std, jnp.float32))
    x = np.linspace(-12, 12, 40001)
    with np.errstate(divide="ignore", invalid="ignore"):  # the definition, -sum of p log p, one dimension at a time
        columns = [plain(m, s, m + s * x) for m, s in zip(mean[0], std[0])]
        want = sum(np.trapezoid(np.nan_to_num(-p * np.log(p)), s * x) for p, s in zip(columns, std[0]))
    np.testing.assert_allclose(dist.entropy(), [want], rtol=1e-5)
    _, log_prob = dist.sample_log_prob(jax.random.normal(key, (20000, 3)))
    np.testing.assert_allclose(-log_prob.mean(), want, atol=0.03)


def test_a_sample_carries_the_gradient_to_mean_and_std():
    noise = jnp.array([[0.7, -0.2]])
    grads = jax.grad(lambda dist: dist.sample(noise).sum())(Normal(jnp.ones((1, 2)), jnp.ones((1, 2))))
    np.testing.assert_allclose(grads.mean, np.ones((1, 2)))
    np.testing.assert_allclose(grads.std, noise)
    grads = jax.grad(lambda dist: dist.sample(noise).sum())(TanhNormal(jnp.ones((1, 2)), jnp.ones((1, 2))))
    slope = 1 - np.tanh(1 + np.asarray(noise)) ** 2
    np.testing.assert_allclose(grads.mean, slope, rtol=1e-5)
    np.testing.assert_allclose(grads.std, slope * noise, rtol=1e-5)


def test_a_delta_is_its_action_whatever_the_noise():
    action = jnp.array([[0.3, -0.4], [0.0, 1.0]])
    dist, noise = Delta(action), jnp.full((2, 2), 9.0)
    for found in (dist.mode(), dist.sample(noise), dist.sample_log_prob(noise)[0]):
        np.testing.assert_array_equal(found, action)
    np.testing.assert_array_equal(dist.sample_log_prob(noise)[1], np.zeros(2))
    np.testing.assert_allclose(dist.log_prob(action + jnp.array([[3.0, 4.0]])), [-25, -25], rtol=1e-5)
    assert (jax.grad(lambda d: d.log_prob(jnp.ones((2, 2))).sum())(dist).action >= 0).all()  # likelihood is regression


@pytest.mark.parametrize("dist", [Normal(jnp.ones((3, 2)), jnp.ones((3, 2))), Delta(jnp.ones((3, 2)))])
def test_they_pass_through_compiled_functions(dist):
    found = jax.jit(lambda d: jax.tree.map(lambda x: 2 * x, d))(dist)
    assert type(found) is type(dist)
    np.testing.assert_array_equal(found.mode(), 2 * dist.mode())
