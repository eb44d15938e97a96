import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from fastrl.algorithms import bc
from fastrl.methods import BC

SMALL = BC(actor_hidden=(16,), actor_lr=3e-3, warmup_steps=10, cosine_steps=300)


def test_first_loss_is_the_negative_log_likelihood_and_training_finds_the_action(ref, spec, make_batch):
    algorithm = bc.bc(SMALL, spec)
    noise = make_batch(0, 1, 32)
    goal = jnp.array([0.6, -0.4])
    batch = dataclasses.replace(noise, action=goal[None, None] + 0.02 * noise.obs[..., :2])

    @jax.jit
    def train(key):
        init_key, key = jax.random.split(key)
        state = algorithm.init(init_key)
        body = lambda s, k: algorithm.update(s, batch, k, ref.clock)
        return state, *jax.lax.scan(body, state, jax.random.split(key, 300))

    start, state, metrics = train(jax.random.key(0))
    rows = ref.to64(batch)
    mean, std = ref.actor(ref.to64(start.actor.params), rows.obs[0])
    want = -ref.squashed(mean, std, np.arctanh(rows.action[0]))[1].mean()
    np.testing.assert_allclose(metrics["actor/loss"][0], want, rtol=1e-4)
    assert metrics["actor/loss"][-1] < metrics["actor/loss"][0] - 1
    mode = algorithm.act(state, batch.obs[0], jax.random.key(2), False)
    np.testing.assert_allclose(mode.mean(0), goal, atol=0.1)
    assert int(state.actor.opt.count) == 300
