"""Scripted players for mazes, which go from cell to cell along shortest paths.

PointMaze's controller is part of the project (`fastrl.envs.waypoint`); AntMaze's takes a policy that walks.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fastrl.collect.columns import columns
from fastrl.collect.players import Play, Player, check_noise
from fastrl.envs.grid import Maze
from fastrl.envs.wrappers import Timed
from fastrl.types import Key, UserError

Walk = Callable[[jax.Array, jax.Array, jax.Array, Key], jax.Array]
"""`(qpos [15], qvel [14], direction [2] of length 1, key) -> action [8]` in [-1, 1]."""

PLAY_GOALS = {
    "medium": {2: (6,), 5: (1,), 6: (5, 6)},
    "large": {1: (6,), 3: (5, 10), 5: (2,), 7: (4, 6, 9)},
    "ultra": {1: (4, 11, 14), 2: (5, 9), 3: (7,), 4: (3, 12), 5: (1, 7, 10, 14)}
    | {6: (5,), 7: (3, 11), 8: (1, 7, 13), 9: (5,), 10: (9, 14)},
}
"""The hand-picked goals of D4RL's `play` data, ultra's of its fork: row -> columns."""


def antmaze(walk: Walk, noise: float = 0.2) -> Player:
    """Ants that walk to goals of their own, as in D4RL's data, with `infos/goal` [M, 2], that goal.

    An episode lasts the horizon, whether or not it reaches its goal; then start and goal are drawn anew. Rewards and
    terminals are those of one evaluation goal, the mean of those drawn: an ant that stays there makes a run of
    terminals. The last row of a copy is a timeout. `noise` is the standard deviation of the Gaussian noise on actions.
    """
    check_noise(noise)

    def play(env: Any, copies: int, length: int, key: Key) -> Play:
        begin, heading = _antmaze_episode(env)
        horizon = env.spec.horizon

        def step(run: Key, carry: Any, index: jax.Array) -> Any:
            key_begin, key_way, key_walk, key_noise, key_step = jax.random.split(jax.random.fold_in(run, index), 5)
            carry = jax.lax.cond(index % horizon == 0, begin, lambda _: carry, key_begin)
            state, obs, cell, goal = carry
            qpos, qvel = env.physics(state)
            action = walk(qpos, qvel, heading.towards(key_way, qpos[:2], cell, goal), key_walk)
            action = jnp.clip(action + noise * jax.random.normal(key_noise, (8,)), -1.0, 1.0)
            after, out = env.step(key_step, state, action)
            timeout = (index % horizon == horizon - 1) | (index == length - 1)
            return (after, out.obs, cell, goal), columns(env, state, obs, action, out, timeout) | {"infos/goal": goal}

        def all_step(carry: Any, index: jax.Array) -> Any:
            return jax.vmap(step, (0, 0, None))(runs, carry, index)

        firsts, runs = jax.vmap(jax.random.split, out_axes=1)(jax.random.split(key, copies))
        return Play(jax.jit(jax.vmap(begin))(firsts), all_step)

    return play


def _antmaze_episode(env: Any) -> tuple[Callable[[Key], tuple[Timed, jax.Array, jax.Array, jax.Array]], Any]:
    """The function that begins an episode, and the `Heading` through the maze."""
    from fastrl.envs.antmaze import centres
    from fastrl.envs.heading import Heading

    if not env.spec.name.startswith("antmaze-"):
        raise UserError(f"collect: {env.spec.name} is no AntMaze; use another player")
    ant = env.env
    if ant.kind != "d4rl":
        raise UserError(f"{env.spec.name}: scripted data has D4RL's ant, leave out the option physics={ant.kind!r}")
    cells = centres(ant.maze, ant.maze.free, "d4rl")
    starts, goals = ends_of(env.spec.name, ant.maze)

    def begin(key: Key) -> tuple[Timed, jax.Array, jax.Array, jax.Array]:
        """An episode: its state, its observation, the free cell it heads for and the goal in it."""
        key_reset, key_start, key_place, key_cell, key_goal = jax.random.split(key, 5)
        qpos, qvel = env.physics(env.reset(key_reset)[0])
        if len(starts) > 1:  # else where `reset` starts
            start = jnp.asarray(cells, float)[jax.random.choice(key_start, jnp.asarray(starts))]
            qpos = qpos.at[:2].set(start + jax.random.uniform(key_place, (2,), float))
        cell = jax.random.choice(key_cell, jnp.asarray(goals))
        state, obs = env.from_physics(qpos, qvel)
        return state, obs, cell, ant.draw_goal(key_goal, jnp.asarray(cells, float)[cell])

    return begin, Heading.of(ant.maze)


def ends_of(name: str, maze: Maze) -> tuple[np.ndarray, np.ndarray]:
    """The free cells (indices) where episodes of AntMaze's data set `name` start, and those they head for.

    One each (umaze), any start and hand-picked goals (play), any start and any goal (diverse).
    """
    from fastrl.envs.antmaze import START

    _, layout, *kind = name.split("-")
    free = maze.free.tolist()
    everywhere = np.arange(len(free))
    if not kind:
        return np.array([free.index(list(START))]), np.array([free.index(list(maze.goal))])
    if kind == ["diverse"]:
        return everywhere, everywhere
    picked = [[row, column] for row, places in PLAY_GOALS[layout].items() for column in places]
    return everywhere, np.array([free.index(cell) for cell in picked])


def reached(arrays: Mapping[str, np.ndarray], radius: float) -> float:
    """The share of the episodes of AntMaze's scripted data that came within `radius` (m) of their own goal.

    An episode ends at a timeout; the rows after the last one are left out.
    """
    ends = np.flatnonzero(arrays["timeouts"])
    near = np.linalg.norm(arrays["next_observations"][:, :2] - arrays["infos/goal"], axis=1) <= radius
    return float(np.mean([part.any() for part in np.split(near, ends + 1)[: len(ends)]]))


def pointmaze(noise: float = 1.0, max_distance: int = 8, goal_fraction: float = 0.1) -> Player:
    """A ball that commutes between cells near the evaluation goal; reaching its own goal ends an episode as a timeout.

    Args:
        noise: standard deviation of the Gaussian noise on actions.
        max_distance: starts and goals are at most this many cells of way from the evaluation goal.
        goal_fraction: share of the episodes that head for the evaluation goal.
    """
    check_noise(noise)

    def play(env: Any, copies: int, length: int, key: Key) -> Play:
        from fastrl.envs.maze import RADIUS

        del length
        if copies > 1:
            raise UserError(f"collect: scripted data of {env.spec.name} comes from one environment, not {copies}")
        begin, controller, centres = _pointmaze_episode(env, max_distance, goal_fraction)
        key_start, key_run = jax.random.split(key)

        def step(carry: Any, index: jax.Array) -> Any:
            state, obs, heading = carry
            key_noise, key_step, key_begin = jax.random.split(jax.random.fold_in(key_run, index), 3)
            qpos, qvel = env.physics(state)
            action = controller.act(qpos, qvel, heading) + noise * jax.random.normal(key_noise, (2,))
            action = jnp.clip(action, -1.0, 1.0)
            after, out = env.step(key_step, state, action)
            arrived = jnp.sum(jnp.square(env.physics(after)[0] - centres[heading])) <= RADIUS**2
            timeout = (out.truncated | arrived) & ~out.terminated
            row = columns(env, state, obs, action, out, timeout)
            carry = jax.lax.cond(timeout | out.terminated, begin, lambda _: (after, out.obs, heading), key_begin)
            return carry, jax.tree.map(lambda number: number[None], row)  # of one copy

        return Play(jax.jit(begin)(key_start), step)

    return play


def _pointmaze_episode(
    env: Any, max_distance: int, goal_fraction: float
) -> tuple[Callable[[Key], tuple[Timed, jax.Array, jax.Array]], Any, jax.Array]:
    """The function that begins an episode, the controller, and the centres [F, 2] of the free cells."""
    from fastrl.envs.maze import NOISE
    from fastrl.envs.waypoint import Waypoint

    if not env.spec.name.startswith("pointmaze-"):
        raise UserError(f"collect: {env.spec.name} is no PointMaze; use another player")
    if len(env.env.goals) > 1:
        raise UserError(f"{env.spec.name}: scripted data needs one evaluation goal, not 'random'")
    maze = env.env.maze
    centres = jnp.asarray(maze.centre(maze.free), float)
    evaluation = maze.free.tolist().index(env.env.goals[0].tolist())
    pairs = _pairs(maze, evaluation, max_distance)

    def begin(key: Key) -> tuple[Timed, jax.Array, jax.Array]:
        """An episode: its state, its observation, the free cell it heads for."""
        key_kind, key_there, key_pair, key_noise = jax.random.split(key, 4)
        to_goal = jnp.asarray(pairs[pairs[:, 1] == evaluation])
        there = to_goal[jax.random.randint(key_there, (), 0, len(to_goal))]
        other = jnp.asarray(pairs)[jax.random.randint(key_pair, (), 0, len(pairs))]
        chosen = jnp.where(jax.random.bernoulli(key_kind, goal_fraction), there, other)
        offset = jax.random.uniform(key_noise, (2,), float, -NOISE, NOISE)
        state, obs = env.from_physics(centres[chosen[0]] + offset, jnp.zeros(2))
        return state, obs, chosen[1]

    return begin, Waypoint.of(env.env), centres


def _pairs(maze: Maze, evaluation: int, max_distance: int) -> np.ndarray:
    """(start, goal) indices [P, 2] of free cells within reach of the evaluation goal."""
    distance = maze.distances(tuple(maze.free[evaluation]))[tuple(maze.free.T)]
    near = np.flatnonzero(distance <= max_distance)
    if len(near) < 2:
        raise UserError(f"collect: max_distance is {max_distance}, it must be at least 1")
    return np.array([(start, goal) for start in near for goal in near if start != goal])
