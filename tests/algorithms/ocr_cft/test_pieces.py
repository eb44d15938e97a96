"""Splitting the rows changes rounding only; losses with a statistic of the whole batch are never split."""

import dataclasses

import jax
import pytest

from fastrl.algorithms import rows
from fastrl.methods import O2SAC, O2TD3, TD3, TD3BC

SIZES = {"actor_hidden": (8,), "critic_hidden": (8,)}
CONFIGS = {
    "TD3": TD3(**SIZES, policy_delay=1),
    "TD3+BC": TD3BC(**SIZES, policy_delay=1),
    "O2SAC, align": O2SAC(**SIZES, stage="align"),
    "O2SAC, finetune": O2SAC(**SIZES),
    "O2TD3, align": O2TD3(**SIZES, stage="align"),
    "O2TD3, finetune": O2TD3(**SIZES, policy_delay=1),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_the_gradients_are_the_same(name, ref, spec):
    config = CONFIGS[name]
    state, batch, found = ref.filled(config.build(spec)), ref.batch(3, 1, 12), []
    for piece in (None, 6):
        update, key = config.build(spec).update, jax.random.key(7)
        with rows.pieces_of(piece):
            program = str(jax.make_jaxpr(lambda *x, update=update: update(*x))(state, batch, key.copy(), ref.clock()))
            new, _ = jax.jit(lambda *x, update=update: update(*x))(state, batch, key, ref.clock())
        found.append((program.count(" scan["), new))
    (whole, wanted), (split, new) = found
    assert split > whole  # something was split
    groups = [field.name for field in dataclasses.fields(new) if hasattr(getattr(new, field.name), "opt")]
    for group in groups:  # Adam's moments hold the gradients
        ref.close(getattr(new, group).opt, getattr(wanted, group).opt, 1e-12)
    assert {"actor", "critic"} <= set(groups)
    assert (new.actor.opt.count != state.actor.opt.count).all()
