"""Makes data sets: rolls a behaviour out on the device, in D4RL's layout. Learns nothing."""

import functools
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from fastrl.collect import walkers as commute
from fastrl.collect.columns import columns, rollout
from fastrl.envs import Rescale, Vector, host, make
from fastrl.runs.progress import Progress
from fastrl.types import Environment, Key, UserError

Arrays = dict[str, np.ndarray]
Act = Callable[[jax.Array, Key], jax.Array]
"""`(observations [E, O], key) -> actions [E, A]` in [-1, 1]."""


def collect(
    name: str,
    *,
    steps: int,
    seed: int = 0,
    behaviour: Literal["scripted", "random"] | Act = "random",
    noise: float | None = None,
    walk: commute.Walk | None = None,
    max_distance: int = 8,
    goal_fraction: float = 0.1,
    copies: int = 1,
    options: dict[str, Any] | None = None,
    progress: Progress | None = None,
) -> Arrays:
    """A long rollout in D4RL's flat layout.

    Args:
        name: an environment of `fastrl.make`.
        steps: rows.
        seed: of every random number.
        behaviour: uniform `random` actions; `scripted`, for PointMaze and AntMaze: from cell to
            cell, as `fastrl.collect.walkers` says; or a policy.
        noise: standard deviation of the Gaussian noise on actions: scripted 1 in PointMaze, 0.2 in AntMaze, else 0.
        walk: who walks, for scripted AntMaze.
        max_distance: PointMaze's scripted starts and goals are at most this many cells of way from its goal.
        goal_fraction: share of PointMaze's scripted episodes that head for the evaluation goal.
        copies: of the environment side by side, each with its share of the rows, one after another
            in the result; a copy's last row is a timeout. Not for scripted PointMaze.
        options: of the environment.
        progress: shown how far it is.

    Returns:
        observations [M, O], actions [M, A] in [-1, 1], rewards [M] (raw, for the evaluation goal alone), terminals,
        timeouts [M], next_observations [M, O], and before the step infos/qpos, infos/qvel where the environment has
        physics; of scripted AntMaze also infos/goal [M, 2], where the ant was sent (`fastrl.collect.walkers.reached`).
    """
    _check_numbers(steps, copies, noise)
    env, key = make(name, **(options or {})), jax.random.key(seed)

    def told(done: int) -> None:
        if progress is not None and done == 0:
            progress.phase("collect", steps)
        elif progress is not None:
            progress.update(done * copies)

    rows: dict[str, Any]
    if behaviour == "scripted":
        rows = _scripted(env, steps, key, walk, noise, (max_distance, goal_fraction), copies, told)
    elif behaviour == "random" and noise:
        raise UserError(f"collect: random actions take no noise, leave out {noise:g}")
    elif behaviour == "random":
        rows = _rollout(env, steps, key, _uniform(env), 0.0, copies, told)
    elif callable(behaviour):
        rows = _rollout(env, steps, key, behaviour, noise or 0.0, copies, told)
    else:
        raise UserError(f"collect: unknown behaviour {behaviour!r}: 'random' or 'scripted'")
    arrays = {field: np.array(column) for field, column in rows.items()}
    host.check()
    _check_finite(name, arrays["next_observations"])
    return arrays


def _check_numbers(steps: int, copies: int, noise: float | None) -> None:
    if steps < 1:
        raise UserError(f"collect: steps is {steps}, it must be at least 1")
    if copies < 1 or steps % copies:
        raise UserError(f"collect: steps {steps} must be a multiple of the number of environments, {copies}")
    if noise is not None and not 0 <= noise < np.inf:
        raise UserError(f"collect: noise is {noise:g}, it must be 0 or more")


def _scripted(
    env: Any,
    steps: int,
    key: Key,
    walk: commute.Walk | None,
    noise: float | None,
    commuting: tuple[int, float],
    copies: int,
    told: Callable[[int], None],
) -> dict[str, Any]:
    """Of PointMaze, with how far it commutes and how often to the goal, or of AntMaze."""
    name = env.spec.name
    if name.startswith("pointmaze-"):
        if copies > 1:
            raise UserError(f"collect: scripted data of {name} comes from one environment, not {copies}")
        return commute.pointmaze(env, steps, key, 1.0 if noise is None else noise, *commuting)
    if not name.startswith("antmaze-"):
        raise UserError(f"collect: {name} has no scripted behaviour (mazes have); use random or a policy")
    if walk is None:
        raise UserError(f"collect: {name} has no scripted behaviour without a policy that walks: give walk")
    return commute.antmaze(env, steps, key, walk, 0.2 if noise is None else noise, copies, told)


def _check_finite(name: str, observations: np.ndarray) -> None:
    lost = ~np.isfinite(observations).all(1)
    if lost.any():
        raise UserError(f"collect: {name} was no longer finite after row {int(lost.argmax())}; try another seed")


def _uniform(env: Environment) -> Act:
    return lambda obs, key: jax.random.uniform(key, (len(obs), env.spec.action_size), minval=-1, maxval=1)


def _rollout(
    env: Environment, steps: int, key: Key, act: Act, noise: float, copies: int, told: Callable[[int], None]
) -> Arrays:
    vector = Vector(Rescale(env), copies)

    def step(state: Any, index: jax.Array) -> Any:
        key_action, key_step, key_noise = jax.random.split(jax.random.fold_in(run, index), 3)
        action = act(state.obs, key_action)
        action = jnp.clip(action + noise * jax.random.normal(key_noise, action.shape), -1, 1)
        after, outcome = vector.step(key_step, state, action)
        row = jax.vmap(functools.partial(columns, env))
        return after, row(state.env, state.obs, action, outcome.step, outcome.step.truncated)

    start, run = jax.random.split(key)
    rows = rollout(step, jax.jit(vector.reset)(start), steps // copies, told)
    if copies > 1:
        rows["timeouts"][-1] = ~rows["terminals"][-1]
    return {field: column.swapaxes(0, 1).reshape(steps, *column.shape[2:]) for field, column in rows.items()}
