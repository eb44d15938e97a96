import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from fastrl.networks import policy
from fastrl.networks.distributions import Delta, Normal, TanhNormal
from fastrl.networks.policy import DeterministicActor, GaussianActor, Policy
from fastrl.networks.trunk import Trunk
from fastrl.types import UserError


def features(params, obs):
    return np.asarray(Trunk(3, (16,)).apply({"params": params["trunk"]}, obs))


@pytest.mark.parametrize("std", ["exp", "softplus", "scaled", "uniform", "fixed"])
def test_std_parameterisations_and_their_clip(std, key):
    actor = Policy(GaussianActor(3, 2, (16,), std=std, fixed_std=0.3))
    params = actor.init(key, 3)
    obs = 3 * jax.random.normal(jax.random.key(1), (5, 3))
    dist, hidden = actor(params, obs), features(params, obs)
    np.testing.assert_allclose(dist.mean, hidden @ np.asarray(params["mean"]["kernel"]), atol=1e-5)
    parts = {"exp": {"spread"}, "softplus": {"spread"}, "scaled": {"spread", "scale", "shift"}, "uniform": {"log_std"}}
    assert set(params) == {"trunk", "mean"} | parts.get(std, set())
    if std in ("exp", "softplus"):
        raw = hidden @ np.asarray(params["spread"]["kernel"])
        want = np.exp(raw) if std == "exp" else np.log1p(np.exp(raw))
        np.testing.assert_allclose(dist.std, np.clip(want, 1e-5, 10), rtol=1e-4)
    elif std == "scaled":
        params = params | {"scale": jnp.float32(3.0), "shift": jnp.float32(0.5)}
        raw = 3 * (hidden @ np.asarray(params["spread"]["kernel"])) + 0.5
        np.testing.assert_allclose(actor(params, obs).std, np.exp(np.clip(raw, -20, 2)), rtol=1e-4)
    else:
        np.testing.assert_allclose(dist.std, 1.0 if std == "uniform" else 0.3)
    if std in ("exp", "scaled"):
        wild = params | {"spread": params["spread"] | {"bias": jnp.array([99.0, -99.0])}}
        limits = [10, 1e-5] if std == "exp" else [np.exp(2), np.exp(-20)]
        np.testing.assert_allclose(actor(wild, obs).std, np.tile(limits, (5, 1)), rtol=1e-5)


def test_a_scaled_std_starts_small_and_even(key):
    """OCR-CFT's SAC: a scale of 1, a shift of -1, and a head of small kernels."""
    params = Policy(GaussianActor(3, 2, (16,), std="scaled")).init(key, 3)
    assert params["scale"] == 1 and params["shift"] == -1
    for head in ("mean", "spread"):
        assert abs(params[head]["kernel"]).max() <= 1e-2 * (6 / 18) ** 0.5


def test_a_state_independent_std_is_capped_where_asked(key):
    actor = Policy(GaussianActor(3, 2, (16,), std="uniform", max_log_std=-0.5))
    params = actor.init(key, 3) | {"log_std": jnp.array([1.0, -1.0])}
    np.testing.assert_allclose(actor(params, jnp.zeros((5, 3))).std, np.tile(np.exp([-0.5, -1]), (5, 1)), rtol=1e-6)


def test_choices_sample_or_take_the_mode_in_any_shape(key):
    actor = Policy(GaussianActor(3, 2, (16,)))
    params = actor.init(key, 3)
    obs = jax.random.normal(jax.random.key(1), (4, 5, 3))
    mode = actor.act(params, obs, jax.random.key(2), False)
    mean = actor(params, obs.reshape(20, 3)).mean
    np.testing.assert_allclose(mode.reshape(20, 2), np.tanh(mean), atol=1e-6)
    np.testing.assert_allclose(actor.act(params, obs[0, 0], jax.random.key(2), False), mode[0, 0], atol=1e-6)
    sample = actor.act(params, obs, jax.random.key(3), True)
    assert sample.shape == mode.shape and abs(sample).max() <= 1 and not np.allclose(sample, mode)
    noise = jax.random.normal(jax.random.key(3), (20, 2))
    want = actor(params, obs.reshape(20, 3)).sample(noise)
    np.testing.assert_allclose(sample.reshape(20, 2), want, atol=1e-6)


@pytest.mark.parametrize("tanh_mean", [False, True])
def test_an_unsquashed_policy_is_clipped_where_it_acts_alone(tanh_mean, key):
    actor = Policy(GaussianActor(3, 2, (16,), squash=False, tanh_mean=tanh_mean))
    params, obs = actor.init(key, 3), 30 * jax.random.normal(jax.random.key(1), (20, 3))
    mean = features(params, obs) @ np.asarray(params["mean"]["kernel"])
    mean = np.tanh(mean) if tanh_mean else mean
    dist = actor(params, obs)
    assert isinstance(dist, Normal) and (tanh_mean or abs(mean).max() > 1)
    np.testing.assert_allclose(dist.mode(), mean, atol=1e-4)
    np.testing.assert_allclose(actor.act(params, obs, jax.random.key(2), False), np.clip(mean, -1, 1), atol=1e-4)
    np.testing.assert_allclose(actor.raw(params, obs, jax.random.key(2), False), mean, atol=1e-4)
    drawn = actor.raw(params, obs, jax.random.key(3), True)
    assert abs(drawn).max() > 1
    np.testing.assert_array_equal(actor.act(params, obs, jax.random.key(3), True), np.clip(drawn, -1, 1))


def test_a_deterministic_actor_is_the_tanh_of_its_head(key):
    actor = Policy(DeterministicActor(3, 2, (16,)))
    params, obs = actor.init(key, 3), jax.random.normal(jax.random.key(1), (5, 3))
    dist = actor(params, obs)
    assert isinstance(dist, Delta)
    want = np.tanh(features(params, obs) @ np.asarray(params["head"]["kernel"]))
    np.testing.assert_allclose(dist.mode(), want, atol=1e-6)
    np.testing.assert_allclose(actor.act(params, obs, jax.random.key(2), True), want, atol=1e-6)


def test_dropout_has_a_key_a_row_and_none_without_a_rate(key):
    assert policy.dropout_keys(0.0, key, 5) is None
    assert policy.dropout_keys(0.1, key, 5).shape == (5,)
    actor = Policy(GaussianActor(3, 2, (16,), dropout=0.5))
    params, obs = actor.init(jax.random.key(1), 3), jnp.ones((5, 3))
    assert not np.allclose(actor(params, obs, jax.random.key(2)).mean, actor(params, obs).mean)


class Bare(nn.Module):
    """Returns numbers."""

    @nn.compact
    def __call__(self, obs):
        return obs[:, :2]


class Pair(nn.Module):
    """Mean and std, but no distribution."""

    @nn.compact
    def __call__(self, obs):
        return obs[:, :2], jnp.ones((obs.shape[0], 2))


class Raises(nn.Module):
    """Fails in its own way."""

    @nn.compact
    def __call__(self, obs):
        raise ZeroDivisionError("no actor\nhere")


KINDS = (TanhNormal,)


@pytest.mark.parametrize(
    ("module", "kinds", "words"),
    [
        (7, KINDS, "actor: 7 is no flax.linen module; hand over one, or a function of the spec"),
        (Bare(), KINDS, "actor: Bare returns .*; here an actor returns TanhNormal"),
        (Pair(), KINDS, "actor: Pair returns tuple; here an actor returns TanhNormal"),
        (Pair(), (TanhNormal, Normal), "here an actor returns TanhNormal or Normal"),
        (
            GaussianActor(4, 2, (8,), squash=False),
            KINDS,
            "GaussianActor returns Normal; here an actor returns TanhNormal",
        ),
        (DeterministicActor(4, 2, (8,)), KINDS, "DeterministicActor returns Delta; here"),
        (GaussianActor(4, 2, (8,)), (Delta,), "GaussianActor returns TanhNormal; here an actor returns Delta"),
        (GaussianActor(4, 3, (8,)), KINDS, r"GaussianActor gives actions \(3, 3\) for 3 rows; they must be \(3, 2\)"),
        (GaussianActor(5, 2, (8,)), KINDS, r"actor: GaussianActor cannot be called with obs \[B, 4\]"),
        (Raises(), KINDS, r"actor: Raises cannot be called with obs \[B, 4\]: ZeroDivisionError: no actor here"),
    ],
)
def test_what_is_no_actor_is_refused_in_one_line(module, kinds, words):
    with pytest.raises(UserError, match=words) as error:
        policy.check(module, 4, 2, kinds)
    assert "\n" not in str(error.value)


def test_what_is_an_actor_is_accepted():
    policy.check(GaussianActor(4, 2, (8,)), 4, 2, KINDS)
    policy.check(GaussianActor(4, 2, (8,), squash=False), 4, 2, (TanhNormal, Normal))
    policy.check(DeterministicActor(4, 2, (8,)), 4, 2, (Delta,))
