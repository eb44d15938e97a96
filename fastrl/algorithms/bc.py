"""Behaviour cloning of SAC's tanh-Gaussian actor: maximum likelihood of the data's actions."""

import dataclasses
from typing import Any

import jax

from fastrl.algorithms import rows
from fastrl.algorithms.optimizer import AdamState, adam
from fastrl.config import BC
from fastrl.networks import policy
from fastrl.types import Algorithm, Key, Metrics, Spec, Transition


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class BCState:
    """Everything BC learns."""

    actor: policy.Actor
    actor_opt: AdamState


def bc(config: BC, spec: Spec, row_chunk: int | None = None) -> Algorithm:
    """BC for this environment; `row_chunk` rows at a time."""
    optimizer = adam(config.actor_lr, config)

    def init(key: Key) -> BCState:
        actor = policy.actor_init(key, config, spec.obs_size, spec.action_size)
        return BCState(actor, optimizer.init(actor))

    def act(state: BCState, obs: jax.Array, key: Key, explore: bool) -> jax.Array:
        return policy.choose(state.actor, config, obs, key, explore)

    def loss(actor: policy.Actor, xs: Any) -> tuple[jax.Array, Metrics]:
        batch, keys = xs
        dist = policy.distribution(actor, config, batch.obs, None if keys is None else keys[0])
        return -policy.squashed_log_prob(dist, batch.action).mean(), {}

    def update(state: BCState, batches: Transition, key: Key) -> tuple[BCState, Metrics]:
        batch = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), batches)
        xs = (batch, policy.dropout_keys(config, key, batch.reward.shape[0]))
        grads, value, _ = rows.gradient(loss, state.actor, xs, row_chunk)
        actor, opt, _ = optimizer.step(state.actor, grads, state.actor_opt)
        return dataclasses.replace(state, actor=actor, actor_opt=opt), {"actor/loss": value}

    return Algorithm(init, act, update)
