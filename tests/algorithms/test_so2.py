import dataclasses

import jax
import numpy as np
import pytest

from fastrl.algorithms import parts, sac
from fastrl.methods import SAC, SO2

SMALL = SO2(actor_hidden=(16,), critic_hidden=(16, 16), num_critics=3, subset_size=2, target_noise=0.5, noise_limit=0.4)


@pytest.mark.parametrize("entropy", [False, True])
def test_the_targets_action_is_perturbed_within_its_limits(entropy, filled, ref, spec, make_batch):
    config = dataclasses.replace(SMALL, backup_entropy=entropy)
    state, batch, key = filled(sac.sac(config, spec)), make_batch(0, 12), jax.random.key(5)
    net = parts.networks(config, spec)
    got = sac.td_target(config, net, state, batch, jax.random.clone(key))
    rows, target, actor, raw = ref.to64((batch, state.critic.target, state.actor.params, state.temperature.params))
    noise_key, subset_key, more = jax.random.split(key, 3)
    noise, extra = (np.asarray(jax.random.normal(k, (12, 1, 2)), np.float64)[:, 0] for k in (noise_key, more))
    mean, std = ref.actor(actor, rows.next_obs)
    action, log_prob = ref.squashed(mean, std, mean + std * noise)
    clipped = np.clip(0.5 * extra, -0.4, 0.4)
    assert (abs(clipped) == 0.4).any() and (abs(action + clipped) > 1).any()
    perturbed = np.clip(action + clipped, -1, 1)
    drawn = np.asarray(jax.random.permutation(subset_key, 3)[:2])
    value = ref.critic(target, rows.next_obs, perturbed)[drawn].min(0)
    value = value - np.log1p(np.exp(raw)) * log_prob * entropy  # the density of the action before
    np.testing.assert_allclose(got, rows.reward + 0.99 * rows.mask * value, rtol=1e-4, atol=1e-5)


def test_without_noise_it_has_sacs_kind_of_target_and_sac_keeps_its_stream(filled, spec, make_batch):
    plain = SAC(**{f.name: getattr(SMALL, f.name) for f in dataclasses.fields(SAC)})
    state, batch = filled(sac.sac(plain, spec)), make_batch(0, 12)
    net = parts.networks(plain, spec)
    noisy = [sac.td_target(c, net, state, batch, jax.random.key(5)) for c in (SMALL, plain)]
    assert not np.allclose(*noisy)
    still = dataclasses.replace(SMALL, target_noise=0.0)
    many = jax.random.split(jax.random.key(6), 400)
    means = [
        np.asarray(jax.vmap(lambda k, c=c: sac.td_target(c, net, state, batch, k))(jax.random.clone(many))).mean(0)
        for c in (still, plain)
    ]
    np.testing.assert_allclose(*means, atol=0.15)
