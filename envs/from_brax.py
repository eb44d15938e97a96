"""brax's tasks as `brax:NAME`. It imports brax, so only the registry imports it, on demand.

brax's episode wrapper and its auto-reset are not used. Its tasks are not Gymnasium's: models, physics and rewards
are brax's own, so a return here is a raw return and no score of a paper.
"""

import contextlib
import dataclasses
import io
import warnings
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp

from fastrl.errors import told, unknown
from fastrl.types import Key, Spec, Step, UserError


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Brax warns that it and what it imports are no longer maintained, and promotes ranks."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), jax.numpy_rank_promotion("allow"):
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def _theirs(failure: str) -> Iterator[None]:
    """Runs brax's own code quietly; what it raises becomes one line."""
    try:
        with _quiet():
            yield
    except Exception as error:
        raise UserError(f"{failure}: {told(error)}") from error


with _quiet():
    from brax import envs as brax_envs

BACKENDS = ("generalized", "positional", "spring", "mjx")
HORIZON = 1000
"""brax's default length of an episode, steps."""


def make(identity: str, backend: str = "generalized") -> "Brax":
    """Brax's environment `identity` on one of its physics; `generalized` is brax's own default for every task."""
    known = [name for name in brax_envs._envs if name != "fast"]  # a stand-in of brax's own tests, without physics
    if identity not in known:
        raise unknown("brax environment", identity, known)
    if backend not in BACKENDS:
        raise unknown("brax backend", backend, BACKENDS)
    with _theirs(f"brax:{identity} cannot be made on backend {backend!r}"):  # not every task has every backend
        env = brax_envs.get_environment(identity, backend=backend)
        obs_size = jax.eval_shape(env.reset, jax.random.key(0)).obs.size
    spec = Spec(
        name=f"brax:{identity}",
        obs_size=obs_size,
        action_size=env.action_size,
        horizon=HORIZON,
        backend=f"brax {backend}",
    )
    return Brax(spec, env)


@dataclasses.dataclass(frozen=True, eq=False)
class Brax:
    """A brax environment without wrappers. Its agents act in [-1, 1]; the state is brax's, without metrics."""

    spec: Spec
    env: Any  # brax's environment

    def reset(self, key: Key) -> tuple[Any, jax.Array]:
        """Brax's reset: (its state, obs [O])."""
        with _theirs(f"{self.spec.name} cannot be reset on {self.spec.backend}"):
            state = _kept(self.env.reset(key))
        return state, state.obs

    def step(self, key: Key, state: Any, action: jax.Array) -> tuple[Any, Step]:
        """Brax's step, which draws no random numbers; brax's `done` is a termination."""
        del key
        with _theirs(f"{self.spec.name} cannot be stepped on {self.spec.backend}"):
            after = _kept(self.env.step(state.replace(metrics={}), action))
        return after, Step(after.obs, after.reward, after.done > 0, jnp.bool_(False))


def _kept(state: Any) -> Any:
    """The state without metrics, which brax's steps write in place, and as arrays of full type."""
    kept = state.replace(metrics={})
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.result_type(leaf)), kept)
