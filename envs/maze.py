"""PointMaze: a force-driven ball among walls, with the exact physics of Gymnasium-Robotics' v3.

The ball has two degrees of freedom and frictionless contacts, so the MuJoCo step is written out here
instead of running MJX's general one: the same arithmetic on 2 x 2 numbers, many times cheaper, equal
to C MuJoCo to rounding (tests compare, walls included). The constants come from the compiled model.

The task is that of offline-to-online papers on AntMaze rather than upstream's: a fixed evaluation
goal that is not observed, starts spread over the maze, a reward of 1 that ends the episode. Options
give upstream's task back: `goal="random", goal_in_obs=True, start_distance=1, continuing=True`.
"""

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from jax import lax

from fastrl.types import Key, Spec, Step, UserError

RADIUS = 0.45
"""The goal is reached within this distance, m."""
NOISE = 0.25
"""Starts and drawn goals are a cell's centre plus U(-this, this) in x and y, m."""
MAX_VELOCITY = 5.0
"""Velocities are clipped to +- this before a step, m/s."""
NEWTON_STEPS = 6
"""More than the number of changes of the active set that three walls around a ball can cause."""

UMAZE = ("#####", "#...#", "###.#", "#G..#", "#####")
MEDIUM = (
    "########",
    "#..##..#",
    "#..#...#",
    "##...###",
    "#..#...#",
    "#.#..#.#",
    "#...#.G#",
    "########",
)
LARGE = (
    "############",
    "#....#.....#",
    "#.##.#.#.#.#",
    "#......#...#",
    "#.####.###.#",
    "#..#.#.....#",
    "##.#.#.#.###",
    "#..#...#..G#",
    "############",
)

Cell = tuple[int, int]
"""(row, column) of a maze; rows grow downwards, towards -y."""
