"""MuJoCo Playground's tasks as `playground:NAME`; only the registry imports this module, on demand.

Playground's wrappers are not used: a task's `done` is a termination, the time limit of fastrl.envs.wrappers truncates,
and a reset draws a new start where Playground's own training goes back to a copy's first one.
"""

import contextlib
import dataclasses
import importlib.util
import io
import warnings
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp

from fastrl.envs import spaces
from fastrl.errors import told, unknown
from fastrl.types import Key, Spec, Step, UserError

IMPLEMENTATIONS = ("jax", "warp")


@contextlib.contextmanager
def _theirs(failure: str) -> Iterator[None]:
    """Runs Playground's own code quietly; what it raises becomes one line."""
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), jax.numpy_rank_promotion("allow"):
            warnings.simplefilter("ignore")
            yield
    except Exception as error:
        raise UserError(f"{failure}: {told(error)}") from error


def make(identity: str, obs: str = "state", impl: str = "jax", **config: Any) -> "Playground":
    """Playground's environment `identity`.

    Args:
        identity: a name of Playground's registry.
        obs: which observation is learnt from, of a task that observes a dict of them.
        impl: MJX's implementation, `jax` anywhere or `warp` on an NVIDIA GPU.
        **config: what is to differ from the task's own configuration, such as `action_repeat=2`; a dot leads into
            a part of it, as in `reward_config.scales.energy=0`.
    """
    if importlib.util.find_spec("mujoco_playground") is None:
        raise UserError(f"playground:{identity} needs MuJoCo Playground: pip install 'fastrl[playground]'")
    if impl not in IMPLEMENTATIONS:
        raise unknown("implementation of MJX", impl, IMPLEMENTATIONS)
    if impl == "warp" and jax.default_backend() != "gpu":
        here = jax.devices()[0].device_kind
        raise UserError(f"--env-option impl=warp needs an NVIDIA GPU and jax runs on {here} here; leave it out")
    where = f"playground:{identity}"
    with _theirs(f"{where}: MuJoCo Playground cannot be imported"):
        from mujoco_playground import registry
    if identity not in registry.ALL_ENVS:
        raise unknown("playground environment", identity, registry.ALL_ENVS)
    settings = registry.get_default_config(identity).lock()
    with _theirs(f"{where} has no such option, or no such value of it"):
        settings.update_from_flattened_dict({"impl": impl, **config})
    failure = f"{where} cannot be made with impl={impl}"
    if identity not in registry.dm_control_suite.ALL_ENVS:
        failure += " (the first time, Playground clones its robots' models from GitHub)"
    with _theirs(failure):
        env = registry.load(identity, config=settings)
        seen = jax.eval_shape(env.reset, jax.random.PRNGKey(0)).obs
    array, key = _chosen(where, seen, obs)
    repeat = int(settings.action_repeat)
    spec = Spec(
        name=where,
        obs_size=array.size,
        action_size=env.action_size,
        horizon=int(settings.episode_length) // repeat,
        backend=f"playground {impl}",
    )
    return Playground(spec, env, key, repeat)


def _chosen(where: str, seen: Any, obs: str) -> tuple[Any, str | None]:
    """The observation's shape, and its key in a dict of them."""
    key = None
    if not hasattr(seen, "shape"):
        if obs not in seen:
            fix = "state" if "state" in seen else next(iter(seen))
            names = ", ".join(f"{name} {part.shape}" for name, part in seen.items())
            raise UserError(f"{where} observes {names}, not {obs!r}; choose one, as in --env-option obs={fix}")
        key = obs
    array = seen if key is None else seen[key]
    if len(array.shape) > 1:
        raise UserError(
            f"{where}: observes an array of shape {array.shape}; only vectors can be learnt from, encode it"
        )
    spaces.no_image(where, array.shape, array.dtype)
    return array, key


@dataclasses.dataclass(frozen=True, eq=False)
class Playground:
    """A Playground environment without wrappers. Its agents act in [-1, 1]; the state is Playground's own."""

    spec: Spec
    env: Any  # Playground's environment
    key: str | None  # which observation, where there is a dict of them
    repeat: int  # times that each action is taken

    def reset(self, key: Key) -> tuple[Any, jax.Array]:
        """Playground's reset: (its state, obs [O])."""
        with _theirs(f"{self.spec.name} cannot be reset on {self.spec.backend}"):
            state = _copied(self.env.reset(jax.random.key_data(key)))
        return state, self._seen(state)

    def step(self, key: Key, state: Any, action: jax.Array) -> tuple[Any, Step]:
        """Playground's step as often as its `action_repeat` says, with the sum of rewards; the state has its keys."""
        del key

        def once(state: Any, _: None) -> tuple[Any, jax.Array]:
            after = _copied(self.env.step(_copied(state), action))
            return after, after.reward

        with _theirs(f"{self.spec.name} cannot be stepped on {self.spec.backend}"):
            after, rewards = jax.lax.scan(once, state, None, self.repeat)
        return after, Step(self._seen(after), jnp.sum(rewards), after.done > 0, jnp.bool_(False))

    def _seen(self, state: Any) -> jax.Array:
        return state.obs if self.key is None else state.obs[self.key]


def _copied(state: Any) -> Any:
    """The state in dicts of its own, since steps write to those they are given, and as arrays of full type."""
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.result_type(leaf)), state)
