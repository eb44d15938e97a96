"""Adam behind optax's interface, with the Polyak average of a target in the same pass over the numbers.

Any `optax.GradientTransformation` may stand in its place (`fastrl.algorithms.group.descend`).
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from fastrl.errors import told
from fastrl.kernels import update
from fastrl.types import Params, UserError

Schedule = Callable[[jax.Array], Any]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class AdamState:
    """Adam's moments, shaped like the parameters, and the number of steps taken."""

    first: Params
    second: Params
    count: jax.Array  # [] int32


@dataclasses.dataclass(frozen=True)
class Adam:
    """Adam (AdamW, clipped, scheduled): `init` and `update` as in optax, and `step` in one pass."""

    rate: Schedule  # the learning rate by the number of steps taken
    weight_decay: Any = 0.0  # decoupled
    grad_clip: Any = None  # the global norm at which gradients are clipped
    eps: float = update.EPS

    def init(self, params: Params) -> AdamState:
        """Moments of zero."""
        zeros = lambda: jax.tree.map(jnp.zeros_like, params)
        return AdamState(zeros(), zeros(), jnp.zeros((), jnp.int32))

    def update(self, grads: Params, state: AdamState, params: Params) -> tuple[Params, AdamState]:
        """Optax's interface: what is to be added to the parameters, and the new state."""
        new, state, _ = self.step(params, grads, state)
        return jax.tree.map(jnp.subtract, new, params), state

    def step(
        self, params: Params, grads: Params, state: AdamState, target: Params | None = None, tau: Any = 0.0
    ) -> tuple[Params, AdamState, Params | None]:
        """New parameters, state and target; the target moves by `tau` towards the new parameters."""
        if self.grad_clip is not None:
            norm = optax.tree.norm(grads)
            factor = jnp.minimum(1.0, self.grad_clip / jnp.maximum(norm, 1e-12))
            grads = jax.tree.map(lambda g: g * factor, grads)
        count = state.count + 1
        grads, scalars = update.apart(grads, scalars_of(self, state.count, count, tau))
        leaves, tree = jax.tree.flatten(params)
        others = (grads, state.first, state.second, params if target is None else target)
        columns = zip(leaves, *(jax.tree.leaves(other) for other in others))
        results = [update.adam_polyak(p, g, m, v, t, scalars, self.eps) for p, g, m, v, t in columns]
        new = update.Updated(*(jax.tree.unflatten(tree, list(x)) for x in zip(*results)))
        return new.param, AdamState(new.first, new.second, count), None if target is None else new.target


def scalars_of(adam: Adam, before: jax.Array, count: jax.Array, tau: Any) -> update.Scalars:
    """What step number `count`, of which `before` were taken, is about."""
    return update.Scalars(
        jnp.asarray(adam.rate(before), jnp.float32),
        1.0 - update.B1 ** count.astype(jnp.float32),
        1.0 - update.B2 ** count.astype(jnp.float32),
        jnp.asarray(adam.weight_decay, jnp.float32),
        jnp.asarray(0.0 if tau is None else tau, jnp.float32),
    )


def constant(rate: Any) -> Schedule:
    """The same learning rate at every step."""
    return lambda count: rate


def scheduled(rate: Any, warmup: int = 0, cosine: int | None = None, linear: int | None = None) -> Schedule:
    """A linear rise over `warmup` steps, then constant, or a cosine or straight line to 0 at `cosine` or `linear`."""
    length = cosine if cosine is not None else linear
    if length is not None and length <= warmup:
        raise UserError(f"a learning rate that falls to 0 at step {length} must be above its {warmup} steps of warm-up")

    def at(count: jax.Array) -> jax.Array:
        factor = jnp.ones((), jnp.float32)
        if length is not None:
            done = jnp.clip((count - warmup) / (length - warmup), 0.0, 1.0)
            factor = 0.5 * (1.0 + jnp.cos(jnp.pi * done)) if cosine is not None else 1.0 - done
        if warmup:
            factor = jnp.where(count < warmup, count / warmup, factor)
        return rate * factor

    return at


def adam(rate: Any, options: Any = None, warmup: int = 0, name: str = "critic") -> Adam:
    """Adam of `name` (actor or critic) with the decay, clipping and schedule of an algorithm's options, else plain."""
    if options is None:
        return Adam(constant(rate))
    return Adam(scheduled(rate, warmup, options.cosine_steps), options.weight_decay, clip_of(options, name))


def clip_of(options: Any, name: str) -> Any:
    """The norm at which the gradient of `name` (actor or critic) is clipped; None if it is not."""
    own = options.actor_grad_clip if name == "actor" else None
    return options.grad_clip if own is None else own


def check(name: str, optimizer: Any) -> None:
    """Refuses an optimiser of the user's that has not optax's two functions."""
    if not (callable(getattr(optimizer, "init", None)) and callable(getattr(optimizer, "update", None))):
        raise UserError(
            f"{name}: {optimizer!r} is no optimiser; hand over an optax.GradientTransformation, as optax.adam(3e-4)"
        )
    try:
        params = {"w": jnp.ones(2)}
        updates, _ = optimizer.update(params, optimizer.init(params), params)
        good = [x.shape for x in jax.tree.leaves(updates)] == [(2,)]
    except Exception as error:
        raise UserError(f"{name}: the optimiser fails on two numbers: {told(error)}") from error
    if not good:
        raise UserError(f"{name}: the optimiser's update is not shaped as the parameters; optax's transformations are")


@dataclasses.dataclass(frozen=True)
class PerMember:
    """An optimiser of networks with a leading axis [N], with a state (and clipping) for each."""

    inner: Any

    def init(self, params: Params) -> Any:
        """States [N]."""
        return jax.vmap(self.inner.init)(params)

    def update(self, grads: Params, state: Any, params: Params) -> tuple[Params, Any]:
        """Optax's interface: what is to be added to the parameters, and the new states."""
        return jax.vmap(self.inner.update)(grads, state, params)
