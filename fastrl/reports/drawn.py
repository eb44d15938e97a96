"""Films of Gymnasium's environments, which draw themselves: what the policy played is played once more, with pictures.

An episode is the seed of its reset and its actions (`fastrl.envs.from_gymnasium`), so the second time is as the first.
"""

import contextlib
import dataclasses
import io
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

from fastrl.envs import host
from fastrl.envs.worker import Simulator
from fastrl.errors import told
from fastrl.reports.film import FRAMES, Shot
from fastrl.reports.video import FRAME
from fastrl.types import Environment, UserError


@dataclasses.dataclass(frozen=True)
class Episode:
    """One episode, to be played again."""

    seed: int
    actions: np.ndarray  # [T, A], in the environment's own bounds
    episode_return: np.ndarray  # [T + 1], raw, so far


def draws_itself(env: Any) -> bool:
    """Whether an environment with its time limit is one that `gymnasium.make` makes."""
    return env.spec.backend == host.BACKEND and env.env.pool.source[0] is None


@contextlib.contextmanager
def opened(env: Any) -> Iterator[Simulator]:
    """A simulator of the environment that draws; what it prints and warns of is not shown.

    Raises `UserError` where it draws no first picture.
    """
    _, name, options = env.env.pool.source
    with contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        with _refused(env):
            simulator = Simulator(None, name, {**options, "render_mode": "rgb_array"})
            stack.callback(simulator.env.close)
            _begin(simulator, 0)
        picture(env, simulator)
        yield simulator


def picture(env: Environment, simulator: Simulator) -> np.ndarray:
    """What the simulator shows now, [H, W, 3] bytes."""
    with _refused(env):
        found: Any = simulator.env.render()
    if not isinstance(found, np.ndarray) or found.ndim != 3 or found.shape[2] != 3 or found.dtype != np.uint8:
        what = f"an array {found.shape} of {found.dtype}" if isinstance(found, np.ndarray) else type(found).__name__
        raise UserError(
            f"{env.spec.name} cannot be drawn: its render() gives {what}; let it give bytes [height, width, 3] where "
            "render_mode is 'rgb_array'"
        )
    return found


@contextlib.contextmanager
def _refused(env: Environment) -> Iterator[None]:
    """Whatever the environment raises as one line."""
    try:
        yield
    except Exception as error:
        fix = "set MUJOCO_GL=egl where there is no display" if "OpenGL" in str(error) else "gymnasium fails alike"
        raise UserError(f"{env.spec.name} cannot be drawn: {told(error).rstrip('.')}; {fix}") from error


def shots(env: Environment, simulator: Simulator, episodes: list[Episode]) -> Iterator[Shot]:
    """The pictures of episodes one after another, at the environment's own speed, or faster where they are long."""
    rate = float(simulator.env.metadata.get("render_fps") or 1 / FRAME)
    longest = max(len(episode.episode_return) for episode in episodes)
    stride, again = max(1, round(FRAME * rate), -(-longest // FRAMES)), max(1, round(1 / (FRAME * rate)))
    for number, episode in enumerate(episodes, 1):
        _begin(simulator, episode.seed)
        for time, total in enumerate(episode.episode_return):
            if time:
                simulator.play(None, episode.actions[time - 1 : time])
            if time % stride == 0:
                words = f"episode {number} of {len(episodes)}   step {time}   return {total:.1f}"
                yield from [Shot(picture(env, simulator), words)] * again


def _begin(simulator: Simulator, seed: int) -> None:
    simulator.play(seed, np.empty((0, *simulator.actions.shape), np.float32))
