"""One rule for spaces, whichever door they come through: a simulator's, a library's, a dataset's or a spec's."""

import json
from typing import NamedTuple

import gymnasium
import gymnax
import h5py
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Tuple
from gymnax.environments import spaces as gymnax_spaces

from fastrl import envs
from fastrl.data import datasets
from fastrl.envs import spaces
from fastrl.types import UserError

VECTOR = Box(-1, 1, (3,), np.float32)
HUGE = float(np.finfo(np.float32).max)


def box(low, high, dtype=np.float64):
    return Box(np.array(low, dtype), np.array(high, dtype), dtype=dtype)


class Spaces(gymnasium.Env):
    """Has the spaces that it is told, and is never played."""

    def __init__(self, observation, action):
        self.observation_space, self.action_space = observation, action


gymnasium.register("Spaces-v0", entry_point=Spaces)


def through_gymnasium(action, observation=VECTOR, **_):
    env = envs.make("gymnasium:Spaces-v0", observation=observation, action=action)
    return env.spec.obs_size, env.spec.action_size


class Params(NamedTuple):
    max_steps_in_episode: int


def through_gymnax(monkeypatch, action, observation=VECTOR):
    class Library:
        def action_space(self, params):
            low, high, shape = (jnp.asarray(action.low), jnp.asarray(action.high), action.shape)
            return gymnax_spaces.Box(low, high, shape, jnp.dtype(action.dtype.name))

        def reset_env(self, key, params):
            return jnp.zeros(observation.shape, observation.dtype), 0

    monkeypatch.setattr(gymnax, "make", lambda name: (Library(), Params(5)))
    spec = envs.make("gymnax:Pendulum-v1").spec
    return spec.obs_size, spec.action_size


def through_minari(folder, space, action=None, observation=VECTOR, steps=3):
    """A dataset of one episode in Minari's format, whose recorded actions are `action`, or the lowest."""
    folder.mkdir()
    told = {"type": type(space).__name__}
    if isinstance(space, Box):
        told |= {"dtype": str(space.dtype), "low": space.low.tolist(), "high": space.high.tolist()}
        action = np.stack([np.nan_to_num(space.low)] * steps) if action is None else action
    action = np.zeros(steps) if action is None else np.asarray(action)
    metadata = {"dataset_id": "spaces-v0", "total_episodes": 1, "action_space": json.dumps(told)}
    (folder / "metadata.json").write_text(json.dumps(metadata))
    with h5py.File(folder / "main_data.hdf5", "w") as file:
        group = file.create_group("episode_0")
        group["observations"] = np.zeros((len(action) + 1, *observation.shape), observation.dtype)
        group["actions"], group["rewards"] = action, np.zeros((len(action), 1))
        for flag in ("terminations", "truncations"):
            group[flag] = np.zeros((len(action), 1), bool)
    return datasets.load(folder)


REFUSED = [
    (
        Discrete(3),
        "acts in Discrete.*; only continuous actions, a Box of floats, can be learnt: choose a task with",
    ),
    (MultiDiscrete([3, 2]), "acts in MultiDiscrete.*; only continuous actions"),
    (MultiBinary(2), "acts in MultiBinary.*; only continuous actions"),
    (Tuple((VECTOR, VECTOR)), "acts in Tuple.*; only continuous actions"),
    (Dict({"arm": VECTOR}), "acts in Dict.*; only continuous actions.*: join them in one Box"),
    (Box(0, 5, (2,), np.int64), "acts in whole numbers, a Box of int64; make it a Box of floats, and round inside"),
    (Box(0, 1, (2,), np.uint8), "acts in whole numbers, a Box of uint8"),
    (box([1, 2], [1, 2]), "every action is fixed, low equals high; leave the agent one to choose"),
    (box(np.zeros(0), np.zeros(0)), "acts in a Box without numbers"),
]


@pytest.mark.parametrize(("action", "match"), REFUSED, ids=[str(action)[:30] for action, _ in REFUSED])
def test_actions_that_cannot_be_learnt_are_refused_at_every_door(tmp_path, monkeypatch, action, match):
    doors = [lambda: through_gymnasium(action), lambda: through_minari(tmp_path / "data", action)]
    if isinstance(action, Box) and action.dtype == np.float64 and action.shape[0]:
        doors.append(lambda: through_gymnax(monkeypatch, action))
    for door in doors:
        with pytest.raises(UserError, match=match) as caught:
            door()
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("shape", [(2,), (4, 3), (2, 1, 2), ()])
def test_any_shape_of_floats_is_flattened_at_every_door(tmp_path, monkeypatch, shape):
    size = int(np.prod(shape))
    action = Box(-2, 2, shape, np.float32)
    assert through_gymnasium(action, action) == (size, size)
    assert through_gymnax(monkeypatch, action, action) == (size, size)
    recorded = np.random.default_rng(0).uniform(-2, 2, (3, *shape)).astype(np.float32)
    data = through_minari(tmp_path / "data", action, recorded, observation=action)
    assert data.obs.shape == data.action.shape == (3, size)
    np.testing.assert_allclose(data.action, recorded.reshape(3, size) / 2, atol=1e-6)


def test_recorded_observations_that_count_nothing_are_refused(tmp_path):
    through_minari(tmp_path / "data", VECTOR)
    file = tmp_path / "data" / "metadata.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"observation_space": '{"type": "Discrete", "n": 4}'}))
    with pytest.raises(UserError, match=r"observes Discrete; only a Box.*: wrap it in gymnasium\.wrappers\.Flatten"):
        datasets.load(tmp_path / "data")


@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 3)])
def test_images_are_refused_at_every_door(tmp_path, monkeypatch, shape):
    image = Box(0, 255, shape, np.uint8)
    doors = (
        lambda: through_gymnasium(VECTOR, image),
        lambda: through_gymnasium(VECTOR, Dict({"eye": image})),
        lambda: through_gymnax(monkeypatch, VECTOR, image),
        lambda: through_minari(tmp_path / "data", VECTOR, observation=image),
    )
    for door in doors:
        with pytest.raises(UserError, match=r"observes images, uint8 of shape \(8, 8.*\); only vectors .* encode them"):
            door()
    assert through_gymnasium(VECTOR, Box(0, 255, (5,), np.uint8)) == (5, 3)  # whole numbers, and no image


@pytest.mark.parametrize("bound", [np.inf, HUGE, 1e10])
@pytest.mark.parametrize("both", [True, False])
def test_a_component_without_bounds_is_no_environments_and_recorded_as_it_is(tmp_path, monkeypatch, bound, both):
    action = box([-2, -bound if both else 0], [2, bound], np.float64)
    for door in (lambda: through_gymnasium(action), lambda: through_gymnax(monkeypatch, action)):
        with pytest.raises(UserError, match=r"action 1 of 2 has no bounds and cannot be scaled .*; give it finite"):
            door()
    data = through_minari(tmp_path / "data", action, np.array([[-2, -0.25], [1, 0.5]], np.float32))
    np.testing.assert_allclose(data.action, [[-1, -0.25], [0.5, 0.5]], atol=2e-5)
    with pytest.raises(UserError, match=r"'actions' is 7 at row 1, outside \[-1, 1\]"):
        through_minari(tmp_path / "wide", action, np.array([[-2, -0.25], [1, 7]], np.float32))


def test_a_fixed_component_is_recorded_as_nothing(tmp_path, monkeypatch):
    action = box([-2, 3], [2, 3])
    assert through_gymnasium(action) == through_gymnax(monkeypatch, action) == (3, 2)
    data = through_minari(tmp_path / "data", action, np.array([[-2, 3], [1, 3]], np.float32))
    np.testing.assert_allclose(data.action, [[-1, 0], [0.5, 0]], atol=2e-5)


def test_what_is_recorded_is_what_the_agent_did():
    low, high = np.array([-1, -0.4, 0, 3]), np.array([1, 0.4, 1e6, 3])
    unit = np.random.default_rng(0).uniform(-1, 1, (50, 4)).astype(np.float32)
    taken = low + (unit.astype(np.float64) + 1) / 2 * (high - low)
    taken[:, 0] = unit[:, 0]
    np.testing.assert_allclose(spaces.to_unit(taken, low, high)[:, :3], unit[:, :3], atol=1e-6)
    np.testing.assert_array_equal(spaces.to_unit(taken, low, high)[:, 0], unit[:, 0])


@pytest.mark.parametrize(
    ("observation", "match"),
    [
        (Tuple((VECTOR, Discrete(2))), "observes Tuple.*; only a Box, or a Dict of Boxes"),
        (Dict({"a": VECTOR, "b": Discrete(2)}), r"observes Discrete\(2\); only a Box"),
        (Dict({}), r"observes Dict\(\); only a Box"),
        (Box(-1, 1, (0,), np.float32), "observes a Box without numbers"),
        (box(np.arange(-90.0, 0), np.arange(90.0), np.int64), None),
    ],
)
def test_observations_that_are_no_boxes_are_one_line(observation, match):
    if match is None:
        assert through_gymnasium(VECTOR, observation) == (90, 3)
        return
    with pytest.raises(UserError, match=match) as caught:
        through_gymnasium(VECTOR, observation)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 250
