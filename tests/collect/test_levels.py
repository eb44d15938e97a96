import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fastrl.algorithms import parts
from fastrl.collect import levels as behaviours
from fastrl.collect.levels import Behaviour, Snapshot
from fastrl.envs import registry
from fastrl.methods import SAC
from fastrl.types import Spec, UserError

CONFIG = SAC(actor_hidden=(4,))
SPEC = Spec("made-up", 2, 1, 1)


def made(means):
    actors = [parts.gaussian(CONFIG, SPEC).init(jax.random.key(i), 2) for i in range(len(means))]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *actors)
    snapshots = tuple(Snapshot(10 * i, mean, 1.0) for i, mean in enumerate(means))
    return Behaviour("task", 2, 1, CONFIG, stacked, snapshots)


def test_levels_are_chosen_by_return():
    behaviour = made([-5.0, 20.0, 40.0, 100.0, 35.0])
    assert (behaviour.medium, behaviour.expert) == (2, 3)
    assert behaviour.chosen("medium-replay") == [0, 1, 2]
    assert behaviour.chosen("medium") == [2] and behaviour.chosen("expert") == [3]


def test_a_file_gives_back_what_was_saved(tmp_path):
    behaviour = made([0.0, 3.0])
    behaviour.save(tmp_path / "task.npz")
    again = behaviours.load(tmp_path / "task.npz")
    assert dataclasses.replace(again, actors=None) == dataclasses.replace(behaviour, actors=None)
    jax.tree.map(np.testing.assert_array_equal, again.actors, behaviour.actors)


def test_copies_are_shared_out_among_the_snapshots():
    behaviour, obs = made([0.0, 1.0, 2.0]), jnp.ones((4, 2))
    quiet = dataclasses.replace(CONFIG, std="fixed", fixed_std=1e-5)
    actors = {name: leaves for name, leaves in behaviour.actors.items() if name != "spread"}
    behaviour = dataclasses.replace(behaviour, config=quiet, actors=actors)
    actions = np.asarray(behaviour.sampler([2, 0])(obs, jax.random.key(0)))
    for row, snapshot in enumerate((2, 0, 2, 0)):
        actor = jax.tree.map(lambda leaf, k=snapshot: leaf[k], actors)
        alone = parts.gaussian(quiet, SPEC).act(actor, obs[:1], jax.random.key(1), False)
        np.testing.assert_allclose(actions[row], alone[0], atol=1e-4)


def test_what_is_shipped_is_small_and_fits_its_task():
    assert behaviours.names()
    for name in behaviours.names():
        behaviour, row = behaviours.find(name), registry.row(name)
        assert (behaviour.env, behaviour.obs_size, behaviour.action_size) == (name, row.obs_size, row.action_size)
        best, least = behaviour.snapshots[behaviour.expert], behaviour.snapshots[0]
        assert best.mean - best.std > least.mean + least.std
        file = behaviours._folder() / f"{name}.npz"
        assert len(file.read_bytes()) < 800_000
    with pytest.raises(UserError, match=r"pointmaze-umaze has no behaviour policies, .*--policy"):
        behaviours.find("pointmaze-umaze")
