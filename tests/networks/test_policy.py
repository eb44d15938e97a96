import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fastrl.config import SAC
from fastrl.networks import policy


def test_squashed_density_integrates_to_one_and_is_the_change_of_variables():
    dist = policy.Gaussian(jnp.array([[0.4]]), jnp.array([[0.7]]))
    edges = np.linspace(-0.9999, 0.9999, 20001)[:, None]
    density = np.exp(np.asarray(policy.squashed_log_prob(dist, jnp.asarray(edges, jnp.float32)), np.float64))
    np.testing.assert_allclose(np.trapezoid(density, edges[:, 0]), 1.0, atol=1e-3)
    x = np.arctanh(0.3)
    gaussian = np.exp(-0.5 * ((x - 0.4) / 0.7) ** 2) / (0.7 * np.sqrt(2 * np.pi))
    slope = (np.tanh(x + 1e-5) - np.tanh(x - 1e-5)) / 2e-5  # numerical d tanh / dx
    got = np.exp(policy.squashed_log_prob(dist, jnp.array([[0.3]])))
    np.testing.assert_allclose(got, gaussian / slope, rtol=1e-4)


def test_samples_follow_the_density(key):
    dist = policy.Gaussian(jnp.full((1, 1), -0.5), jnp.full((1, 1), 0.8))
    action, log_prob = policy.squashed_sample(dist, jax.random.normal(key, (20000, 1)))
    np.testing.assert_allclose(log_prob, policy.squashed_log_prob(dist, action), atol=2e-2)
    counts, edges = np.histogram(np.asarray(action)[:, 0], 20, (-1, 1))
    middle = (edges[1:] + edges[:-1]) / 2
    fine = middle[:, None] + np.linspace(-0.05, 0.05, 51)[None]
    density = np.exp(policy.squashed_log_prob(dist, jnp.asarray(fine.reshape(-1, 1), jnp.float32)))
    density = density.reshape(20, 51).mean(-1) * 0.1
    np.testing.assert_allclose(counts / 20000, density, atol=0.012)


def test_log_det_is_finite_far_out_and_right_near_zero():
    x = jnp.array([[0.5], [30.0], [-30.0]])
    got = policy.tanh_log_det(x)
    np.testing.assert_allclose(got[0], np.log(1 - np.tanh(0.5) ** 2), rtol=1e-5)
    np.testing.assert_allclose(got[1:], 2 * (np.log(2) - 30), rtol=1e-5)


@pytest.mark.parametrize("std", ["exp", "softplus", "uniform", "fixed"])
def test_std_parameterisations_and_their_clip(std, key):
    config = SAC(actor_hidden=(16,), std=std, fixed_std=0.3)
    actor = policy.actor_init(key, config, 3, 2)
    obs = 3 * jax.random.normal(jax.random.key(1), (5, 3))
    dist = policy.distribution(actor, config, obs)
    features = np.asarray(policy.mlp.trunk_apply(actor.trunk, obs))
    np.testing.assert_allclose(dist.mean, features @ np.asarray(actor.mean.kernel), atol=1e-5)
    if std in ("exp", "softplus"):
        raw = features @ np.asarray(actor.std.kernel)
        want = np.exp(raw) if std == "exp" else np.log1p(np.exp(raw))
        np.testing.assert_allclose(dist.std, np.clip(want, 1e-5, 10), rtol=1e-4)
    else:
        np.testing.assert_allclose(dist.std, 1.0 if std == "uniform" else 0.3)
    if std == "exp":
        wild = policy.Actor(actor.trunk, actor.mean, policy.mlp.Dense(actor.std.kernel, jnp.array([99.0, -99.0])))
        np.testing.assert_allclose(policy.distribution(wild, config, obs).std, np.tile([10, 1e-5], (5, 1)))


def test_choices_sample_or_take_the_mode_in_any_shape(key):
    config = SAC(actor_hidden=(16,))
    actor = policy.actor_init(key, config, 3, 2)
    obs = jax.random.normal(jax.random.key(1), (4, 5, 3))
    mode = policy.choose(actor, config, obs, jax.random.key(2), False)
    mean = policy.distribution(actor, config, obs.reshape(20, 3)).mean
    np.testing.assert_allclose(mode.reshape(20, 2), np.tanh(mean), atol=1e-6)
    np.testing.assert_allclose(policy.choose(actor, config, obs[0, 0], jax.random.key(2), False), mode[0, 0], atol=1e-6)
    sample = policy.choose(actor, config, obs, jax.random.key(3), True)
    assert sample.shape == mode.shape and abs(sample).max() <= 1 and not np.allclose(sample, mode)
    plain = policy.choose(actor, config, obs, jax.random.key(2), False, squash=False)
    np.testing.assert_allclose(plain.reshape(20, 2), np.clip(mean, -1, 1), atol=1e-6)
