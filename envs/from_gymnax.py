"""gymnax's continuous tasks as `gymnax:ID`. It imports gymnax, so only the registry imports it, on demand.

gymnax's auto-reset and its time limit are not used: `step_env` is the bare dynamics, and the limit becomes the spec's
horizon, which the time limit of fastrl.envs.wrappers truncates.
"""

import dataclasses
from typing import Any

import gymnax
import jax
import jax.numpy as jnp
import numpy as np
from gymnax.environments.spaces import Box

from fastrl.envs import spaces
from fastrl.errors import told, unknown
from fastrl.types import Key, Spec, Step, UserError


def make(identity: str) -> "Gymnax":
    """Gymnax's environment `identity` with its default parameters; its actions must be continuous."""
    if identity not in gymnax.registered_envs:
        raise unknown("gymnax environment", identity, gymnax.registered_envs)
    where = f"gymnax:{identity}"
    try:
        with jax.numpy_rank_promotion("allow"):  # gymnax's own code promotes ranks, here and below
            env, params = gymnax.make(identity)
            actions = env.action_space(params)
            observation, _ = jax.eval_shape(env.reset_env, jax.random.key(0), params)
    except Exception as error:  # some download their data
        raise UserError(f"{where} cannot be made: {told(error)}") from error
    if not isinstance(actions, Box):
        raise spaces.not_a_box(where, actions)
    if not hasattr(observation, "shape"):
        raise UserError(f"{where}: observes a {type(observation).__name__}; only one array can be learnt from")
    spaces.no_image(where, observation.shape, observation.dtype)
    shaped = (np.broadcast_to(bound, actions.shape) for bound in (actions.low, actions.high))
    low, high = spaces.bounds(where, actions.dtype, *shaped)
    spaces.scales(where, low, high)
    spec = Spec(
        name=where,
        obs_size=observation.size,
        action_size=low.size,
        horizon=int(params.max_steps_in_episode),
        backend="gymnax",
        action_low=tuple(low.tolist()),
        action_high=tuple(high.tolist()),
    )
    return Gymnax(spec, env, params)


@dataclasses.dataclass(frozen=True, eq=False)
class Gymnax:
    """A gymnax environment without its auto-reset. The state is gymnax's own."""

    spec: Spec
    env: Any  # gymnax's environment
    params: Any  # gymnax's parameters

    def reset(self, key: Key) -> tuple[Any, jax.Array]:
        """Gymnax's `reset_env`: (its state, obs [O])."""
        with jax.numpy_rank_promotion("allow"):
            obs, state = self.env.reset_env(key, self.params)
        return _strong(state), _strong(obs).ravel()

    def step(self, key: Key, state: Any, action: jax.Array) -> tuple[Any, Step]:
        """Gymnax's `step_env`, which ends only at a true termination."""
        with jax.numpy_rank_promotion("allow"):
            obs, after, reward, terminated, _ = self.env.step_env(key, state, action, self.params)
        obs, reward = _strong(obs).ravel(), jnp.asarray(reward, float).reshape(())
        return _strong(after), Step(obs, reward, jnp.asarray(terminated, bool).reshape(()), jnp.bool_(False))


def _strong(tree: Any) -> Any:
    """Arrays instead of Python numbers, which gymnax's resets return and its steps do not."""
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.result_type(leaf)), tree)
