import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from fastrl.algorithms import group, optimisers
from fastrl.algorithms.group import Group
from fastrl.methods import SAC

PARAMS = {"head": jnp.linspace(-1, 1, 6).reshape(2, 3), "bias": jnp.ones(())}


def gradient(params, step):
    return jax.tree.map(lambda x: x * (step + 0.5) - 0.2, params)


def same(a, b, **tolerance):
    assert jax.tree.structure(a) == jax.tree.structure(b)
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, **tolerance), a, b)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (optimisers.adam(1e-2), optax.adam(1e-2)),
        (optimisers.adam(1e-2, SAC(weight_decay=0.3)), optax.adamw(1e-2, weight_decay=0.3)),
    ],
    ids=["adam", "adamw"],
)
def test_our_adam_descends_as_that_of_optax_and_its_incremental_update(ours, theirs):
    fused, plain = group.start(PARAMS, ours, target=True), group.start(PARAMS, theirs, target=True)
    want, want_target, want_opt = PARAMS, PARAMS, theirs.init(PARAMS)
    for step in range(4):
        fused = jax.jit(lambda g, grads: group.descend(g, grads, ours, 0.1))(fused, gradient(want, step))
        plain = group.descend(plain, gradient(want, step), theirs, 0.1)
        updates, want_opt = theirs.update(gradient(want, step), want_opt, want)
        want = optax.apply_updates(want, updates)
        want_target = optax.incremental_update(want, want_target, 0.1)
        same(plain.params, want, rtol=1e-6)
        for found in (fused, plain):
            same(found.params, want, rtol=1e-5, atol=1e-7)
            same(found.target, want_target, rtol=1e-5, atol=1e-7)
    assert int(fused.opt.count) == 4


@pytest.mark.parametrize("optimizer", [optimisers.adam(1e-2), optax.adam(1e-2)], ids=["ours", "optax"])
def test_a_target_rests_without_its_share_and_none_appears(optimizer):
    started = group.start(PARAMS, optimizer, target=True)
    moved = group.descend(started, gradient(PARAMS, 0), optimizer)
    same(moved.target, PARAMS)
    assert abs(moved.params["head"] - PARAMS["head"]).max() > 5e-3
    alone = group.start(PARAMS, optimizer)
    assert alone.target is None
    assert group.descend(alone, gradient(PARAMS, 0), optimizer).target is None
    with_share = group.descend(alone, gradient(PARAMS, 0), optimizer, 0.1)
    assert with_share.target is None
    same(with_share.params, moved.params, rtol=1e-6)


def test_the_target_starts_as_a_copy():
    started = group.start(PARAMS, optax.sgd(1.0), target=True)
    same(started.target, PARAMS)
    assert all(a is not b for a, b in zip(*map(jax.tree.leaves, (started.target, started.params)), strict=True))


def test_average_moves_the_target_alone():
    before = Group(PARAMS, (), jax.tree.map(jnp.zeros_like, PARAMS))
    after = group.average(before, 0.25)
    same(after.target, jax.tree.map(lambda x: 0.25 * x, PARAMS), rtol=1e-6)
    same(after.params, PARAMS)
    same(group.average(after, 0.25).target, jax.tree.map(lambda x: (1 - 0.75**2) * x, PARAMS), rtol=1e-6)
    alone = dataclasses.replace(before, target=None)
    assert group.average(alone, 0.25) is alone


def test_synchronise_makes_the_target_a_copy():
    after = group.synchronise(Group(PARAMS, (), jax.tree.map(jnp.zeros_like, PARAMS)))
    same(after.target, PARAMS)
    same(after.params, PARAMS)
    assert after.target["head"] is not after.params["head"]
