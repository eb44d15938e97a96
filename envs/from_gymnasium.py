"""`gymnasium:ID`: any Gymnasium environment with box-shaped spaces, stepped on the host from inside the scan.

The state is the episode's seed and its actions so far, which is all that Gymnasium lets an episode depend on: it is
saved and restored like any other array, and `fastrl.envs.host` brings a simulator to it.
"""

import contextlib
import dataclasses
import io
import math
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
from gymnasium.spaces import Box, Dict

from fastrl.envs import spaces
from fastrl.envs.host import BACKEND, Pool
from fastrl.errors import told, unknown
from fastrl.types import Key, Spec, Step, UserError

HORIZON = 1000
"""Steps of an episode where Gymnasium sets no limit."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Episode:
    """A whole episode: played again, it leads to the same place."""

    name: jax.Array  # [2] int32: the seed of its reset, and a number that distinguishes it from others
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
    where = f"environment {title!r}"
    space, action, limit = _look(where, identity, options)
    obs_size = _observed(where, space)
    if not isinstance(action, Box):
        raise spaces.not_a_box(where, action)
    low, high = spaces.bounds(where, action.dtype, action.low, action.high)
    spaces.scales(where, low, high)
    spec = Spec(
        name=title,
        obs_size=obs_size,
        action_size=low.size,
        horizon=horizon or limit or HORIZON,
        backend=BACKEND,
        action_low=tuple(low.tolist()),
        action_high=tuple(high.tolist()),
    )
    return hosted(spec, None, identity, options, timeout)


def _look(where: str, identity: str, options: dict[str, Any]) -> tuple[Any, Any, int | None]:
    """Observation space, action space and time limit."""
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            env = gymnasium.make(identity, disable_env_checker=True, **options)
            spec, spaces_of_it = env.spec, (env.observation_space, env.action_space)
            env.close()
    except gymnasium.error.UnregisteredEnv:
        raise unknown("Gymnasium environment", identity, gymnasium.registry) from None
    except (Exception, SystemExit) as error:
        missing = isinstance(error, ModuleNotFoundError)
        fix = (
            "install what is missing, or add its folder to PYTHONPATH"
            if missing
            else "mend it, gymnasium.make alone fails alike"
        )
        raise UserError(f"{where} cannot be made: {told(error).rstrip('.')}; {fix}") from error
    return *spaces_of_it, spec.max_episode_steps if spec else None


def _observed(where: str, space: Any) -> int:
    """How many numbers a Box or a Dict of Boxes has."""
    if isinstance(space, Dict) and space.spaces:
        return sum(_observed(where, part) for part in space.values())
    if not isinstance(space, Box):
        raise spaces.not_observed(where, space)
    spaces.no_image(where, space.shape, space.dtype)
    if 0 in space.shape:
        raise UserError(f"{where}: observes a Box without numbers; give it at least one")
    return math.prod(space.shape)
