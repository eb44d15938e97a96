"""Makes data sets: rolls a behaviour out on the device, in D4RL's layout. Learns nothing."""

from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from fastrl.envs import Rescale, Vector, host, make
from fastrl.envs.wrappers import Timed
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
    max_distance: int = 8,
    goal_fraction: float = 0.1,
    copies: int = 1,
    options: dict[str, Any] | None = None,
) -> Arrays:
    """A long rollout of environment `name` in D4RL's flat layout, `steps` rows.

    Args:
        name: an environment of `fastrl.make`.
        steps: rows.
        seed: of every random number.
        behaviour: uniform `random` actions; `scripted` (PointMaze): a waypoint controller that
            commutes between cells; an episode also ends (as a timeout) where it wanted to go; or a
            policy.
        noise: standard deviation of the Gaussian noise on actions: 1 on scripted ones, else 0.
        max_distance: scripted starts and goals are cells at most this many cells of way from the
            evaluation goal.
        goal_fraction: share of the scripted episodes that head for the evaluation goal.
        copies: of the environment side by side, each with its share of the rows, one after another
            in the result; a copy's last row is a timeout. Not for scripted behaviour.
        options: of the environment.

    Returns:
        observations [M, O], actions [M, A] in the environment's bounds, rewards [M] (raw, for the
        evaluation goal alone), terminals, timeouts [M], next_observations [M, O], and before the
        step infos/qpos, infos/qvel where the environment has physics.
    """
    if steps < 1:
        raise UserError(f"collect: steps is {steps}, it must be at least 1")
    if copies < 1 or steps % copies:
        raise UserError(f"collect: steps {steps} must be a multiple of the number of environments, {copies}")
    env = make(name, **(options or {}))
    key = jax.random.key(seed)
    if behaviour == "scripted" and name.startswith("pointmaze-"):
        rows = _scripted(env, steps, key, 1.0 if noise is None else noise, max_distance, goal_fraction)
    elif behaviour == "scripted":
        raise UserError(f"collect: {name} has no scripted behaviour (PointMaze has); use --behaviour random")
    elif behaviour == "random":
        rows = _rollout(env, steps, key, _uniform(env), 0.0, copies)
    elif callable(behaviour):
        rows = _rollout(env, steps, key, behaviour, noise or 0.0, copies)
    else:
        raise UserError(f"collect: unknown behaviour {behaviour!r}: 'random' or 'scripted'")
    arrays = {field: np.array(column) for field, column in rows.items()}
    host.check()
    return arrays


def _columns(obs: Any, action: Any, step: Any, timeout: Any) -> dict[str, Any]:
    return {
        "observations": obs,
        "actions": action,
        "rewards": step.reward,
        "terminals": step.terminated,
        "timeouts": timeout,
        "next_observations": step.obs,
    }


def _physics(env: Any, state: Any) -> dict[str, Any]:
    """`infos/qpos` and `infos/qvel` of a state, where the environment has them."""
    if not hasattr(env.env, "physics"):
        return {}
    qpos, qvel = env.physics(state)
    return {"infos/qpos": qpos, "infos/qvel": qvel}


def _uniform(env: Environment) -> Act:
    return lambda obs, key: jax.random.uniform(key, (len(obs), env.spec.action_size), minval=-1, maxval=1)


def _rollout(env: Environment, steps: int, key: Key, act: Act, noise: float, copies: int) -> dict[str, Any]:
    vector = Vector(Rescale(env), copies)
    low, high = (jnp.broadcast_to(jnp.asarray(x, float), (1, env.spec.action_size)) for x in _bounds(env))

    def step(state: Any, index: jax.Array) -> Any:
        key_action, key_step, key_noise = jax.random.split(jax.random.fold_in(run, index), 3)
        action = act(state.obs, key_action)
        action = jnp.clip(action + noise * jax.random.normal(key_noise, action.shape), -1, 1)
        after, outcome = vector.step(key_step, state, action)
        row = _columns(state.obs, low + (action + 1) / 2 * (high - low), outcome.step, outcome.step.truncated)
        return after, row | jax.vmap(lambda inner: _physics(env, inner))(state.env)

    start, run = jax.random.split(key)
    length = steps // copies
    rows = jax.jit(lambda: jax.lax.scan(step, vector.reset(start), jnp.arange(length))[1])()
    if copies > 1:
        rows["timeouts"] = rows["timeouts"].at[-1].set(~rows["terminals"][-1])
    return {field: jnp.swapaxes(column, 0, 1).reshape(steps, *column.shape[2:]) for field, column in rows.items()}


def _bounds(env: Environment) -> tuple[Any, Any]:
    return env.spec.action_low, env.spec.action_high


def _scripted(env: Any, steps: int, key: Key, noise: float, max_distance: int, goal_fraction: float) -> dict[str, Any]:
    from fastrl.envs.maze import NOISE, RADIUS
    from fastrl.envs.waypoint import Waypoint

    maze, controller = env.env.maze, Waypoint.of(env.env)
    if len(env.env.goals) > 1:
        raise UserError(f"{env.spec.name}: scripted data needs one evaluation goal, not 'random'")
    centres = jnp.asarray(maze.centre(maze.free), float)
    evaluation = maze.free.tolist().index(env.env.goals[0].tolist())
    pairs = _pairs(maze, evaluation, max_distance)

    def reset(key: Key) -> tuple[Timed, jax.Array, jax.Array]:
        """An episode: its state, its observation, the free cell it heads for."""
        key_kind, key_there, key_pair, key_noise = jax.random.split(key, 4)
        to_goal = jnp.asarray(pairs[pairs[:, 1] == evaluation])
        there = to_goal[jax.random.randint(key_there, (), 0, len(to_goal))]
        other = jnp.asarray(pairs)[jax.random.randint(key_pair, (), 0, len(pairs))]
        chosen = jnp.where(jax.random.bernoulli(key_kind, goal_fraction), there, other)
        offset = jax.random.uniform(key_noise, (2,), float, -NOISE, NOISE)
        state, obs = env.from_physics(centres[chosen[0]] + offset, jnp.zeros(2))
        return state, obs, chosen[1]

    def step(carry: Any, index: jax.Array) -> Any:
        state, obs, heading = carry
        key_noise, key_step, key_reset = jax.random.split(jax.random.fold_in(run, index), 3)
        qpos, qvel = env.physics(state)
        action = controller.act(qpos, qvel, heading) + noise * jax.random.normal(key_noise, (2,))
        action = jnp.clip(action, -1.0, 1.0)
        after, out = env.step(key_step, state, action)
        arrived = jnp.sum(jnp.square(env.physics(after)[0] - centres[heading])) <= RADIUS**2
        timeout = (out.truncated | arrived) & ~out.terminated
        row = _columns(obs, action, out, timeout) | _physics(env, state)
        over = timeout | out.terminated
        return jax.lax.cond(over, reset, lambda _: (after, out.obs, heading), key_reset), row

    start, run = jax.random.split(key)
    return jax.jit(lambda: jax.lax.scan(step, reset(start), jnp.arange(steps))[1])()


def _pairs(maze: Any, evaluation: int, max_distance: int) -> np.ndarray:
    """(start, goal) indices [P, 2] of free cells within reach of the evaluation goal."""
    distance = maze.distances(tuple(maze.free[evaluation]))[tuple(maze.free.T)]
    near = np.flatnonzero(distance <= max_distance)
    if len(near) < 2:
        raise UserError(f"collect: max_distance is {max_distance}, it must be at least 1")
    return np.array([(start, goal) for start in near for goal in near if start != goal])
