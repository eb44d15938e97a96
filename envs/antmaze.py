"""AntMaze: Ant in a maze, as the papers use it (D4RL's, `-v2`; ultra as its fork's).

D4RL's ant is Gymnasium's with another time step, torque and contact impedance (`physics="d4rl"`); the start cell is the
origin. `physics="gymnasium"` is Gymnasium-Robotics' task, on which Minari's datasets were collected: the stock ant, the
maze around the origin, its goal radius and noise.

Not reproduced: MuJoCo 2's contact margins (since 3.5 those of two geoms are added, not maximised), and the second
contact of a leg that lies along a wall's edge (fastrl.envs.walls; benchmarks/results/parity.json has what it costs).
"""

import dataclasses
import importlib.resources
import xml.etree.ElementTree as ET
from typing import Literal, get_args

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from fastrl.envs import grid
from fastrl.envs.grid import Maze
from fastrl.envs.legged import Legged
from fastrl.envs.models import compile_model
from fastrl.envs.simulator import Physics, Simulator
from fastrl.errors import unknown
from fastrl.types import Key, Spec, Step

CELL = 4.0  # m
FRAME_SKIP = 5
RESET_NOISE = 0.1
START = (1, 1)
"""The start cell."""

MAZES = {
    "umaze": dataclasses.replace(grid.UMAZE, horizon=700),
    "medium": dataclasses.replace(grid.MEDIUM, horizon=1000),
    "large": dataclasses.replace(grid.LARGE, goal=(7, 9), horizon=1000),
    "ultra": Maze.of(
        "################",
        "#.......#......#",
        "#.###.#.#.##.#.#",
        "#.###.#....#.#.#",
        "#...#.##.###.#.#",
        "#.#...#........#",
        "#...#...#.###.##",
        "#.#.###.#...#.##",
        "#.......#.#....#",
        "##.##.#...####.#",
        "##.#..#.#.....G#",
        "################",
        horizon=2000,
    ),
}
PhysicsOf = Literal["d4rl", "gymnasium"]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class AntMazeState:
    """The ant, and where it should go."""

    physics: Physics
    goal: jax.Array  # [2], m


def antmaze(
    maze: str,
    kind: str = "",
    *,
    physics: PhysicsOf = "d4rl",
    goal_in_obs: bool = False,
    dense: bool = False,
    continuing: bool = False,
    goal_seed: int | None = None,
) -> "AntMaze":
    """An ant that starts in one corner of a maze and is paid for being at the goal in another.

    Args:
        maze: which one.
        kind: of the dataset, a part of the name only: every kind has the same task.
        physics: the papers' ant and place of the maze, or Gymnasium-Robotics'.
        goal_in_obs: observe the goal's x and y behind qpos [15] and qvel [14].
        dense: reward exp(-distance to the goal) instead of 1 at the goal and 0 elsewhere.
        continuing: stay at the goal, paid, instead of ending there.
        goal_seed: draw the goal once, from this seed, instead of at every reset (ultra, as released).
    """
    if physics not in get_args(PhysicsOf):
        raise unknown("physics", physics, get_args(PhysicsOf))
    layout = MAZES[maze]
    spec = Spec(
        name="-".join(filter(None, ("antmaze", maze, kind))),
        obs_size=31 if goal_in_obs else 29,
        action_size=8,
        horizon=layout.horizon,
        domain="antmaze",
        sparse=not dense,
    )
    simulator = Legged(compile_ant(layout, physics), FRAME_SKIP)
    env = AntMaze(spec, layout, simulator, physics, goal_in_obs, dense, continuing, None)
    if goal_seed is None:
        return env
    return dataclasses.replace(env, goal=np.asarray(env.draw_goal(jax.random.key(goal_seed))))


def compile_ant(maze: Maze | None, physics: PhysicsOf) -> mujoco.MjModel:
    """Gymnasium's ant, with D4RL's three changes or none, among boxes of 4 x 4 x 2 m, or on a floor without walls."""
    assets = importlib.resources.files("gymnasium") / "envs" / "mujoco" / "assets"
    root = ET.fromstring((assets / "ant.xml").read_text())
    if physics == "d4rl":
        _find(root, "option").set("timestep", "0.02")
        _find(root, "default/geom").set("solimp", ".8 .8 .01")
        for motor in root.iter("motor"):
            motor.set("gear", "30")
    world = _find(root, "worldbody")
    for x, y in [] if maze is None else centres(maze, np.argwhere(maze.walls), physics):
        ET.SubElement(world, "geom", type="box", pos=f"{x} {y} 1", size="2 2 1", contype="1", conaffinity="1")
    return compile_model(root)


def _find(root: ET.Element, path: str) -> ET.Element:
    found = root.find(path)
    if found is None:
        raise AssertionError(f"Gymnasium's ant.xml has no {path}")
    return found


def centres(maze: Maze, cells: np.ndarray, physics: PhysicsOf) -> np.ndarray:
    """Positions [..., 2] in m of the centres of cells [..., 2].

    D4RL puts the start cell at the origin, rows along y; Gymnasium-Robotics the middle of the maze, rows against y.
    """
    if physics == "gymnasium":
        return CELL * maze.centre(cells)
    return CELL * (np.asarray(cells, float) - START)[..., ::-1]


@dataclasses.dataclass(frozen=True, eq=False)
class AntMaze:
    """Reward 1 within the radius of the goal, else 0. Made by `antmaze`."""

    spec: Spec
    maze: Maze
    simulator: Simulator
    kind: PhysicsOf
    goal_in_obs: bool
    dense: bool
    continuing: bool
    goal: np.ndarray | None  # [2], m, where it is drawn only once

    @property
    def radius(self) -> float:
        """The goal is reached within this distance, m."""
        return 0.5 if self.kind == "d4rl" else 0.45

    def draw_goal(self, key: Key, centre: jax.Array | None = None) -> jax.Array:
        """A goal [2] near a cell's centre [2] (none: the evaluation's), drawn as D4RL or Gymnasium-Robotics does."""
        if centre is None:
            centre = jnp.asarray(centres(self.maze, np.array(self.maze.goal), self.kind), float)
        if self.kind == "gymnasium":
            return centre + CELL * jax.random.uniform(key, (2,), float, -0.25, 0.25)
        first, second = jax.random.split(key)
        return centre + jax.random.uniform(first, (2,), float) + 0.5 * jax.random.uniform(second, (2,), float)

    def reset(self, key: Key) -> tuple[AntMazeState, jax.Array]:
        """The ant at rest pose in the start cell, with noise on qpos and qvel (D4RL) or on its place (Gymnasium)."""
        key_goal, key_start, key_qpos, key_qvel = jax.random.split(key, 4)
        goal = self.draw_goal(key_goal) if self.goal is None else jnp.asarray(self.goal, float)
        qpos0 = jnp.asarray(self.simulator.qpos0, float)
        noise = RESET_NOISE if self.kind == "d4rl" else 0.0  # Gymnasium-Robotics moves the start alone
        qpos = qpos0 + jax.random.uniform(key_qpos, qpos0.shape, float, -noise, noise)
        start = jnp.asarray(centres(self.maze, np.array(START), self.kind), float)
        if self.kind == "gymnasium":
            start += CELL * jax.random.uniform(key_start, (2,), float, -0.25, 0.25)
        qvel = noise * jax.random.normal(key_qvel, (14,), float)
        return self.place(qpos.at[:2].add(start), qvel, goal)

    def step(self, key: Key, state: AntMazeState, action: jax.Array) -> tuple[AntMazeState, Step]:
        """Five physics steps; terminates at the goal and never for falling over. NaN stays NaN, it is no failure."""
        del key
        physics, _ = self.simulator.step(state.physics, action)
        after = AntMazeState(physics, state.goal)
        distance = jnp.sqrt(jnp.sum(jnp.square(physics.qpos[:2] - state.goal)))
        reached = distance <= self.radius
        reward = jnp.exp(-distance) if self.dense else jnp.where(jnp.isnan(distance), jnp.nan, reached)
        terminated = jnp.bool_(False) if self.continuing else reached
        return after, Step(self._observe(after), reward, terminated, jnp.bool_(False))

    def place(self, qpos: jax.Array, qvel: jax.Array, goal: jax.Array) -> tuple[AntMazeState, jax.Array]:
        """The state and observation of an ant at qpos [15], qvel [14] that should go to goal [2]."""
        state = AntMazeState(self.simulator.start(qpos, qvel), goal)
        return state, self._observe(state)

    def from_physics(self, qpos: jax.Array, qvel: jax.Array) -> tuple[AntMazeState, jax.Array]:
        """The state and observation at qpos [15], qvel [14]; the goal is the mean of those drawn."""
        mean = centres(self.maze, np.array(self.maze.goal), self.kind) + 0.75 * (self.kind == "d4rl")
        goal = mean if self.goal is None else self.goal
        return self.place(jnp.asarray(qpos, float), jnp.asarray(qvel, float), jnp.asarray(goal, float))

    def physics(self, state: AntMazeState) -> tuple[jax.Array, jax.Array]:
        """(qpos [15], qvel [14])."""
        return state.physics.qpos, state.physics.qvel

    def _observe(self, state: AntMazeState) -> jax.Array:
        parts = [state.physics.qpos, state.physics.qvel]
        return jnp.concatenate([*parts, state.goal] if self.goal_in_obs else parts)
