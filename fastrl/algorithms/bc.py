"""Behaviour cloning: maximum likelihood of the data's actions. One update: one step of the actor on all rows."""

import dataclasses
from typing import Any

import chex
import jax

from fastrl.algorithms import group, parts, step
from fastrl.algorithms.group import Group
from fastrl.methods import BC
from fastrl.networks import policy
from fastrl.types import Algorithm, Clock, Key, Metrics, Params, Spec, Transition


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class BCState:
    """Everything BC learns."""

    actor: Group


def bc(config: BC, spec: Spec) -> Algorithm:
    """BC of SAC's tanh-Gaussian actor for this environment."""
    actor = parts.gaussian(config, spec)
    optimisers = {"actor": parts.optimiser(config, "actor", config.actor_lr, config.warmup_steps)}

    def init(key: Key) -> BCState:
        return BCState(group.start(actor.init(key, spec.obs_size), optimisers["actor"]))

    def act(state: BCState, obs: jax.Array, key: Key, explore: bool) -> jax.Array:
        return actor.act(state.actor.params, obs, key, explore)

    def prepare(state: BCState, batch: Transition, key: Key, clock: Clock) -> Any:
        return batch, policy.dropout_keys(config.dropout, key, batch.reward.shape[0])

    def loss(params: dict[str, Params], state: BCState, xs: Any) -> tuple[jax.Array, Metrics]:
        batch, keys = xs
        dist = actor(params["actor"], batch.obs, None if keys is None else keys[0])
        log_prob = dist.log_prob(batch.action)
        chex.assert_equal_shape([log_prob, batch.reward])
        return -log_prob.mean(), {}

    likelihood = step.together(optimisers, step.gradient_of(("actor",), loss, prepare, "actor/loss"))

    def update(state: BCState, batches: Transition, key: Key, clock: Clock) -> tuple[BCState, Metrics]:
        return likelihood(state, step.union(batches), key, clock)

    return Algorithm(init, act, update, views=parts.policy_view(actor))
