"""Q(s, a) and V(s) as flax modules, and the ensemble of critics with REDQ's subsets."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from fastrl.errors import told
from fastrl.networks.trunk import GAIN, Initializer, Scalar, Trunk, orthogonal
from fastrl.types import Key, Params, UserError


class Critic(nn.Module):
    """One Q function: obs [B, O], action [B, A] -> [B]."""

    obs_size: int
    action_size: int
    widths: tuple[int, ...]
    layer_norm: bool = False
    gain: float = GAIN
    final_gain: float | None = None
    initializer: Initializer = orthogonal

    def setup(self) -> None:
        """Declares trunk and head."""
        self.trunk = Trunk(
            *(self.obs_size + self.action_size, self.widths, self.layer_norm, self.gain, self.final_gain),
            initializer=self.initializer,
        )
        self.head = Scalar(self.widths[-1])

    def __call__(self, obs: jax.Array, action: jax.Array) -> jax.Array:
        """Q(s, a)."""
        return self.trunk.headed(jnp.concatenate([obs, action], -1), self.head)

    def candidates(self, obs: jax.Array, actions: jax.Array) -> jax.Array:
        """Q of K actions a row: obs [B, O], actions [B, K, A] -> [B, K]."""
        return self.head(self.trunk.pairs(obs, actions)).reshape(actions.shape[:-1])


class Value(nn.Module):
    """One state value: obs [B, O] -> [B]."""

    obs_size: int
    widths: tuple[int, ...]
    layer_norm: bool = False
    activation: Callable[[jax.Array], jax.Array] = nn.relu
    initializer: Initializer = orthogonal

    def setup(self) -> None:
        """Declares trunk and head."""
        self.trunk = Trunk(
            self.obs_size, self.widths, self.layer_norm, activation=self.activation, initializer=self.initializer
        )
        self.head = Scalar(self.widths[-1])

    def __call__(self, obs: jax.Array) -> jax.Array:
        """V(s)."""
        return self.trunk.headed(obs, self.head)


@dataclasses.dataclass(frozen=True)
class Ensemble:
    """N critics of one module: their parameters have a leading axis N, that of a shared part is 1."""

    module: nn.Module
    members: int
    shared: tuple[str, ...] = ()  # parts of the module's parameters that all critics share, as `head`

    def init(self, key: Key, obs_size: int, action_size: int) -> Params:
        """N independent critics."""
        example = (jnp.zeros((1, obs_size)), jnp.zeros((1, action_size)))

        def one(key: Key) -> Params:
            return self.module.init(key, *example)["params"]

        params = jax.vmap(one)(jax.random.split(key, self.members))
        return {name: jax.tree.map(lambda x: x[:1], p) if name in self.shared else p for name, p in params.items()}

    def q(self, params: Params, obs: jax.Array, action: jax.Array) -> jax.Array:
        """Q of all critics: obs [B, O], action [B, A] -> [N, B]."""
        return self._each(params, lambda one, *x: self.module.apply({"params": one}, *x), obs, action)

    def reduced(self, params: Params, obs: jax.Array, action: jax.Array, how: str) -> jax.Array:
        """The minimum (`min`) or else the mean of Q over all critics: obs [B, O], action [B, A] -> [B]."""
        q = self.q(params, obs, action)
        return q.min(0) if how == "min" else q.mean(0)

    def candidates(self, params: Params, obs: jax.Array, actions: jax.Array) -> jax.Array:
        """Q of K actions a row: obs [B, O], actions [B, K, A] -> [N, B, K]."""
        if hasattr(self.module, "candidates"):
            each = lambda one, *x: self.module.apply({"params": one}, *x, method="candidates")
            return self._each(params, each, obs, actions)
        rows, count, size = actions.shape
        repeated, flat = jnp.repeat(obs, count, axis=0), actions.reshape(rows * count, size)
        return self.q(params, repeated, flat).reshape(-1, rows, count)

    def subset(self, params: Params, index: jax.Array | None) -> Params:
        """The critics at these indices [n] (None: all); the parameters are gathered, the others never run."""
        if index is None:
            return params
        take = lambda leaf: leaf[index]
        return {name: p if name in self.shared else jax.tree.map(take, p) for name, p in params.items()}

    def _each(self, params: Params, call: Callable[..., Any], *inputs: jax.Array) -> Any:
        """`call` of every critic's own parameters and the same inputs, [N, ...].

        The inputs are repeated for each critic: a product of one matrix with a batch of kernels would cost a transpose
        of the activations in its gradient, 5 % of it on a CPU.
        """
        axes = {name: None if name in self.shared else 0 for name in params}
        squeezed = {name: jax.tree.map(lambda x: x[0], p) if name in self.shared else p for name, p in params.items()}
        members = next(len(jax.tree.leaves(p)[0]) for name, p in params.items() if name not in self.shared)
        repeated = [jnp.broadcast_to(x, (members, *x.shape)) for x in inputs]
        return jax.vmap(call, (axes, *(0 for _ in inputs)))(squeezed, *repeated)


def value(module: nn.Module, params: Params, obs: jax.Array) -> Any:
    """V(s) of a `Value`'s parameters: obs [B, O] -> [B]."""
    return module.apply({"params": params}, obs)


def draw_subset(key: Key, num_critics: int, size: int, replacement: bool) -> jax.Array | None:
    """Indices [size] of a random subset (REDQ), None if it is all of them."""
    if replacement:
        return jax.random.randint(key, (size,), 0, num_critics)
    return None if size == num_critics else jax.random.permutation(key, num_critics)[:size]


def check(module: Any, obs_size: int, action_size: int) -> None:
    """Refuses a critic of the user's that is no module, or does not give one number a row."""
    if not isinstance(module, nn.Module):
        raise UserError(f"critic: {module!r} is no flax.linen module; hand over one, or a function of the spec")
    example = (jax.ShapeDtypeStruct((3, obs_size), jnp.float32), jax.ShapeDtypeStruct((3, action_size), jnp.float32))
    try:
        found = jax.eval_shape(lambda *x: module.init_with_output(jax.random.key(0), *x)[0], *example)
    except Exception as error:
        raise UserError(
            f"critic: {type(module).__name__} cannot be called with obs [B, {obs_size}] and action [B, {action_size}]: "
            f"{told(error)}"
        ) from error
    if getattr(found, "shape", None) != (3,):
        shape = getattr(found, "shape", type(found).__name__)
        raise UserError(f"critic: {type(module).__name__} gives {shape} for 3 rows; a critic gives Q of shape (3,)")
