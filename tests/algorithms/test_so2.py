import dataclasses

import jax
import numpy as np
import pytest

from fastrl.algorithms import parts, sac
from fastrl.methods import SAC, SO2

SMALL = SO2(actor_hidden=(16,), critic_hidden=(16, 16), num_critics=3, subset_size=2, target_noise=0.5, noise_limit=0.4)


@pytest.mark.parametrize(
    "changes", [{}, {"backup_entropy": True}, {"backup": "max_actions", "backup_actions": 3}], ids=str
)
def test_the_targets_action_is_perturbed_within_its_limits(changes, filled, ref, spec, make_batch):
    config = dataclasses.replace(SMALL, **changes)
    state, batch, key = filled(sac.sac(config, spec)), make_batch(0, 12), jax.random.key(5)
    net, count = parts.networks(config, spec), 3 if "backup" in changes else 1
    rows, target, actor, raw = ref.to64((batch, state.critic.target, state.actor.params, state.temperature.params))
    noise_key, subset_key, more = jax.random.split(key, 3)
    noise, extra = (np.asarray(jax.random.normal(k, (12, count, 2)), np.float64) for k in (noise_key, more))
    drawn = np.asarray(jax.random.permutation(subset_key, 3)[:2])
    mean, std = ref.actor(actor, rows.next_obs)
    values = []
    for i in range(count):  # each action has a perturbation of its own
        action, log_prob = ref.squashed(mean, std, mean + std * noise[:, i])
        clipped = np.clip(0.5 * extra[:, i], -0.4, 0.4)
        assert (abs(clipped) == 0.4).any() and (abs(action + clipped) > 1).any()
        value = ref.critic(target, rows.next_obs, np.clip(action + clipped, -1, 1))[drawn].min(0)
        value = value - np.log1p(np.exp(raw)) * log_prob * config.backup_entropy  # the density of the action before
        values.append(value)
    want = rows.reward + 0.99 * rows.mask * np.max(values, 0)
    for piece in (None, 4 * count):
        got = ref.run(
            lambda s, *x: sac.td_target(config, net, s, *sac.foreseen(config, net, s, *x)),
            state,
            batch,
            jax.random.clone(key),
            piece=piece,
        )
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)


def test_without_noise_an_update_is_sacs(filled, ref, spec, make_batch):
    """One whole update: where the noise is off nothing differs, where it is on the critics do."""
    own = {field.name: getattr(SMALL, field.name) for field in dataclasses.fields(SAC)}
    state, batches = filled(sac.sac(SAC(**own), spec)), make_batch(0, 2, 12)
    learnt = [
        ref.run(config.build(spec).update, state, batches, jax.random.key(7), ref.clock)[0]
        for config in (SAC(**own), SO2(**own, target_noise=0.0), SMALL)
    ]
    kernels = [np.asarray(each.critic.params["head"]["kernel"]) for each in learnt]
    assert jax.config.jax_threefry_partitionable  # a third key of a split leaves the first two
    np.testing.assert_allclose(kernels[0], kernels[1], rtol=1e-6, atol=1e-7)
    assert abs(kernels[0] - kernels[2]).max() > 1e-5
