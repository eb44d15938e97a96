"""Splitting a batch's rows into pieces changes no loss and no gradient beyond rounding."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from fastrl.algorithms import rows
from fastrl.methods import BC, CQL, IQL, SAC, CalQL

SIZES = {"actor_hidden": (8,), "critic_hidden": (8,)}
SGD = {"actor_optimizer": optax.sgd(1.0), "critic_optimizer": optax.sgd(1.0)}  # a step is the gradient itself
CONFIGS = {
    "SAC": SAC(**SIZES, **SGD, num_critics=3, backup_entropy=True, bc_weight=0.3),
    "SAC, max": SAC(**SIZES, **SGD, num_critics=3, backup="max_actions", backup_actions=2, shared_head=True),
    "SAC, RLPD": SAC(**SIZES, **SGD, num_critics=3, actor_q="mean", temperature_obs="current", temperature_form="exp"),
    "CQL": CQL(**SIZES, **SGD, num_critics=3, cql_actions=2, backup_actions=2, gap=0.8, clip_gap=0.5, penalized="all"),
    "Cal-QL": CalQL(**SIZES, **SGD, num_critics=3, cql_actions=2, backup_actions=2),
    "IQL": IQL(**SIZES, critic_optimizer=optax.sgd(1.0), actor_optimizer=optax.sgd(1.0), max_weight=1.2),
    "BC": BC(**SIZES, actor_optimizer=optax.sgd(1.0)),
}


def wide(tree):
    return jax.tree.map(lambda x: x.astype(jnp.float64) if x.dtype == jnp.float32 else x, tree)


@pytest.mark.parametrize(("name", "updates"), [*((name, 1) for name in CONFIGS), ("SAC", 2), ("IQL", 2)])
def test_pieces_change_rounding_only(name, updates, filled, ref, spec, make_batch):
    config = CONFIGS[name]
    start = filled(config.build(spec))
    results = []
    with jax.enable_x64(True):
        state, batches = wide(start), wide(make_batch(0, updates, 12))
        for piece in (None, 6):
            update, key = config.build(spec).update, jax.random.key(7)
            with rows.pieces_of(piece):
                program = str(
                    jax.make_jaxpr(lambda *x, update=update: update(*x))(state, batches, key.copy(), ref.clock)
                )
            results.append((program.count(" scan["), ref.run(update, state, batches, key, ref.clock, piece=piece)))
        (whole, wanted), (split, found) = results
        assert split > whole  # it was split
        assert jax.tree.structure(found) == jax.tree.structure(wanted)
        for (path, a), b in zip(jax.tree_util.tree_leaves_with_path(found), jax.tree.leaves(wanted), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10, err_msg=jax.tree_util.keystr(path))
        assert found[0].actor.params["mean"]["kernel"].dtype == jnp.float64
        moved = abs(found[0].actor.params["mean"]["kernel"] - state.actor.params["mean"]["kernel"]).max()
        assert moved > 1e-4
