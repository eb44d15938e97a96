import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fastrl.algorithms.build import build
from fastrl.algorithms.transfer import adopt
from fastrl.config import BC, IQL, SAC, CalQL
from fastrl.types import UserError

SIZES = {"actor_hidden": (16,), "critic_hidden": (16,), "layer_norm": True, "std": "exp"}


@pytest.fixture
def fresh(filled, spec):
    """A state of this configuration."""
    return lambda config, seed: filled(build(config, spec), seed)


def same(a, b):
    return all(np.array_equal(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b)))


def test_everything_that_both_have_is_taken_over(fresh):
    before = fresh(CalQL(**SIZES, num_critics=3), 0)
    steps = dataclasses.replace(before.actor_opt, count=jnp.int32(77))
    before = dataclasses.replace(before, actor_opt=steps, temperature=jnp.float32(0.123))
    now = adopt(fresh(SAC(**SIZES, num_critics=3), 1), before)
    for field in dataclasses.fields(now):
        assert same(getattr(now, field.name), getattr(before, field.name)), field.name
    new = fresh(SAC(**SIZES, num_critics=3), 1)
    anew = adopt(new, before, reset_optimizer=True)
    assert anew.actor_opt.count == 0 and anew.temperature == before.temperature
    policy = adopt(new, before, fields=("actor", "actor_opt"))
    assert same(policy.actor, before.actor) and same(policy.critic, new.critic)


def test_other_agents_and_seeds(fresh):
    sac = fresh(SAC(**SIZES, num_critics=3), 1)
    iql = fresh(IQL(**SIZES, num_critics=3, subset_size=2, squash=True), 0)
    assert same(adopt(sac, iql).critic, iql.critic)
    bc = fresh(BC(**SIZES), 0)
    assert same(adopt(sac, bc).actor, bc.actor) and same(adopt(sac, bc).critic, sac.critic)
    seeds = lambda tree: jax.tree.map(lambda x: jnp.stack([x, x]), tree)
    assert adopt(seeds(sac), seeds(bc)).actor.mean.kernel.shape == (2, 16, 2)


def test_misfits_are_refused_in_one_line(fresh):
    sac = fresh(SAC(**SIZES, num_critics=3), 1)
    for other, words in (
        (SAC(**SIZES, num_critics=4), r"critic.*\(4, 5, 16\).*\(3, 5, 16\).*num_critics"),
        (SAC(**(SIZES | {"std": "uniform"}), num_critics=3), "actor.*std"),
        (SAC(**(SIZES | {"actor_hidden": (16, 16)}), num_critics=3), "actor.*actor_hidden"),
    ):
        with pytest.raises(UserError, match=words) as error:
            adopt(sac, fresh(other, 0), fields=("actor", "critic"))
        assert "\n" not in str(error.value)
    with pytest.raises(UserError, match="cannot take over 'value'"):
        adopt(sac, sac, fields=("value",))
