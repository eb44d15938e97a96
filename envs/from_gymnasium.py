"""`gymnasium:ID`: any Gymnasium environment with box-shaped spaces, stepped on the host from inside the scan.

The state is the episode's seed and its actions so far, which is all that Gymnasium lets an episode depend on: it is
saved and restored like any other array, and `fastrl.envs.host` brings a simulator to it. Knows no worker process.
"""

import contextlib
import dataclasses
import io
import math
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium.spaces import Box, Dict, flatdim

from fastrl.envs.host import BACKEND, Pool
from fastrl.errors import unknown
from fastrl.types import Key, Spec, Step, UserError

HORIZON = 1000
"""Steps of an episode where Gymnasium sets no limit."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Episode:
    """An episode, whole: played again it leads to the same place."""

    name: jax.Array  # [2] int32: the seed of its reset, and a number that tells it from others
    plays: jax.Array  # [] int32, actions so far
    actions: jax.Array  # [H, A], stale beyond `plays`
    ended: jax.Array  # [] bool: it shows zeros from then on


@dataclasses.dataclass(frozen=True, eq=False)
class Hosted:
    """An environment whose simulator is a Python object. One callback a batch, whatever is vmapped.

    The callback is a function of its arguments alone, as `jax.pure_callback` demands: the simulators are a cache.
    """

    spec: Spec
    pool: Pool

    def reset(self, key: Key) -> tuple[Episode, jax.Array]:
        """Starts an episode; Gymnasium's seed is drawn from the key."""
        nothing = jnp.zeros((self.spec.horizon, self.spec.action_size), jnp.float32)
        blank = Episode(jnp.zeros(2, jnp.int32), jnp.int32(0), nothing, jnp.bool_(True))
        return self.restart(key, blank, jnp.zeros(self.spec.obs_size, jnp.float32), jnp.bool_(True))

    def restart(self, key: Key, state: Episode, obs: jax.Array, done: jax.Array) -> tuple[Episode, jax.Array]:
        """A new episode where `done` [], else (state, obs) as they are."""
        name = (jax.random.bits(key, (2,), jnp.uint32) >> 1).astype(jnp.int32)
        shown = self._show(name, jnp.where(done, 0, -1), state.actions)
        fresh = Episode(
            jnp.where(done, name, state.name), jnp.where(done, 0, state.plays), state.actions, state.ended & ~done
        )
        return fresh, jnp.where(done, shown[:-3], obs)

    def step(self, key: Key, state: Episode, action: jax.Array) -> tuple[Episode, Step]:
        """One step of the simulator; an episode that has ended stands still."""
        del key
        actions = state.actions.at[state.plays].set(action.astype(jnp.float32), mode="drop")
        shown = self._show(state.name, jnp.where(state.ended, -1, state.plays + 1), actions)
        terminated, truncated = shown[-2] > 0, shown[-1] > 0
        plays = jnp.where(state.ended, state.plays, state.plays + 1)
        ended = state.ended | terminated | truncated | (plays >= self.spec.horizon)
        return Episode(state.name, plays, actions, ended), Step(shown[:-3], shown[-3], terminated, truncated)

    def _show(self, name: jax.Array, plays: jax.Array, actions: jax.Array) -> jax.Array:
        shape = jax.ShapeDtypeStruct((self.pool.width,), jnp.float32)
        header = jnp.append(name, plays.astype(jnp.int32))
        return jax.pure_callback(self.pool, shape, header, actions, vmap_method="broadcast_all")


def hosted(spec: Spec, file: str | None, name: str, options: dict[str, Any], timeout: float) -> Hosted:
    """The environment whose simulators are `gymnasium.make(name, **options)`, or function `name` of `file`.

    `timeout`: seconds that a simulator may take for a step.
    """
    if timeout <= 0:
        raise UserError(f"environment {spec.name!r}: timeout is {timeout:g}, it must be above 0 seconds")
    return Hosted(spec, Pool(spec.name, (file, name, options), spec.obs_size + 3, timeout))


def make(identity: str, *, horizon: int | None = None, timeout: float = 60.0, **options: Any) -> Hosted:
    """Gymnasium's environment `identity` (or `module:identity`, imported first), made with `options`.

    A Dict observation is flattened in the order of its space: alphabetical, unless that was made of an OrderedDict.
    """
    title = f"gymnasium:{identity}"
    space, action, limit = _look(title, identity, options)
    low, high = (np.asarray(bound, np.float64).ravel() for bound in (action.low, action.high))
    if not np.isfinite([low, high]).all():
        raise UserError(f"environment {title!r}: actions have no bounds and cannot be scaled; wrap it to have some")
    spec = Spec(
        name=title,
        obs_size=flatdim(space),
        action_size=math.prod(action.shape),
        horizon=horizon or limit or HORIZON,
        backend=BACKEND,
        action_low=tuple(low.tolist()),
        action_high=tuple(high.tolist()),
    )
    return hosted(spec, None, identity, options, timeout)


def _look(title: str, identity: str, options: dict[str, Any]) -> tuple[Any, Box, int | None]:
    """Observation space, action space and time limit; what cannot be adapted is refused."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            env = gymnasium.make(identity, disable_env_checker=True, **options)
    except gymnasium.error.UnregisteredEnv:
        raise unknown("Gymnasium environment", identity, gymnasium.registry) from None
    except Exception as error:
        raise UserError(f"environment {title!r} cannot be made: {' '.join(str(error).split())}") from error
    space, action = env.observation_space, env.action_space
    limit = env.spec.max_episode_steps if env.spec else None
    env.close()
    if not _box(space):
        raise UserError(f"environment {title!r} observes {space}; only Box, or Dict of Box, can be used")
    if not (isinstance(action, Box) and np.issubdtype(action.dtype, np.floating)):
        raise UserError(f"environment {title!r} acts in {action}; only continuous actions (Box) can be used")
    return space, action, limit


def _box(space: Any) -> bool:
    if isinstance(space, Dict):
        return all(_box(part) for part in space.values())
    return isinstance(space, Box)
