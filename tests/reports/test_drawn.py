"""Films of an environment of Gymnasium's kind whose pictures say at which step of which episode they were drawn."""

import sys

import gymnasium
import jax
import numpy as np
import pytest
from PIL import Image

import fastrl
from fastrl.agent import Agent
from fastrl.reports import drawn, render
from fastrl.types import UserError

pytestmark = pytest.mark.usefixtures("quick")

PAINTER = """
import gymnasium, numpy as np
from gymnasium.spaces import Box

class Painter(gymnasium.Env):
    metadata = {"render_modes": ["rgb_array"], "render_fps": 25}
    observation_space, action_space = Box(-9, 9, (2,)), Box(-2, 2, (1,))

    def __init__(self, fault="", fps=25, render_mode=None):
        self.fault, self.render_mode = fault, render_mode
        self.metadata = {**self.metadata, "render_fps": fps}
        if fault == "mode" and render_mode:
            raise TypeError("no such mode")

    def reset(self, seed=None, options=None):
        super().reset(seed=seed)
        self.time, self.place = 0, self.np_random.uniform(0, 1)
        return np.array([self.time, self.place], np.float32), {}

    def step(self, action):
        self.time += 1
        self.place += float(action[0])
        return np.array([self.time, self.place], np.float32), self.place, self.time == 5, False, {}

    def render(self):
        if self.fault == "raise":
            raise RuntimeError("no OpenGL here")
        if self.fault == "float":
            return np.zeros((4, 8, 3))
        if self.fault == "none":
            return None
        return np.full((4, 8, 3), [10 * self.time, round(25 * abs(self.place)), 200], np.uint8)

gymnasium.register("Painter-v0", entry_point=Painter, max_episode_steps=6)
"""


@pytest.fixture(scope="module")
def painter(tmp_path_factory):
    """The name of the environment, whose folder is on the path."""
    folder = tmp_path_factory.mktemp("painter")
    (folder / "painter.py").write_text(PAINTER)
    sys.path.insert(0, str(folder))
    yield "gymnasium:painter:Painter-v0"
    sys.path.remove(str(folder))


@pytest.fixture(scope="module")
def played(painter, quick):
    """The environment, an agent of two seeds that has learnt nothing, and three episodes of its first seed."""
    env = fastrl.make(painter)
    config = fastrl.SAC(actor_hidden=(8,), critic_hidden=(8,), num_critics=2)
    state = jax.vmap(Agent(config, env.spec, None).algorithm.init)(jax.random.split(jax.random.key(0)))
    agent = Agent(config, env.spec, state)
    return env, agent, render.hosted(agent, env, 3, key=0)


def pictures(env, episodes):
    with drawn.opened(env) as simulator:
        return list(drawn.shots(env, simulator, episodes))


def test_what_is_filmed_is_what_the_policy_does(played):
    """Played by hand in Gymnasium: the agent's own `act`, and the pictures that the environment draws there."""
    env, agent, episodes = played
    shots, alone = iter(pictures(env, episodes)), gymnasium.make("painter:Painter-v0", render_mode="rgb_array")
    assert len({episode.seed for episode in episodes}) == 3
    for number, episode in enumerate(episodes, 1):
        obs, _ = alone.reset(seed=episode.seed)
        total, done, time = 0.0, False, 0
        while True:
            shot = next(shots)
            np.testing.assert_array_equal(shot.pixels, alone.render())
            assert shot.caption == f"episode {number} of 3   step {time}   return {total:.1f}"
            if done:
                break
            np.testing.assert_allclose(episode.actions[time], 2 * agent.act(obs), atol=1e-5)
            obs, reward, done, _, _ = alone.step(episode.actions[time])
            total, time = total + reward, time + 1
        assert time == 5 == len(episode.actions)
    assert next(shots, None) is None


def test_a_film_has_a_picture_a_step(played, tmp_path):
    env, agent, _ = played
    said = []
    assert render.render(agent, env, tmp_path / "a.gif", episodes=2, report=said.append) == [tmp_path / "a.gif"]
    assert said == [f"playing and drawing {env.spec.name}: episodes 2"]
    with Image.open(tmp_path / "a.gif") as film:
        assert film.n_frames == 12 and film.size == (640, 360)
        for frame in (0, 5):
            film.seek(frame)
            red, _, blue = film.convert("RGB").getpixel((320, 200))
            assert abs(red - 10 * frame) < 12 and abs(blue - 200) < 12, "at its place in the film"


@pytest.mark.parametrize(("fps", "shown"), [(50, [0, 2, 4]), (12.5, [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5])])
def test_it_has_the_environments_own_speed(played, painter, fps, shown):
    found = pictures(fastrl.make(painter, fps=fps), played[2][:1])
    assert [shot.pixels[0, 0, 0] // 10 for shot in found] == shown


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("mode", r"TypeError: no such mode .*; gymnasium fails alike"),
        ("raise", r"RuntimeError: no OpenGL here; set MUJOCO_GL=egl where there is no display"),
        ("float", r"its render\(\) gives an array \(4, 8, 3\) of float64; let it give bytes"),
        ("none", r"its render\(\) gives NoneType; let it give bytes"),
    ],
)
def test_what_draws_nothing_is_one_line(played, painter, tmp_path, fault, words):
    with pytest.raises(UserError, match=f"Painter-v0 cannot be drawn: {words}"):
        render.render(played[1], fastrl.make(painter, fault=fault), tmp_path / "a.gif")
    assert list(tmp_path.iterdir()) == []
