import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fastrl.networks import critics


@pytest.fixture(params=[False, True], ids=["own heads", "shared head"])
def ensemble(request, key):
    return critics.critic_init(key, 3, 2, (16, 16), 4, True, 1e-2, request.param)


def inputs():
    keys = jax.random.split(jax.random.key(1), 2)
    return jax.random.normal(keys[0], (6, 3)), jax.random.normal(keys[1], (6, 5, 2))


def test_candidates_have_the_q_of_their_pairs(ensemble):
    obs, actions = inputs()
    q = critics.q_candidates(ensemble, obs, actions)
    assert q.shape == (4, 6, 5)
    for k in range(5):
        np.testing.assert_allclose(q[:, :, k], critics.q_values(ensemble, obs, actions[:, k]), atol=1e-5)


def test_members_are_the_critics_at_their_indices(ensemble):
    obs, actions = inputs()
    q = critics.q_values(ensemble, obs, actions[:, 0])
    assert not np.allclose(q[0], q[1])  # independent trunks
    some = critics.members(ensemble, jnp.array([3, 1]))
    np.testing.assert_allclose(critics.q_values(some, obs, actions[:, 0]), q[np.array([3, 1])], atol=1e-6)
    assert critics.members(ensemble, None) is ensemble


def test_gradient_to_the_action_is_that_of_the_definition(ensemble):
    obs, actions = inputs()
    got = jax.grad(lambda a: critics.q_values(ensemble, obs, a).min(0).sum())(actions[:, 0])
    plain = lambda a: critics.q_candidates(ensemble, obs, a[:, None])[:, :, 0].min(0).sum()
    np.testing.assert_allclose(got, jax.grad(plain)(actions[:, 0]), atol=1e-5)


def test_subsets_without_replacement_are_distinct_and_uniform():
    draw = jax.vmap(lambda k: critics.draw_subset(k, 10, 2, False))
    pairs = np.asarray(draw(jax.random.split(jax.random.key(0), 4000)))
    assert (pairs[:, 0] != pairs[:, 1]).all()
    np.testing.assert_allclose(np.bincount(pairs.ravel()) / 8000, 0.1, atol=0.015)
    assert critics.draw_subset(jax.random.key(0), 2, 2, False) is None  # all of them


def test_subsets_with_replacement_repeat_a_tenth_of_the_time():
    draw = jax.vmap(lambda k: critics.draw_subset(k, 10, 2, True))
    pairs = np.asarray(draw(jax.random.split(jax.random.key(0), 4000)))
    np.testing.assert_allclose((pairs[:, 0] == pairs[:, 1]).mean(), 0.1, atol=0.02)


def test_value_has_one_number_a_row(key):
    value = critics.value_init(key, 3, (16,), False)
    obs = inputs()[0]
    hidden = np.maximum(np.asarray(obs) @ np.asarray(value.trunk[0].dense.kernel), 0)
    np.testing.assert_allclose(critics.value(value, obs), hidden @ np.asarray(value.head.kernel), atol=1e-5)
