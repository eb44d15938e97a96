"""The Minari reader against Minari's own collector and reader, and damage as one line."""

import json
import shutil

import gymnasium
import h5py
import minari
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict
from minari.data_collector import EpisodeBuffer

from fastrl.data import datasets, minari_files
from fastrl.types import UserError

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:minari.*")
LIMIT = np.float32(1 - 1e-5)


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch):
    """Minari's own folder, away from the user's."""
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    return tmp_path / "minari"


class Slide(gymnasium.Env):
    """A point on a line; ends at 3, actions in [-2, 2]."""

    observation_space = Box(-10, 10, (2,), np.float64)
    action_space = Box(-2, 2, (1,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place = self.np_random.uniform(-1, 1, 2)
        return self.place.copy(), {}

    def step(self, action):
        self.place = self.place + action
        return self.place.copy(), float(self.place[0]), bool(self.place[0] > 3), False, {}


def collected(identity, data_format="hdf5", episodes=12):
    """Episodes of Minari's own collector, cut after 7 steps."""
    env = minari.DataCollector(gymnasium.wrappers.TimeLimit(Slide(), 7), data_format=data_format)
    env.action_space.seed(0)
    for episode in range(episodes):
        env.reset(seed=episode)
        over = False
        while not over:
            *_, terminated, truncated, _ = env.step(env.action_space.sample())
            over = terminated or truncated
    return env.create_dataset(identity, eval_env=None)


def check_equal(data, episodes):
    """A dataset holds what Minari iterates over, and ends where its episodes end."""
    want = {key: [] for key in ("obs", "action", "reward", "mask", "next_obs", "boundary")}
    for episode in episodes:
        want["obs"].append(episode.observations[:-1])
        want["action"].append(np.clip((episode.actions / np.float64(2)).astype("f"), -LIMIT, LIMIT))
        want["reward"].append(episode.rewards)
        want["mask"].append(1 - episode.terminations.astype("f"))
        want["next_obs"].append(episode.observations[1:])
        want["boundary"].append(np.arange(len(episode.rewards)) == len(episode.rewards) - 1)
    for key, parts in want.items():
        got = getattr(data, key)
        np.testing.assert_array_equal(got, np.concatenate(parts).astype(got.dtype), err_msg=key)
        assert got.dtype == (bool if key == "boundary" else np.float32)


@pytest.mark.parametrize("data_format", ["hdf5", "arrow"])
def test_reads_what_minaris_collector_wrote(root, data_format):
    if data_format == "arrow":
        pytest.importorskip("pyarrow")
    dataset = collected("tests/slide-v0", data_format)
    by_id = datasets.load("tests/slide-v0")
    check_equal(by_id, dataset.iterate_episodes())
    assert 0 < by_id.mask.sum() < by_id.rows and by_id.boundary.sum() == 12 and by_id.order == ()
    folder = root / "tests" / "slide-v0"
    for ref in (folder, folder / "data"):
        assert datasets.load(ref, sha256=by_id.sha256).rows == by_id.rows
    assert datasets.load("tests/slide-v0", root=root).sha256 == by_id.sha256
    if data_format == "hdf5":
        assert datasets.load(folder / "data" / "main_data.hdf5").rows == by_id.rows
        with pytest.raises(UserError, match="not 00; download it again"):
            datasets.load(folder, sha256="00")


def nested(identity, tree, space, steps=5):
    """A dataset of two episodes with Dict observations."""
    buffer = [
        EpisodeBuffer(
            observations=tree,
            actions=np.zeros((steps, 1), np.float32),
            rewards=[0.0] * steps,
            terminations=[False] * steps,
            truncations=[False] * (steps - 1) + [True],
            infos={},
        )
    ] * 2
    minari.create_dataset_from_buffers(
        identity, buffer, observation_space=space, action_space=Box(-1, 1, (1,), np.float32)
    )


def box(size):
    return Box(-np.inf, np.inf, (size,), np.float64)


def test_dict_observations_have_a_stated_order():
    rng = np.random.default_rng(0)
    goal = {"achieved_goal": rng.normal(size=(6, 2)), "desired_goal": rng.normal(size=(6, 2))}
    tree = {"observation": rng.normal(size=(6, 27)), **goal}
    nested("ant-v0", tree, Dict({key: box(value.shape[1]) for key, value in tree.items()}))
    data = datasets.load("ant-v0")
    want = np.concatenate([tree["achieved_goal"], tree["observation"]], 1).astype("f")
    np.testing.assert_array_equal(data.obs, np.tile(want[:-1], (2, 1)))
    np.testing.assert_array_equal(data.next_obs, np.tile(want[1:], (2, 1)))
    assert data.order == ("achieved_goal", "observation") and data.obs.shape == (10, 29)
    with_goal = datasets.load("ant-v0", order=("observation", "desired_goal"))
    want = np.concatenate([tree["observation"], tree["desired_goal"]], 1).astype("f")
    np.testing.assert_array_equal(with_goal.obs[:5], want[:-1])
    with pytest.raises(UserError, match="observations have no 'goal'; order names keys of achieved_goal"):
        datasets.load("ant-v0", order=("goal",))


def test_kitchen_becomes_d4rls_sixty_numbers():
    rng = np.random.default_rng(0)
    goals = {"microwave": np.full((6, 1), -0.75), "light switch": np.tile([-0.69, -0.05], (6, 1))}
    tree = {"observation": rng.normal(size=(6, 59)), "achieved_goal": goals, "desired_goal": goals}
    space = Dict({"microwave": box(1), "light switch": box(2)})
    nested("kitchen-v0", tree, Dict({"observation": box(59), "achieved_goal": space, "desired_goal": space}))
    data = datasets.load("kitchen-v0")
    want = np.zeros((5, 60), np.float32)
    want[:, :9], want[:, 9:30] = tree["observation"][:-1, :9], tree["observation"][:-1, 18:39]
    want[:, 30 + 17], want[:, 30 + 18], want[:, 30 + 22] = -0.69, -0.05, -0.75
    np.testing.assert_array_equal(data.obs[:5], want)
    assert data.order == ("kitchen",)
    picked = datasets.load("kitchen-v0", order=("observation", "desired_goal/microwave"))
    assert picked.obs.shape == (10, 60) and picked.obs[0, -1] == -0.75
    with pytest.raises(UserError, match="'desired_goal' is a Dict itself; name its keys"):
        datasets.load("kitchen-v0", order=("desired_goal",))


def test_what_is_not_there_is_one_line(root, tmp_path, monkeypatch):
    with pytest.raises(UserError, match=r"D4RL/pen/human-v2: no such file, and no Minari dataset in .*--download"):
        datasets.load("D4RL/pen/human-v2")
    with pytest.raises(UserError, match=r"is not in .*other; leave the folder out"):
        datasets.load("D4RL/pen/human-v2", root=tmp_path / "other", download=True)

    def no_network(identity):
        raise ConnectionError("no route\nto host")

    monkeypatch.setattr(minari, "download_dataset", no_network)
    with pytest.raises(UserError, match=r"human-v2: Minari cannot download it \(no route\)"):
        datasets.load("D4RL/pen/human-v2", download=True)
    monkeypatch.setattr(minari, "download_dataset", lambda identity: collected(identity, episodes=2))
    assert datasets.load("mine/new-v3", download=True).boundary.sum() == 2


def damage_metadata(folder, **changes):
    path = folder / "metadata.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def damage_episode(folder, change):
    with h5py.File(folder / "main_data.hdf5", "a") as file:
        change(file)


def put(name, value):
    def change(file):
        del file[name]
        file[name] = value

    return change


BAD = [
    (lambda f: (f / "metadata.json").write_text("{"), "metadata.json or the first episode is cut short"),
    (lambda f: (f / "main_data.hdf5").write_bytes(b""), "is empty"),
    (lambda f: (f / "main_data.hdf5").write_bytes((f / "main_data.hdf5").read_bytes()[:5000]), "cut short or damaged"),
    (lambda f: damage_metadata(f, total_episodes=4), "has 3 episodes, not 4"),
    (lambda f: damage_metadata(f, action_space='{"type": "Discrete"}'), "acts in Discrete; only continuous actions"),
    (lambda f: damage_episode(f, lambda h: h.__delitem__("episode_1/rewards")), "an episode after or at 0 is cut"),
    (lambda f: damage_episode(f, put("episode_1/rewards", np.zeros(2))), "episode 1: 'actions' has 7 rows"),
    (lambda f: damage_episode(f, put("episode_1/observations", np.zeros((7, 2)))), "has 7 observations and 7 steps"),
    (lambda f: damage_episode(f, put("episode_2/rewards", np.full(7, np.nan))), "episode 2: 'rewards' is not finite"),
    (lambda f: damage_episode(f, put("episode_2/actions", np.full((7, 1), 3.0))), r"outside \[-1, 1\]"),
    (lambda f: damage_episode(f, put("episode_0/observations", np.zeros((8, 3)))), "sizes"),
]


@pytest.mark.parametrize(("change", "message"), BAD)
def test_damage_is_one_line(root, change, message):
    buffer = EpisodeBuffer(
        observations=np.ones((8, 2)),
        actions=np.zeros((7, 1), np.float32),
        rewards=[0.0] * 7,
        terminations=[False] * 7,
        truncations=[False] * 6 + [True],
        infos={},
    )
    spaces = {"observation_space": box(2), "action_space": Box(-1, 1, (1,), np.float32)}
    minari.create_dataset_from_buffers("bad-v0", [buffer] * 3, **spaces)
    folder = root / "bad-v0" / "data"
    change(folder)
    with pytest.raises(UserError, match=message) as caught:
        datasets.load("bad-v0")
    assert "\n" not in str(caught.value) and str(folder) in str(caught.value)


def test_a_folder_without_a_dataset_is_none(tmp_path):
    assert minari_files.home(tmp_path) is None
    shutil.rmtree(tmp_path / "minari", ignore_errors=True)
    with pytest.raises(UserError, match="is a directory without a Minari dataset"):
        datasets.load(tmp_path)
