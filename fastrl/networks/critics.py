"""The Q ensemble, REDQ's subset of it, and the state value V. Knows no losses."""

import dataclasses

import jax
import jax.numpy as jnp

from fastrl.kernels import ensemble
from fastrl.networks import trunk as mlp
from fastrl.types import Key


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Critic:
    """N critics in one. Arrays have a leading axis N; the head's is 1 if all critics share it."""

    trunk: mlp.Trunk
    head: mlp.Dense  # kernel [N or 1, H], bias [N or 1]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Value:
    """A state value."""

    trunk: mlp.Trunk
    head: mlp.Dense  # kernel [H], bias []


def head_init(key: Key, width: int) -> mlp.Dense:
    """A linear head with one output."""
    head = mlp.dense_init(key, width, 1)
    return mlp.Dense(head.kernel[:, 0], head.bias[0])


def critic_init(
    key: Key,
    obs_size: int,
    action_size: int,
    widths: tuple[int, ...],
    num_critics: int,
    layer_norm: bool,
    final_gain: float | None = None,
    shared_head: bool = False,
    initializer: mlp.Initializer = mlp.orthogonal,
) -> Critic:
    """N independent critics of (obs, action)."""
    trunk_key, head_key = jax.random.split(key)

    def trunk(key: Key) -> mlp.Trunk:
        return mlp.trunk_init(key, obs_size + action_size, widths, layer_norm, final_gain, initializer)

    heads = jax.random.split(head_key, 1 if shared_head else num_critics)
    return Critic(
        jax.vmap(trunk)(jax.random.split(trunk_key, num_critics)),
        jax.vmap(lambda key: head_init(key, widths[-1]))(heads),
    )


def value_init(
    key: Key,
    obs_size: int,
    widths: tuple[int, ...],
    layer_norm: bool,
    initializer: mlp.Initializer = mlp.orthogonal,
) -> Value:
    """A state value of obs."""
    trunk_key, head_key = jax.random.split(key)
    trunk = mlp.trunk_init(trunk_key, obs_size, widths, layer_norm, None, initializer)
    return Value(trunk, head_init(head_key, widths[-1]))


def q_values(critic: Critic, obs: jax.Array, action: jax.Array) -> jax.Array:
    """Q of all critics: obs [B, O], action [B, A] -> [N, B]. Layer 1 is one GEMM."""
    first = critic.trunk[0]
    x = ensemble.ensemble_dense_shared(jnp.concatenate([obs, action], -1), first.dense.kernel, first.dense.bias)
    return rest(critic, x)


def q_candidates(critic: Critic, obs: jax.Array, actions: jax.Array) -> jax.Array:
    """Q of K actions per row: obs [B, O], actions [B, K, A] -> [N, B, K].

    The observation's part of layer 1 is computed once per row and shared by its K actions.
    """
    first = critic.trunk[0].dense
    rows, count, _ = actions.shape
    of_obs = ensemble.ensemble_dense_shared(obs, first.kernel[:, : obs.shape[-1]], first.bias)
    of_action = ensemble.ensemble_dense_shared(
        actions.reshape(rows * count, -1),
        first.kernel[:, obs.shape[-1] :],
        jnp.zeros_like(first.bias),
    )
    members, _, width = of_obs.shape
    x = of_obs[:, :, None] + of_action.reshape(members, rows, count, width)
    return rest(critic, x.reshape(members, rows * count, width)).reshape(members, rows, count)


def rest(critic: Critic, x: jax.Array) -> jax.Array:
    """Everything after layer 1's affine map: pre-activations [N, B, H] -> Q [N, B]."""
    x = mlp.activate(critic.trunk[0], x)
    x = mlp.trunk_apply(critic.trunk[1:], x)
    return (x * critic.head.kernel[:, None, :]).sum(-1) + critic.head.bias[:, None]


def value(params: Value, obs: jax.Array) -> jax.Array:
    """V(obs): [B, O] -> [B]."""
    features = mlp.trunk_apply(params.trunk, obs)
    return features @ params.head.kernel + params.head.bias


def members(critic: Critic, index: jax.Array | None) -> Critic:
    """The critics at these indices [n] (None: all); the parameters are gathered, others never run."""
    if index is None:
        return critic
    shared = critic.head.bias.shape[0] == 1
    take = lambda leaf: leaf[index]
    return Critic(
        jax.tree.map(take, critic.trunk),
        critic.head if shared else jax.tree.map(take, critic.head),
    )


def draw_subset(key: Key, num_critics: int, size: int, replacement: bool) -> jax.Array | None:
    """Indices [size] of a random subset (REDQ), None if it is all of them."""
    if replacement:
        return jax.random.randint(key, (size,), 0, num_critics)
    return None if size == num_critics else jax.random.permutation(key, num_critics)[:size]
