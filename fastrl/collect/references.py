"""Measures what a random and an expert policy earn in a task: the ends of its normalised score.

The expert is a behaviour policy of the package at its level `expert`, with sampled actions as in
`fastrl collect --behaviour expert`, or in a maze the controller of its scripted data, without noise and told the goal.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fastrl.collect import levels
from fastrl.collect.players import Act
from fastrl.data.references import Measured, Reference, measured
from fastrl.engine import evaluate
from fastrl.envs import Rescale, host, make
from fastrl.runs import manifest
from fastrl.types import Algorithm, Environment, Key, Spec, Step, UserError

EPISODES = 100
MAZES = (
    *("pointmaze-umaze", "pointmaze-medium", "pointmaze-large"),
    *("antmaze-umaze", "antmaze-medium-play", "antmaze-large-play", "antmaze-ultra-play"),
)


@dataclasses.dataclass(frozen=True)
class Open:
    """An environment that shows its whole state, to a controller that must know the goal."""

    env: Environment

    @property
    def spec(self) -> Spec:
        """The wrapped spec."""
        return self.env.spec

    def reset(self, key: Key) -> tuple[Any, Any]:
        """The wrapped reset; the observation is (state, observation)."""
        state, obs = self.env.reset(key)
        return state, (state, obs)

    def step(self, key: Key, state: Any, action: jax.Array) -> tuple[Any, Step]:
        """The wrapped step; the observation is (state, observation)."""
        after, step = self.env.step(key, state, action)
        shown: Any = (after, step.obs)
        return after, step._replace(obs=shown)


def names() -> list[str]:
    """The tasks that have an expert."""
    return [*(name for name in levels.names() if name != "ant-walk"), *MAZES]


def measure(name: str, episodes: int = EPISODES, seed: int = 0) -> Reference:
    """Both ends of a task's score, each from that many episodes."""
    if name not in names():
        raise UserError(f"{name} has no expert to measure; {', '.join(names())} have")
    if episodes < 2:
        raise UserError(f"--episodes must be at least 2, not {episodes}: one episode has no interval")
    env = make(name)
    key_random, key_expert = jax.random.split(jax.random.key(seed))
    who, act = expert(name, env)
    random = played(env, uniform(env.spec.action_size), episodes, key_random, "uniform actions")
    best = played(env, act, episodes, key_expert, who)
    version = "" if env.spec.sparse else "v5"
    return Reference(name, version, random, best, made())


def played(env: Environment, act: Any, episodes: int, key: Key, who: str) -> Measured:
    """What `act` earns in that many episodes, its successes where the task is sparse."""
    algorithm = Algorithm(
        init=lambda key: None,
        act=lambda state, shown, key, explore: act(*shown, key),
        update=lambda state, batches, key, clock: (state, {}),
    )
    program = jax.jit(lambda key: evaluate.episodes(Rescale(Open(env)), algorithm, None, key, episodes, True))
    result = jax.block_until_ready(program(key))
    host.check()
    returns = np.asarray(result.episode_return, np.float64)
    return measured(returns > 0 if env.spec.sparse else returns, who, env.spec.sparse)


def uniform(size: int) -> Any:
    """`(states, observations, key) -> actions` [P, A] in [-1, 1], uniform."""
    return lambda states, obs, key: jax.random.uniform(key, (len(obs), size), minval=-1, maxval=1)


def expert(name: str, env: Any) -> tuple[str, Any]:
    """Who the expert is, and `(states [P], observations [P, O], key) -> actions [P, A]`."""
    if name.startswith("pointmaze-"):
        return "waypoint controller, without noise", _waypoint(env)
    if name.startswith("antmaze-"):
        return "ant-walk's expert along shortest paths, told the goal, actions sampled", _walker(env)
    behaviour = levels.find(name)
    steps = behaviour.snapshots[behaviour.expert].steps
    act: Act = behaviour.sampler([behaviour.expert])
    return f"behaviours/{name}.npz at {steps:,} steps, actions sampled", lambda states, obs, key: act(obs, key)


def _waypoint(env: Any) -> Any:
    from fastrl.envs.waypoint import Waypoint

    controller = Waypoint.of(env.env)
    goal = env.env.maze.free.tolist().index(env.env.goals[0].tolist())

    def one(state: Any) -> jax.Array:
        qpos, qvel = env.physics(state)
        return controller.act(qpos, qvel, jnp.int32(goal))

    return lambda states, obs, key: jax.vmap(one)(states)


def _walker(env: Any) -> Any:
    from fastrl.envs.heading import Heading  # and MuJoCo, which PointMaze does without

    heading, walk = Heading.of(env.env.maze), levels.walker()
    cell = jnp.int32(env.env.maze.free.tolist().index(list(env.env.maze.goal)))

    def one(state: Any, key: Key) -> jax.Array:
        key_way, key_walk = jax.random.split(key)
        qpos, qvel = env.physics(state)
        return walk(qpos, qvel, heading.towards(key_way, qpos[:2], cell, state.env.goal), key_walk)

    return lambda states, obs, key: jax.vmap(one)(states, jax.random.split(key, len(obs)))


def made() -> str:
    """The versions that a number was measured with."""
    found = manifest.provenance()
    versions = [
        f"{name} {found['versions'][name]}" for name in ("fastrl", "mujoco", "jax") if name in found["versions"]
    ]
    return ", ".join([*versions, *([f"commit {found['git_revision'][:7]}"] if found["git_revision"] else [])])
