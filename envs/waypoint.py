"""A scripted controller for PointMaze: along a shortest path, cell by cell."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from fastrl.envs.maze import MAX_VELOCITY, PointMaze

APPROACH = 5.0
"""Desired velocity per distance to the waypoint, 1/s."""


@dataclasses.dataclass(frozen=True, eq=False)
class Waypoint:
    """`act` is pure and usable in a scan; the paths are a table made once."""

    table: np.ndarray  # [F, R, C, 2] centre (m) of the cell after (row, column) towards free cell f
    shape: tuple[int, int]
    gain: float  # control per missing velocity, s/m

    @classmethod
    def of(cls, env: PointMaze) -> "Waypoint":
        """The controller for an environment's maze and frame skip."""
        ball = env.ball
        gain = ball.mass / (ball.gear * ball.timestep * env.frame_skip)
        return cls(env.maze.centre(env.maze.paths()), env.maze.walls.shape, gain)

    def act(self, qpos: jax.Array, qvel: jax.Array, goal: jax.Array) -> jax.Array:
        """The action [2] at qpos [2], qvel [2] that heads for free cell `goal` [] (an index)."""
        rows, columns = self.shape
        row = jnp.floor(rows / 2 - qpos[1]).astype(jnp.int32)
        column = jnp.floor(qpos[0] + columns / 2).astype(jnp.int32)
        target = jnp.asarray(self.table, float)[goal, row, column]
        wanted = jnp.clip(APPROACH * (target - qpos), -MAX_VELOCITY, MAX_VELOCITY)
        return jnp.clip(self.gain * (wanted - qvel), -1.0, 1.0)
