import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from fastrl.networks import critics
from fastrl.networks.critics import Critic, Ensemble, Value
from fastrl.types import UserError


class Plain(nn.Module):
    """A critic of a user's: flax's own layers, and no `candidates`."""

    @nn.compact
    def __call__(self, obs, action):
        hidden = nn.tanh(nn.Dense(8, name="hidden")(jnp.concatenate([obs, action], -1)))
        return nn.Dense(1, name="out")(hidden)[..., 0]


BUILT_IN = Critic(3, 2, (16, 16), layer_norm=True, final_gain=1e-2)
ENSEMBLES = {
    "own heads": Ensemble(BUILT_IN, 4),
    "shared head": Ensemble(BUILT_IN, 4, ("head",)),
    "of a user": Ensemble(Plain(), 4),
}


@pytest.fixture(params=ENSEMBLES)
def ensemble(request, key):
    """An ensemble and its parameters."""
    found = ENSEMBLES[request.param]
    with jax.numpy_rank_promotion("allow"):  # of flax's own Dense
        yield found, found.init(key, 3, 2)


def inputs():
    keys = jax.random.split(jax.random.key(1), 2)
    return jax.random.normal(keys[0], (6, 3)), jax.random.normal(keys[1], (6, 5, 2))


def test_candidates_have_the_q_of_their_pairs(ensemble):
    (net, params), (obs, actions) = ensemble, inputs()
    q = net.candidates(params, obs, actions)
    assert q.shape == (4, 6, 5)
    for k in range(5):
        np.testing.assert_allclose(q[:, :, k], net.q(params, obs, actions[:, k]), atol=1e-5)


def test_a_subset_is_the_critics_at_its_indices(ensemble):
    (net, params), (obs, actions) = ensemble, inputs()
    q = net.q(params, obs, actions[:, 0])
    assert q.shape == (4, 6) and not np.allclose(q[0], q[1])  # independent trunks
    some = net.subset(params, jnp.array([3, 1]))
    np.testing.assert_allclose(net.q(some, obs, actions[:, 0]), q[np.array([3, 1])], atol=1e-6)
    np.testing.assert_allclose(net.candidates(some, obs, actions)[0, :, 0], q[3], atol=1e-5)
    assert net.subset(params, None) is params


def test_every_critic_is_its_module_with_its_own_parameters(ensemble):
    (net, params), (obs, actions) = ensemble, inputs()
    q = net.q(params, obs, actions[:, 0])
    for n in range(4):
        own = {name: jax.tree.map(lambda x, n=n: x[n % x.shape[0]], part) for name, part in params.items()}
        np.testing.assert_allclose(q[n], net.module.apply({"params": own}, obs, actions[:, 0]), atol=1e-5)
    for name, part in params.items():
        assert {x.shape[0] for x in jax.tree.leaves(part)} == {1 if name in net.shared else 4}


def test_gradient_to_the_action_is_that_of_the_definition(ensemble):
    (net, params), (obs, actions) = ensemble, inputs()
    got = jax.grad(lambda a: net.q(params, obs, a).min(0).sum())(actions[:, 0])
    plain = lambda a: net.candidates(params, obs, a[:, None])[:, :, 0].min(0).sum()
    np.testing.assert_allclose(got, jax.grad(plain)(actions[:, 0]), atol=1e-5)


def test_a_shared_head_gets_the_gradients_of_all(key):
    net = ENSEMBLES["shared head"]
    params = net.init(key, 3, 2)
    obs, actions = inputs()
    grads = jax.grad(lambda p: net.q(p, obs, actions[:, 0]).sum())(params)
    np.testing.assert_allclose(grads["head"]["bias"], [4 * 6], rtol=1e-6)


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


@pytest.mark.parametrize("activation", [nn.relu, jnp.tanh])
def test_value_has_one_number_a_row(activation, key):
    module, obs = Value(3, (16,), activation=activation), inputs()[0]
    params = module.init(key, obs)["params"]
    hidden = np.asarray(obs) @ np.asarray(params["trunk"]["dense_0"]["kernel"])
    hidden = np.tanh(hidden) if activation is jnp.tanh else np.maximum(hidden, 0)
    np.testing.assert_allclose(
        critics.value(module, params, obs), hidden @ np.asarray(params["head"]["kernel"]), atol=1e-5
    )


class Flat(nn.Module):
    """Keeps the last axis."""

    @nn.compact
    def __call__(self, obs, action):
        return obs[:, :1] + action[:, :1]


class Two(nn.Module):
    """Two values at once."""

    @nn.compact
    def __call__(self, obs, action):
        return obs.sum(-1), action.sum(-1)


class Raises(nn.Module):
    """Fails in its own way."""

    @nn.compact
    def __call__(self, obs, action):
        raise ZeroDivisionError("no critic\nhere")


class OfObs(nn.Module):
    """V in the place of Q."""

    @nn.compact
    def __call__(self, obs):
        return obs.sum(-1)


@pytest.mark.parametrize(
    ("module", "words"),
    [
        (7, "critic: 7 is no flax.linen module; hand over one, or a function of the spec"),
        (lambda obs, action: obs.sum(-1), "is no flax.linen module"),
        (Flat(), r"critic: Flat gives \(3, 1\) for 3 rows; a critic gives Q of shape \(3,\)"),
        (Two(), r"critic: Two gives tuple for 3 rows"),
        (
            Raises(),
            r"critic: Raises cannot be called with obs \[B, 4\] and action \[B, 2\]: ZeroDivisionError: no critic here",
        ),
        (OfObs(), r"critic: OfObs cannot be called .*TypeError"),
        (Critic(3, 2, (8,)), r"critic: Critic cannot be called with obs \[B, 4\]"),
    ],
    ids=["a number", "a function", "an axis too many", "a tuple", "raises", "one argument", "another size"],
)
def test_what_is_no_critic_is_refused_in_one_line(module, words):
    with pytest.raises(UserError, match=words) as error:
        critics.check(module, 4, 2)
    assert "\n" not in str(error.value)


def test_what_is_a_critic_is_accepted():
    critics.check(Critic(4, 2, (8,)), 4, 2)
    with jax.numpy_rank_promotion("allow"):
        critics.check(Plain(), 4, 2)
