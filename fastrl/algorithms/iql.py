"""Implicit Q-learning: expectile V, TD on V, advantage-weighted regression.

Its own policy is a plain Gaussian; with `squash` a tanh-Gaussian with the structure of SAC's
actor, from which WSRL can start. Knows nothing of datasets and phases.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from fastrl.algorithms import losses, rows
from fastrl.algorithms.optimizer import AdamState, adam
from fastrl.algorithms.schedule import Steps, updates
from fastrl.config import IQL
from fastrl.networks import critics, policy
from fastrl.networks import trunk as mlp
from fastrl.types import Algorithm, Key, Metrics, Spec, Transition


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class IQLState:
    """Everything IQL learns."""

    actor: policy.Actor
    critic: critics.Critic
    target_critic: critics.Critic
    value: critics.Value
    actor_opt: AdamState
    critic_opt: AdamState
    value_opt: AdamState


def iql(config: IQL, spec: Spec, row_chunk: int | None = None) -> Algorithm:
    """IQL for this environment; `row_chunk` as for SAC."""

    def init(key: Key) -> IQLState:
        return initial(config, spec, key)

    def act(state: IQLState, obs: jax.Array, key: Key, explore: bool) -> jax.Array:
        return policy.choose(state.actor, config, obs, key, explore, config.squash)

    def critic(state: IQLState, batch: Transition, key: Key) -> tuple[Any, Metrics]:
        return critic_gradient(config, state, batch, key, row_chunk)

    def actor(state: IQLState, batch: Transition, key: Key) -> tuple[Any, Metrics]:
        return actor_gradient(config, state, batch, key, row_chunk)

    return Algorithm(init, act, updates(steps(config, critic, actor)))


def initial(config: IQL, spec: Spec, key: Key) -> IQLState:
    """A fresh state: uniform Glorot kernels, orthogonal heads."""
    actor_key, critic_key, value_key = jax.random.split(key, 3)
    actor = policy.actor_init(actor_key, config, spec.obs_size, spec.action_size, mlp.glorot)
    critic = critics.critic_init(
        critic_key,
        spec.obs_size,
        spec.action_size,
        config.critic_hidden,
        config.num_critics,
        config.layer_norm,
        initializer=mlp.glorot,
    )
    value = critics.value_init(value_key, spec.obs_size, config.critic_hidden, config.layer_norm, mlp.glorot)
    return IQLState(
        actor,
        critic,
        jax.tree.map(jnp.copy, critic),
        value,
        adam(config.actor_lr, config).init(actor),
        adam(config.critic_lr, config).init(critic),
        adam(config.critic_lr, config).init(value),
    )


def draw_target(config: IQL, state: IQLState, key: Key) -> critics.Critic:
    """The target critics whose minimum stands for Q."""
    subset = critics.draw_subset(key, config.num_critics, config.subset_size, False)
    return critics.members(state.target_critic, subset)


def critic_gradient(
    config: IQL, state: IQLState, batch: Transition, key: Key, row_chunk: int | None
) -> tuple[tuple[critics.Critic, critics.Value], Metrics]:
    """Gradients of TD on the online V and of the expectile regression of V."""
    drawn = draw_target(config, state, key)

    def loss(params: tuple[critics.Critic, critics.Value], xs: Transition) -> Any:
        critic, value = params
        next_value = critics.value(state.value, xs.next_obs)
        target = losses.bellman_target(xs.reward, xs.mask, next_value, config.discount)
        q = critics.q_values(critic, xs.obs, xs.action)
        v = critics.value(value, xs.obs)
        minimum = critics.q_values(drawn, xs.obs, xs.action).min(0)
        td = losses.squared_error(q, target)
        regression = losses.expectile(minimum - v, config.expectile)
        return td + regression, {
            "critic/loss": td,
            "critic/q": q.mean(),
            "value/loss": regression,
            "value/v": v.mean(),
        }

    grads, _, metrics = rows.gradient(loss, (state.critic, state.value), batch, row_chunk)
    return grads, metrics


def actor_gradient(
    config: IQL, state: IQLState, batch: Transition, key: Key, row_chunk: int | None
) -> tuple[policy.Actor, Metrics]:
    """Gradient of the advantage-weighted log-likelihood."""
    subset_key, dropout_key = jax.random.split(key)
    drawn = draw_target(config, state, subset_key)
    log_density = policy.squashed_log_prob if config.squash else policy.gaussian_log_prob

    def loss(actor: policy.Actor, xs: Any) -> tuple[jax.Array, Metrics]:
        batch, keys = xs
        advantage = critics.q_values(drawn, batch.obs, batch.action).min(0)
        advantage = advantage - critics.value(state.value, batch.obs)
        weight = losses.advantage_weight(advantage, config.inverse_temperature, config.max_weight)
        dist = policy.distribution(actor, config, batch.obs, None if keys is None else keys[0])
        log_prob = log_density(dist, batch.action)
        return -(weight * log_prob).mean(), {
            "actor/weight": weight.mean(),
            "actor/log_prob": log_prob.mean(),
        }

    xs = (batch, policy.dropout_keys(config, dropout_key, batch.reward.shape[0]))
    grads, value, metrics = rows.gradient(loss, state.actor, xs, row_chunk)
    return grads, metrics | {"actor/loss": value}


def steps(config: IQL, critic: Any, actor: Any) -> Steps:
    """The order of updates: V is stepped with the critics."""
    actor_adam = adam(config.actor_lr, config)
    critic_adam = adam(config.critic_lr, config)

    def apply_critic(state: IQLState, grads: tuple[critics.Critic, critics.Value]) -> IQLState:
        new, opt, target = critic_adam.step(state.critic, grads[0], state.critic_opt, state.target_critic)
        value, value_opt, _ = critic_adam.step(state.value, grads[1], state.value_opt)
        return dataclasses.replace(
            state,
            critic=new,
            critic_opt=opt,
            target_critic=target,
            value=value,
            value_opt=value_opt,
        )

    def apply_actor(state: IQLState, grads: policy.Actor) -> IQLState:
        actor, opt, _ = actor_adam.step(state.actor, grads, state.actor_opt)
        return dataclasses.replace(state, actor=actor, actor_opt=opt)

    return Steps(critic, apply_critic, actor, apply_actor)
