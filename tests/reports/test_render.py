import re
import subprocess

import jax
import numpy as np
import pytest
from PIL import Image

import fastrl
from fastrl.agent import Agent
from fastrl.reports import render, video
from fastrl.types import UserError

pytestmark = pytest.mark.usefixtures("quick")


def untrained(env):
    """An agent of one seed that has learnt nothing."""
    config = fastrl.SAC(actor_hidden=(8,), critic_hidden=(8,), num_critics=2)
    agent = Agent(config, env.spec, None)
    state = jax.tree.map(lambda x: x[None], agent.algorithm.init(jax.random.key(0)))
    return Agent(config, env.spec, state)


def test_a_film_and_the_ways_of_a_maze(tmp_path):
    env = fastrl.make("pointmaze-umaze", horizon=12, frame_skip=5)
    written = render.render(untrained(env), env, tmp_path / "a.gif", episodes=2)
    assert written == [tmp_path / "a.gif", tmp_path / "a.png"]
    with Image.open(written[0]) as film, Image.open(written[1]) as picture:
        assert film.n_frames == 13 and film.size == (480, 520)  # the reset and every step
        assert picture.size == (960, 1040)
    with pytest.raises(UserError, match=r"a.gif exists; name another file"):
        render.render(untrained(env), env, tmp_path / "a.gif")


@pytest.mark.skipif(video.encoder() is None, reason="needs ffmpeg or imageio-ffmpeg")
def test_a_film_is_an_mp4_where_it_is_named_so(tmp_path):
    env = fastrl.make("pointmaze-umaze", horizon=12, frame_skip=5)
    written = render.render(untrained(env), env, tmp_path / "a.mp4", episodes=2)
    assert written == [tmp_path / "a.mp4", tmp_path / "a.png"]
    done = subprocess.run([video.encoder(), "-i", written[0], "-f", "null", "-"], capture_output=True, check=True)
    said = done.stderr.decode()
    assert re.search(r"Video: h264 .*yuv420p.* 480x520", said)
    assert re.findall(r"frame= *(\d+)", said)[-1] == str(13 + 25), "the reset, every step, and a second of the end"


def test_what_is_played_is_what_the_policy_does(tmp_path):
    """Replayed by hand: the agent's own `act`, the environment's own `step`."""
    env = fastrl.make("pointmaze-umaze", horizon=6)
    agent = untrained(env)
    (clip,) = render.play(agent, env, 1, key=3)
    assert clip.qpos.shape == (7, 2) and clip.episode_return.shape == (7,)
    np.testing.assert_allclose(clip.goal, env.env.maze.centre(env.env.maze.goal))
    state, obs = env.from_physics(clip.qpos[0], np.zeros(2))
    for expected in clip.qpos[1:]:
        state, step = env.step(jax.random.key(0), state, agent.act(obs))
        obs = step.obs
        np.testing.assert_allclose(env.physics(state)[0], expected, atol=1e-5)


def test_an_episode_is_cut_where_it_ends():
    env = fastrl.make("pointmaze-umaze", goal=(1, 2), start_distance=0, horizon=50)
    clips = render.play(untrained(env), env, 8, key=0)
    ended = [clip for clip in clips if clip.episode_return[-1] > 0]
    assert ended, "some start at the goal"
    for clip in ended:
        assert np.linalg.norm(clip.qpos[-1] - clip.goal) <= 0.45
        assert (clip.episode_return[:-1] == 0).all()


def test_what_cannot_be_drawn_is_one_line(tmp_path):
    env = fastrl.make("probe-constant")
    for name, out, match in (
        ("probe-constant", tmp_path / "a.gif", "probe-constant cannot be drawn: it has no MuJoCo model"),
        ("probe-constant", tmp_path / "a.avi", "is no .mp4 and no .gif"),
        ("probe-constant", tmp_path / "no" / "a.gif", "is no folder"),
        ("pointmaze-umaze", tmp_path / "a.gif", "the agent is of probe-constant"),
    ):
        with pytest.raises(UserError, match=match):
            render.render(untrained(env), name, out)
    assert list(tmp_path.iterdir()) == []
