"""Which networks and optimisers an algorithm has: those of its options, or the user's own."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from fastrl.algorithms import parts
from fastrl.algorithms.optimisers import Adam
from fastrl.methods import BC, CQL, IQL, SAC, TD3
from fastrl.networks.critics import Critic
from fastrl.networks.distributions import Delta, Normal, TanhNormal
from fastrl.networks.policy import DeterministicActor, GaussianActor
from fastrl.types import UserError

SMALL = SAC(actor_hidden=(8,), critic_hidden=(8,), num_critics=3)


def test_the_built_in_networks_follow_the_options(spec):
    net = parts.networks(SMALL, spec)
    assert net.critic.members == 3 and net.critic.shared == ()
    assert parts.networks(dataclasses.replace(SMALL, shared_head=True), spec).critic.shared == ("head",)
    assert net.actor.module.layer_norm and net.critic.module.layer_norm
    bare = parts.networks(dataclasses.replace(SMALL, actor_layer_norm=False), spec)
    assert not bare.actor.module.layer_norm and bare.critic.module.layer_norm
    assert net.critic.module.gain == 2**0.5 and net.critic.module.final_gain == net.actor.module.final_gain == 1e-2
    obs = jnp.zeros((4, spec.obs_size))
    for found, kind in (
        (net, TanhNormal),
        (parts.networks(IQL(**sizes()), spec, squash=False), Normal),
        (parts.deterministic(TD3(**sizes()), spec), Delta),
    ):
        params = jax.eval_shape(lambda actor=found.actor: actor.init(jax.random.key(0), spec.obs_size))
        assert isinstance(jax.eval_shape(found.actor, params, obs), kind)


def sizes():
    return {"actor_hidden": (8,), "critic_hidden": (8,)}


def test_the_same_networks_handed_over_learn_the_same(ref, spec, make_batch):
    own = dataclasses.replace(
        SMALL,
        actor=GaussianActor(spec.obs_size, spec.action_size, (8,), layer_norm=True, final_gain=1e-2),
        critic=lambda spec: Critic(spec.obs_size, spec.action_size, (8,), layer_norm=True, final_gain=1e-2),
    )
    results = []
    for config in (SMALL, own):
        algorithm = config.build(spec)
        state = ref.run(algorithm.init, jax.random.key(0))
        results.append(ref.run(algorithm.update, state, make_batch(0, 2, 8), jax.random.key(1), ref.clock))
    assert jax.tree.structure(results[0]) == jax.tree.structure(results[1])
    jax.tree.map(np.testing.assert_array_equal, *results)


def test_the_users_optimiser_steps_its_group(filled, ref, spec, make_batch):
    config = dataclasses.replace(SMALL, critic_optimizer=optax.sgd(0.5), actor_optimizer=lambda: optax.sgd(0.0))
    algorithm = config.build(spec)
    state = filled(algorithm)
    new, _ = ref.run(algorithm.update, state, make_batch(0, 1, 8), jax.random.key(1), ref.clock)
    jax.tree.map(np.testing.assert_array_equal, new.actor.params, state.actor.params)
    assert int(new.temperature.opt.count) == 1  # a multiplier keeps its Adam
    averaged = jax.tree.map(lambda t, c: 0.995 * t + 0.005 * c, state.critic.target, new.critic.params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), new.critic.target, averaged)
    assert abs(new.critic.params["head"]["bias"] - state.critic.params["head"]["bias"]).max() > 1e-3


def test_without_one_it_is_adam_with_the_options(spec):
    config = dataclasses.replace(SMALL, weight_decay=0.1, grad_clip=0.5)
    for name, rate in (("actor", config.actor_lr), ("critic", config.critic_lr)):
        found = parts.actor_critic_optimisers(config)[name]
        assert isinstance(found, Adam) and found.rate(5) == np.float32(rate)
        assert (found.weight_decay, found.grad_clip) == (0.1, 0.5)
    apart = parts.actor_critic_optimisers(dataclasses.replace(config, actor_grad_clip=0.25))
    assert (apart["actor"].grad_clip, apart["critic"].grad_clip) == (0.25, 0.5)
    warm = parts.optimiser(BC(warmup_steps=10), "actor", 1.0, 10)
    np.testing.assert_allclose(warm.rate(5), 0.5)


WRONG = [
    ({"critic": 7}, "critic: 7 is no flax.linen module"),
    ({"critic_optimizer": "nowhere"}, "critic_optimizer: 'nowhere' is not MODULE:NAME"),
    ({"actor": GaussianActor(3, 5, (8,))}, "actor: GaussianActor (gives actions|returns)"),
    ({"actor": lambda spec: spec.nothing}, r"\(spec\) fails: AttributeError"),
    ({"actor_optimizer": 3e-4}, "actor_optimizer: 0.0003 is no optimiser"),
]
ALGORITHMS = [SMALL, CQL(**sizes()), IQL(**sizes()), TD3(**sizes()), BC(**sizes())]


@pytest.mark.parametrize(
    ("config", "changes", "words"),
    [(config, *case) for config in ALGORITHMS for case in (WRONG[2:] if isinstance(config, BC) else WRONG)],
)
def test_what_is_wrong_is_refused_in_one_line_when_the_algorithm_is_built(config, changes, words, spec):
    with pytest.raises(UserError, match=words) as error:
        dataclasses.replace(config, **changes).build(spec)
    assert "\n" not in str(error.value)


def test_an_actor_of_another_kind_is_refused(spec):
    with pytest.raises(UserError, match="here an actor returns TanhNormal"):
        dataclasses.replace(SMALL, actor=DeterministicActor(3, 2, (8,))).build(spec)
    with pytest.raises(UserError, match="here an actor returns Delta"):
        TD3(actor=GaussianActor(3, 2, (8,))).build(spec)
