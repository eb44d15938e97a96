import io
import itertools

import mujoco
import numpy as np
import pytest
from PIL import Image

from fastrl.envs.grid import MAZES
from fastrl.envs.point import compile_ball
from fastrl.reports import film
from fastrl.reports.film import Clip, Shapes

POLE = """
<mujoco>
  <worldbody>
    <geom type="plane" size="9 9 1"/>
    <body pos="0 0 1">
      <joint type="slide" axis="1 0 0"/>
      <joint type="hinge" axis="0 1 0"/>
      <geom type="capsule" size="0.1" fromto="0 0 0 0 0 0.6"/>
      <geom type="sphere" size="0.2" pos="0 0 -0.3"/>
    </body>
  </worldbody>
</mujoco>
"""


def frames(data):
    with Image.open(io.BytesIO(data)) as image:
        return [np.asarray(image.convert("RGB")) for _ in iterate(image)]


def iterate(image):
    for number in range(image.n_frames):
        image.seek(number)
        yield number


def test_shapes_are_where_a_hand_calculation_puts_them():
    """A capsule from the joint upwards; a quarter turn about y takes z to x."""
    shapes = Shapes.of(mujoco.MjModel.from_xml_string(POLE), np.array([[0.0, 0.0], [2.0, np.pi / 2]]))
    np.testing.assert_allclose(shapes.radius, [0.1, 0.2])
    np.testing.assert_allclose(np.sort(shapes.ends[0, 0], axis=0), [[0, 0, 1], [0, 0, 1.6]], atol=1e-9)
    np.testing.assert_allclose(np.sort(shapes.ends[1, 0], axis=0), [[2, 0, 1], [2.6, 0, 1]], atol=1e-9)
    np.testing.assert_allclose(shapes.ends[1, 1], [[1.7, 0, 1], [1.7, 0, 1]], atol=1e-9)
    np.testing.assert_allclose(shapes.seen(above=False)[0, 0, :, 1].max(), 1.6)


def test_a_robot_is_followed_one_episode_after_another():
    model = mujoco.MjModel.from_xml_string(POLE)
    qpos = np.stack([np.linspace(0, 3, 21), np.zeros(21)], 1)
    pictures = frames(film.film(model, [Clip(qpos, np.arange(21.0))] * 2, 0.02, "pole"))
    assert len(pictures) == 22  # every second step, twice
    blue = [picture[..., 2].astype(int) - picture[..., 0] > 60 for picture in pictures]
    middles = [np.argwhere(robot).mean(0)[1] for robot in blue]
    assert np.ptp(middles) < 5 and abs(middles[0] - 320) < 5, "it stays in the middle"
    assert any((a != b).any() for a, b in itertools.pairwise(pictures)), "the floor moves"


def test_walls_are_the_mazes_and_a_ball_is_seen_on_its_way():
    maze = MAZES["umaze"]
    model = compile_ball(maze)
    boxes = film.walls(model)
    centres = maze.centre(np.argwhere(maze.walls))
    np.testing.assert_allclose(np.sort(boxes[:, :2] + boxes[:, 2:] / 2, axis=0), np.sort(centres, axis=0))
    start, end = maze.centre((1, 1)), maze.centre((1, 3))
    clip = Clip(np.linspace(start, end, 9), np.zeros(9), goal=maze.centre(maze.goal))
    pictures = frames(film.film(model, [clip], 0.04, "maze"))
    blue = [np.argwhere(np.abs(picture.astype(int) - (0, 114, 178)).max(2) < 40) for picture in pictures]
    scale = 480 / maze.walls.shape[1]  # pixels a cell
    for number, cell in ((0, 1), (8, 3)):
        assert blue[number][:, 1].max() == pytest.approx((cell + 0.5 + 0.1) * scale, abs=5)
    with Image.open(io.BytesIO(film.paths(model, [clip], "ways"))) as image:
        assert image.size == (960, 1040)
