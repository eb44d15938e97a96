import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from fastrl.algorithms.group import Group
from fastrl.algorithms.transfer import adopt, fits
from fastrl.methods import BC, IQL, SAC, CalQL
from fastrl.types import UserError

SIZES = {"actor_hidden": (16,), "critic_hidden": (16,), "layer_norm": True, "std": "exp"}


@pytest.fixture
def fresh(filled, spec):
    """A state of this configuration."""
    return lambda config, seed: filled(config.build(spec), seed)


def same(a, b):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    return all(np.array_equal(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


def test_everything_that_both_have_is_taken_over(fresh):
    before = fresh(CalQL(**SIZES, num_critics=3), 0)
    opt = dataclasses.replace(before.actor.opt, count=jnp.int32(77))
    temperature = dataclasses.replace(before.temperature, params=jnp.float32(0.123))
    actor = dataclasses.replace(before.actor, opt=opt)
    before = dataclasses.replace(before, actor=actor, temperature=temperature)
    new = fresh(SAC(**SIZES, num_critics=3), 1)
    now = adopt(new, before)
    for field in dataclasses.fields(now):
        assert same(getattr(now, field.name), getattr(before, field.name)), field.name
    assert not same(now.critic.target, now.critic.params)  # the target came along as it was
    policy = adopt(new, before, fields=("actor",))
    assert same(policy.actor, before.actor) and same(policy.critic, new.critic)
    assert same(policy.temperature, new.temperature)


def test_optimisers_start_anew_where_asked(fresh):
    before = fresh(CalQL(**SIZES, num_critics=3), 0)
    moved = jax.tree.map(jnp.ones_like, before.actor.opt)
    before = dataclasses.replace(before, actor=dataclasses.replace(before.actor, opt=moved))
    new = fresh(SAC(**SIZES, num_critics=3), 1)
    anew = adopt(new, before, reset_optimizer=True)
    assert same(anew.actor.opt, new.actor.opt) and anew.actor.opt.count == 0
    assert same(anew.actor.params, before.actor.params)
    assert same(anew.critic.target, before.critic.target)
    assert same(anew.temperature.params, before.temperature.params)


def test_what_is_taken_over_is_a_copy(fresh):
    before = fresh(SAC(**SIZES, num_critics=3), 0)
    now = adopt(fresh(SAC(**SIZES, num_critics=3), 1), before)
    assert all(a is not b for a, b in zip(*map(jax.tree.leaves, (now, before)), strict=True))


def test_other_agents_and_seeds(fresh):
    sac = fresh(SAC(**SIZES, num_critics=3), 1)
    iql = fresh(IQL(**SIZES, num_critics=3, subset_size=2, squash=True), 0)
    assert same(adopt(sac, iql).critic, iql.critic) and same(adopt(sac, iql).actor, iql.actor)
    bc = fresh(BC(**SIZES), 0)
    assert same(adopt(sac, bc).actor, bc.actor) and same(adopt(sac, bc).critic, sac.critic)
    seeds = lambda tree: jax.tree.map(lambda x: jnp.stack([x, x]), tree)
    assert adopt(seeds(sac), seeds(bc)).actor.params["mean"]["kernel"].shape == (2, 16, 2)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Lone:
    """A state of one group."""

    net: Group


def test_a_target_that_was_not_there_starts_as_a_copy_and_one_that_is_not_wanted_is_left():
    ones, twos, threes = ({"w": jnp.full(3, x)} for x in (1.0, 2.0, 3.0))
    found = adopt(Lone(Group(ones, (), ones)), Lone(Group(twos, (), None)))
    assert same(found.net, Group(twos, (), twos))
    found = adopt(Lone(Group(ones, (), None)), Lone(Group(twos, (), threes)))
    assert same(found.net, Group(twos, (), None))
    found = adopt(Lone(Group(ones, (), ones)), Lone(Group(twos, (), threes)))
    assert same(found.net, Group(twos, (), threes))


def test_states_of_users_that_are_no_dataclasses_are_taken_over_whole():
    before, new = ({"params": jnp.full(3, x), "opt": ()} for x in (1.0, 2.0))
    assert same(adopt(new, before), before)
    with pytest.raises(UserError, match="cannot take over the agent") as error:
        adopt(new, before | {"more": jnp.zeros(2)})
    assert "\n" not in str(error.value)


def test_other_optimisers_are_refused_unless_they_start_anew(fresh):
    own = fresh(SAC(**SIZES, num_critics=3), 0)
    other = fresh(SAC(**SIZES, num_critics=3, critic_optimizer=optax.sgd(1e-2, momentum=0.9)), 1)
    with pytest.raises(UserError, match="cannot take over critic's optimiser") as error:
        adopt(other, own, fields=("critic",))
    assert "\n" not in str(error.value)
    found = adopt(other, own, fields=("critic",), reset_optimizer=True)
    assert same(found.critic.params, own.critic.params) and same(found.critic.opt, other.critic.opt)


def test_misfits_are_refused_in_one_line(fresh):
    sac = fresh(SAC(**SIZES, num_critics=3), 1)
    for other, words in (
        (SAC(**SIZES, num_critics=4), r"critic.*of shape \(4,\).*of shape \(3,\) now.*num_critics"),
        (SAC(**(SIZES | {"std": "uniform"}), num_critics=3), "actor.*log_std.*std"),
        (SAC(**(SIZES | {"actor_hidden": (16, 16)}), num_critics=3), "actor.*actor_hidden"),
        (SAC(**(SIZES | {"critic_hidden": (8,)}), num_critics=3), r"critic.*\(3, 8\).*\(3, 16\).*critic_hidden"),
    ):
        with pytest.raises(UserError, match=words) as error:
            adopt(sac, fresh(other, 0), fields=("actor", "critic"))
        assert "\n" not in str(error.value)
    with pytest.raises(UserError, match="cannot take over 'value': states share only actor, critic, temperature"):
        adopt(sac, sac, fields=("value",))


def test_what_fits(fresh):
    sac = fresh(SAC(**SIZES, num_critics=3), 1)
    assert fits(sac, fresh(SAC(**SIZES, num_critics=3), 0))
    assert not fits(sac, fresh(SAC(**SIZES, num_critics=4), 0))
    assert fits(sac.actor, fresh(BC(**SIZES), 0).actor) and not fits(sac.actor, sac.critic)
