"""PointMaze as an offline-to-online task. Contacts are in `fastrl.envs.point`, the time limit in `wrappers`.

Physics, mazes, horizons, radius and noise are Gymnasium-Robotics' (`-v3`). The task is that of the
papers' AntMaze instead: one evaluation goal in the far corner that is not observed, starts spread
over the maze, an episode that ends with reward 1 at the goal. Upstream's task is
`goal="random", goal_in_obs=True, start_distance=1, continuing=True`.
"""

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from fastrl.envs.grid import MAZES, Cell, Maze
from fastrl.envs.point import Ball
from fastrl.types import Key, Spec, Step, UserError

RADIUS = 0.45
"""The goal is reached within this distance, m."""
NOISE = 0.25
"""Starts and drawn goals are a cell's centre plus U(-this, this) in x and y, m."""
MAX_VELOCITY = 5.0
"""Velocities are clipped to +- this before every physics step, m/s."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class MazeState:
    """The ball, and where it should go."""

    qpos: jax.Array  # [2], m
    qvel: jax.Array  # [2], m/s
    goal: jax.Array  # [2], m


def pointmaze(
    maze: Literal["umaze", "medium", "large"],
    *,
    goal: Cell | Literal["corner", "random"] = "corner",
    start_distance: int = 4,
    goal_in_obs: bool = False,
    continuing: bool = False,
    frame_skip: int = 1,
) -> "PointMaze":
    """A ball in a maze.

    Args:
        maze: which one.
        goal: a cell's centre (row, column), the far `corner`, or a `random` place at every reset.
        start_distance: starts are all cells with at least this many cells of way to the goal.
        goal_in_obs: observe [x, y, vx, vy, goal x, goal y] instead of [x, y, vx, vy].
        continuing: stay at the goal, paid, instead of ending there.
        frame_skip: physics steps of 0.01 s an action is held for; upstream has 1.
    """
    layout = MAZES[maze]
    name = f"pointmaze-{maze}"
    if goal == "corner":
        goals = np.array([layout.goal])
    elif goal == "random":
        goals = layout.free
    else:
        goals = np.array([goal])
        if goals.tolist() not in layout.free[:, None].tolist():
            raise UserError(f"{name}: goal {goal} is no free cell (row, column) of the maze")
    if frame_skip < 1:
        raise UserError(f"{name}: frame_skip is {frame_skip}, it must be at least 1")
    starts = np.stack([layout.distances(tuple(g))[tuple(layout.free.T)] >= start_distance for g in goals])
    if not starts.any(1).all():
        raise UserError(f"{name}: no cell is {start_distance} cells from the goal: lower start_distance")
    spec = Spec(
        name=name,
        obs_size=6 if goal_in_obs else 4,
        action_size=2,
        horizon=layout.horizon,
        domain="pointmaze",
        sparse=True,
    )
    noise = NOISE if goal == "random" else 0.0
    return PointMaze(spec, layout, Ball.of(layout), goals, starts, noise, goal_in_obs, continuing, frame_skip)


@dataclasses.dataclass(frozen=True, eq=False)
class PointMaze:
    """Reward 1 within `RADIUS` of the goal, else 0. Made by `pointmaze`."""

    spec: Spec
    maze: Maze
    ball: Ball
    goals: np.ndarray  # [G, 2] cells
    starts: np.ndarray  # [G, F] bool: from which free cells each goal is approached
    goal_noise: float
    goal_in_obs: bool
    continuing: bool
    frame_skip: int

    def reset(self, key: Key) -> tuple[MazeState, jax.Array]:
        """The ball at rest near the centre of a random start cell."""
        key_goal, key_near, key_start, key_noise = jax.random.split(key, 4)
        index = jax.random.randint(key_goal, (), 0, len(self.goals))
        goal = jnp.asarray(self.maze.centre(self.goals), float)[index]
        goal += _noise(key_near, self.goal_noise)
        allowed = jnp.where(jnp.asarray(self.starts)[index], 0.0, -jnp.inf)
        start = jax.random.categorical(key_start, allowed)
        qpos = jnp.asarray(self.maze.centre(self.maze.free), float)[start]
        return self.place(qpos + _noise(key_noise, NOISE), jnp.zeros(2), goal)

    def step(self, key: Key, state: MazeState, action: jax.Array) -> tuple[MazeState, Step]:
        """`frame_skip` physics steps, each from a clipped velocity."""
        del key

        def body(_: int, ball: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
            qvel = jnp.clip(ball[1], -MAX_VELOCITY, MAX_VELOCITY)
            return self.ball.step(ball[0], qvel, action)

        qpos, qvel = lax.fori_loop(0, self.frame_skip, body, (state.qpos, state.qvel))
        state, obs = self.place(qpos, qvel, state.goal)
        reached = jnp.sqrt(jnp.sum(jnp.square(qpos - state.goal))) <= RADIUS
        terminated = jnp.bool_(False) if self.continuing else reached
        return state, Step(obs, reached.astype(obs.dtype), terminated, jnp.bool_(False))

    def place(self, qpos: jax.Array, qvel: jax.Array, goal: jax.Array) -> tuple[MazeState, jax.Array]:
        """The state and observation of a ball at qpos [2], qvel [2] that should go to goal [2]."""
        parts = [qpos, qvel, goal] if self.goal_in_obs else [qpos, qvel]
        return MazeState(qpos, qvel, goal), jnp.concatenate(parts)

    def from_physics(self, qpos: jax.Array, qvel: jax.Array) -> tuple[MazeState, jax.Array]:
        """The state and observation at qpos [2], qvel [2]; a random goal becomes the corner."""
        cell = self.maze.goal if len(self.goals) > 1 else tuple(self.goals[0])
        goal = jnp.asarray(self.maze.centre(cell), float)
        return self.place(jnp.asarray(qpos, float), jnp.asarray(qvel, float), goal)

    def physics(self, state: MazeState) -> tuple[jax.Array, jax.Array]:
        """(qpos [2], qvel [2])."""
        return state.qpos, state.qvel


def _noise(key: Key, size: float) -> jax.Array:
    return jax.random.uniform(key, (2,), float, -size, size)
