"""Films of MuJoCo models from joint positions, drawn in two dimensions without display or GPU.

The camera follows a robot, beside it where nothing moves sideways, else above it; among walls it stands still, and all
episodes are shown at once. Geoms are drawn in their shape (capsules, spheres) and size; floors and walls are flat.
"""

import dataclasses
import io
import itertools
from collections.abc import Iterable, Iterator

import mujoco
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection, PatchCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from fastrl.reports import video
from fastrl.reports.plot import GREY, INK, PALETTE
from fastrl.reports.video import FRAME

FRAMES = 250
"""Most frames of an episode; a longer one is shown faster than it was."""
DPI = 100
HEAD = 0.4
"""Inches of the line of text above a picture."""
FLOOR, TILE, WALL = "#FFFFFF", "#EEF1F4", "#5B6670"
GOAL = "#E69F00"
LONG = [int(mujoco.mjtGeom.mjGEOM_CAPSULE), int(mujoco.mjtGeom.mjGEOM_CYLINDER)]
DARK, LIGHT = np.array([0.05, 0.25, 0.45]), np.array([0.55, 0.77, 0.93])


@dataclasses.dataclass(frozen=True)
class Clip:
    """One episode, its reset included."""

    qpos: np.ndarray  # [T + 1, Q]
    episode_return: np.ndarray  # [T + 1], raw, so far
    goal: np.ndarray | None = None  # [2], m


@dataclasses.dataclass(frozen=True)
class Shot:
    """A picture that an environment drew."""

    pixels: np.ndarray  # [H, W, 3] bytes
    caption: str


@dataclasses.dataclass(frozen=True)
class Shapes:
    """The moving geoms of a model over time, as thick lines with round ends."""

    ends: np.ndarray  # [T, G, 2, 3], m
    radius: np.ndarray  # [G], m
    colour: np.ndarray  # [G, 3], from the first body's to the last's

    @classmethod
    def of(cls, model: mujoco.MjModel, qpos: np.ndarray) -> "Shapes":
        """Places the model at every qpos [T, Q]."""
        moving = np.flatnonzero(model.body_weldid[model.geom_bodyid])
        long = np.isin(model.geom_type[moving], LONG)
        half = np.where(long, model.geom_size[moving, 1], 0.0)
        data, ends = mujoco.MjData(model), np.empty((len(qpos), len(moving), 2, 3))
        for time, row in enumerate(qpos):
            data.qpos[:] = row
            mujoco.mj_kinematics(model, data)
            axis = data.geom_xmat[moving].reshape(-1, 3, 3)[:, :, 2] * half[:, None]
            ends[time] = np.stack([data.geom_xpos[moving] - axis, data.geom_xpos[moving] + axis], 1)
        share = (model.geom_bodyid[moving] / model.nbody)[:, None]
        return cls(ends, model.geom_size[moving, 0], DARK + share * (LIGHT - DARK))

    def seen(self, above: bool) -> np.ndarray:
        """The two coordinates [T, G, 2, 2] that a picture shows."""
        places = self.ends[..., :2] if above else self.ends[..., ::2]
        sideways = np.array([[-0.05, 0], [0.05, 0]])  # a line without length is not drawn, round ends or not
        return places + sideways * self.radius[:, None, None]


def film(
    model: mujoco.MjModel, clips: list[Clip], seconds: float, title: str, encode: video.Encode = video.gif
) -> bytes:
    """A film of episodes whose steps last `seconds`: all together where there are walls, else one after another."""
    stride = max(1, round(FRAME / seconds), -(-max(len(clip.qpos) for clip in clips) // FRAMES))
    clips = [dataclasses.replace(c, qpos=c.qpos[::stride], episode_return=c.episode_return[::stride]) for c in clips]
    shapes = [Shapes.of(model, clip.qpos) for clip in clips]
    if len(walls(model)):
        return encode(_pictures(*_together(model, clips, shapes, title)))
    return encode(_pictures(*_in_turn(clips, shapes, title, stride * seconds)))


def shown(shots: Iterator[Shot], title: str, encode: video.Encode = video.gif) -> bytes:
    """A film of pictures of one size, each below its caption."""
    first = next(shots)
    height, width = first.pixels.shape[:2]
    figure, axes = _canvas(6.4, 6.4 * height / width, title)
    image, caption = axes.imshow(first.pixels, aspect="auto"), _caption(figure)

    def frames() -> Iterator[None]:
        for shot in itertools.chain([first], shots):
            image.set_data(shot.pixels)
            caption.set_text(shot.caption)
            yield

    return encode(_pictures(figure, frames()))


def paths(model: mujoco.MjModel, clips: list[Clip], title: str) -> bytes:
    """A PNG of where the first moving body went among the walls; a ring is a start, a dot an end."""
    figure, axes = _plan(model, title)
    for number, clip in enumerate(clips):
        way, colour = clip.qpos[:, :2], PALETTE[number % len(PALETTE)]
        axes.plot(*way.T, color=colour, lw=1.6, alpha=0.8, solid_capstyle="round", zorder=3)
        axes.plot(*way[0], "o", ms=7, mfc=FLOOR, mec=colour, mew=1.6, zorder=4)
        axes.plot(*way[-1], "o", ms=7, color=colour, zorder=4)
        _goal(axes, clip)
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=2 * DPI)
    return image.getvalue()


def walls(model: mujoco.MjModel) -> np.ndarray:
    """Static boxes [W, 4]: x, y, width and depth, m."""
    fixed = (model.body_weldid[model.geom_bodyid] == 0) & (model.geom_type == int(mujoco.mjtGeom.mjGEOM_BOX))
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    centre, half = data.geom_xpos[fixed, :2], model.geom_size[fixed, :2]
    return np.concatenate([centre - half, 2 * half], 1)


def _plan(model: mujoco.MjModel, title: str) -> tuple[Figure, Axes]:
    """The walls from above, whole."""
    boxes = walls(model)
    low, high = boxes[:, :2].min(0), (boxes[:, :2] + boxes[:, 2:]).max(0)
    width, depth = high - low
    size = 4.8 / max(width, depth)
    figure, axes = _canvas(width * size, depth * size, title)
    axes.add_collection(PatchCollection([Rectangle(wall[:2], *wall[2:]) for wall in boxes], color=WALL, lw=0.5))
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
    return figure, axes


def _canvas(width: float, height: float, title: str) -> tuple[Figure, Axes]:
    """A figure of this many inches below a line of text."""
    figure = Figure(figsize=(width, height + HEAD), dpi=DPI, facecolor=FLOOR)
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, height / (height + HEAD)))
    axes.set_axis_off()
    figure.text(0.12 / width, 1 - HEAD / 2 / (height + HEAD), title, fontsize=11, weight="bold", color=INK, va="center")
    return figure, axes


def _caption(figure: Figure) -> Text:
    """A second text in the line above the picture, at its right end."""
    place = 1 - HEAD / 2 / figure.get_figheight()
    return figure.text(0.98, place, "", fontsize=10, color=GREY, ha="right", va="center")


def _goal(axes: Axes, clip: Clip) -> None:
    if clip.goal is not None:
        axes.plot(*clip.goal, "*", ms=20, color=GOAL, mec=INK, mew=0.8, zorder=2)


def _lines(figure: Figure, axes: Axes, radius: np.ndarray, colour: np.ndarray | str) -> tuple[LineCollection, ...]:
    """Outline and filling of the shapes; widths follow the scale of the axes, whose limits are set."""
    height = axes.get_position().height * figure.get_figheight() * 72  # points
    width = 2 * radius * height / np.ptp(axes.get_ylim())
    outline = LineCollection([], linewidths=width + 2, colors=INK, capstyle="round", zorder=5, snap=False)
    filling = LineCollection([], linewidths=width, colors=colour, capstyle="round", zorder=6, snap=False)
    axes.add_collection(outline)
    axes.add_collection(filling)
    return outline, filling


def _together(
    model: mujoco.MjModel, clips: list[Clip], shapes: list[Shapes], title: str
) -> tuple[Figure, Iterable[None]]:
    figure, axes = _plan(model, title)
    colours = [PALETTE[number % len(PALETTE)] for number in range(len(clips))]
    lines = [_lines(figure, axes, shape.radius, colour) for shape, colour in zip(shapes, colours, strict=True)]
    trails = [axes.plot([], [], color=colour, lw=1.2, alpha=0.5, zorder=3)[0] for colour in colours]
    for clip in clips:
        _goal(axes, clip)

    def frames() -> Iterator[None]:
        for time in range(max(len(clip.qpos) for clip in clips) + round(1 / FRAME)):
            for clip, shape, pair, trail in zip(clips, shapes, lines, trails, strict=True):
                now = min(time, len(clip.qpos) - 1)
                for line in pair:
                    line.set_segments(shape.seen(True)[now])
                trail.set_data(*clip.qpos[: now + 1, :2].T)
            yield

    return figure, frames()


def _in_turn(clips: list[Clip], shapes: list[Shapes], title: str, seconds: float) -> tuple[Figure, Iterable[None]]:
    """A camera beside or above each robot that follows its first geom."""
    above = bool(np.ptp(shapes[0].ends[..., 1], axis=0).max() > 1e-6)
    seen = shapes[0].seen(above)[0]
    figure, axes = _canvas(6.4, 3.6, title)
    height = 1.9 * np.ptp(seen.reshape(-1, 2), axis=0).max() if not above else 3.0 * np.ptp(seen[..., 1])
    low = -0.18 * height if not above else -height / 2
    width = height * 6.4 / 3.6
    axes.set(xlim=(-width / 2, width / 2), ylim=(low, low + height))
    caption = _caption(figure)
    ways = [shape.seen(above)[:, 0].mean(1) for shape in shapes]
    _ground(axes, above, height, np.concatenate(ways))
    order = np.argsort(shapes[0].ends[0, :, :, 2 if above else 1].mean(1), kind="stable")
    lines = _lines(figure, axes, shapes[0].radius[order], shapes[0].colour[order])

    def frames() -> Iterator[None]:
        for number, (clip, shape, way) in enumerate(zip(clips, shapes, ways, strict=True), 1):
            for time, place in enumerate(way):
                for line in lines:
                    line.set_segments(shape.seen(above)[time, order])
                axes.set_xlim(place[0] - width / 2, place[0] + width / 2)
                if above:
                    axes.set_ylim(place[1] - height / 2, place[1] + height / 2)
                spent = f"{time * seconds:.1f} s"
                caption.set_text(f"episode {number} of {len(clips)}   {spent}   return {clip.episode_return[time]:.1f}")
                yield

    return figure, frames()


def _ground(axes: Axes, above: bool, height: float, way: np.ndarray) -> None:
    """Tiles, so that one sees the robot move: half-metre strips beside it, a chequered plane below it."""
    tile = 0.5 if height < 4 else 1.0
    first, last = (np.floor((bound + side * 2 * height) / tile) for bound, side in ((way.min(0), -1), (way.max(0), 1)))
    columns = np.arange(first[0], last[0])
    if above:
        rows = np.arange(first[1], last[1])
        corners = [(x * tile, y * tile, tile, tile) for x in columns for y in rows if (x + y) % 2]
    else:
        axes.axhspan(-height, 0, color=TILE, lw=0, zorder=0)
        axes.axhline(0, color=GREY, lw=1, zorder=1)
        corners = [(x * tile, -height, tile, height) for x in columns if x % 2]
    colour = TILE if above else "#DDE3E9"
    axes.add_collection(PatchCollection([Rectangle((x, y), w, h) for x, y, w, h in corners], color=colour, lw=0))


def _pictures(figure: Figure, frames: Iterable[None]) -> Iterator[np.ndarray]:
    """The pixels [H, W, 3] of every frame."""
    canvas = figure.canvas
    for _ in frames:
        canvas.draw()
        yield np.array(canvas.buffer_rgba())[..., :3]  # type: ignore[attr-defined]
