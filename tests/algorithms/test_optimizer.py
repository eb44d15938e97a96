import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from fastrl.algorithms.optimizer import adam, schedule
from fastrl.config import BC, SAC


@pytest.mark.parametrize(
    ("config", "chain"),
    [
        (SAC(), optax.adam(1e-2)),
        (SAC(weight_decay=0.1), optax.adamw(1e-2, weight_decay=0.1)),
        (SAC(grad_clip=0.5), optax.chain(optax.clip_by_global_norm(0.5), optax.adam(1e-2))),
        (SAC(cosine_steps=4), optax.adam(optax.cosine_decay_schedule(1e-2, 4))),
    ],
    ids=["adam", "adamw", "clipped", "cosine"],
)
def test_steps_are_those_of_optax(config, chain):
    params = {"a": jnp.linspace(-1, 1, 6).reshape(2, 3), "b": jnp.ones(())}
    optimizer = adam(1e-2, config)
    state, want, want_state, target = optimizer.init(params), params, chain.init(params), params
    for step in range(3):
        grads = jax.tree.map(lambda x: x * (step + 0.5) - 0.2, params)
        before = target
        params, state, target = optimizer.step(params, grads, state, target)
        updates, want_state = chain.update(grads, want_state, want)
        want = optax.apply_updates(want, updates)
        for name in params:
            np.testing.assert_allclose(params[name], want[name], rtol=1e-5, atol=1e-7)
            np.testing.assert_allclose(target[name], 0.995 * before[name] + 0.005 * want[name], rtol=1e-5)
    assert state.count == 3
    assert optimizer.step(params, grads, state)[2] is None


def test_warm_up_then_cosine():
    rate = schedule(1.0, BC(warmup_steps=10, cosine_steps=110))
    np.testing.assert_allclose([rate(0), rate(5), rate(10), rate(60), rate(110)], [0, 0.5, 1, 0.5, 0], atol=1e-6)
    np.testing.assert_allclose(schedule(1.0, SAC())(123), 1.0)
    assert schedule(1.0, BC(warmup_steps=10, cosine_steps=None))(50) == 1.0
