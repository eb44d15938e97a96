"""Which way an ant should walk through D4RL's AntMaze: along a shortest path, cell by cell.

It follows the navigation of D4RL's own data (d4rl/locomotion).
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from fastrl.envs.antmaze import CELL, START, centres
from fastrl.envs.grid import Maze
from fastrl.types import Key


@dataclasses.dataclass(frozen=True, eq=False)
class Heading:
    """`towards` is pure and usable in a scan; the paths are a table made once."""

    ends: np.ndarray  # [F, 2], centres (m) of the free cells
    table: np.ndarray  # [F, R, C, 2], centre (m) of the cell after (row, column) towards free cell f

    @classmethod
    def of(cls, maze: Maze) -> "Heading":
        """The ways through a maze to each of its free cells."""
        return cls(centres(maze, maze.free, "d4rl"), centres(maze, maze.paths(), "d4rl"))

    def towards(self, key: Key, position: jax.Array, cell: jax.Array, goal: jax.Array) -> jax.Array:
        """The direction [2], of length 1, from position [2] (m) to goal [2] (m), which is in free cell `cell` [].

        It points at the centre of the next cell + U(0, 1) in x and in y; at the goal, once that cell is the goal's.
        """
        row, column = jnp.round(position[::-1] / CELL).astype(jnp.int32) + jnp.array(START)
        centre = jnp.asarray(self.table, float)[cell, row, column]
        last = jnp.all(centre == jnp.asarray(self.ends, float)[cell])
        way = jnp.where(last, goal, centre + jax.random.uniform(key, (2,), float)) - position
        return way / jnp.maximum(jnp.sqrt(jnp.sum(jnp.square(way))), 1e-6)
