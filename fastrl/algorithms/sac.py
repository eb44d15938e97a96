"""Soft actor-critic with a REDQ ensemble at high UTD (WSRL, Algorithm 1).

What is shared with CQL stands here as functions of the configuration. Knows nothing of
environments, replay and phases.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from fastrl.algorithms import losses, rows
from fastrl.algorithms.optimizer import AdamState, Optimizer, adam
from fastrl.algorithms.schedule import Steps, updates
from fastrl.config import SAC, ActorCritic
from fastrl.networks import critics, policy
from fastrl.types import Algorithm, Key, Metrics, Spec, Transition, UserError


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class SACState:
    """Everything SAC learns."""

    actor: policy.Actor
    critic: critics.Critic
    target_critic: critics.Critic
    temperature: jax.Array  # [], before softplus or exp
    actor_opt: AdamState
    critic_opt: AdamState
    temperature_opt: AdamState


def sac(config: SAC, spec: Spec, row_chunk: int | None = None) -> Algorithm:
    """SAC for this environment; `row_chunk` rows at a time go through the ensemble (None: all)."""
    check(config)

    def init(key: Key) -> SACState:
        return SACState(**initial(config, spec, key))

    def act(state: SACState, obs: jax.Array, key: Key, explore: bool) -> jax.Array:
        return policy.choose(state.actor, config, obs, key, explore)

    def critic(state: SACState, batch: Transition, key: Key) -> tuple[critics.Critic, Metrics]:
        return critic_gradient(config, state, batch, key, row_chunk)

    def actor(state: SACState, batch: Transition, key: Key) -> tuple[Any, Metrics]:
        return actor_gradient(config, state, batch, key, row_chunk)

    return Algorithm(init, act, updates(steps(config, critic, actor)))


def check(config: SAC) -> None:
    """Refuses a subset larger than the ensemble."""
    if not 1 <= config.subset_size <= config.num_critics:
        raise UserError(
            f"subset_size is {config.subset_size} but num_critics is {config.num_critics}:"
            " choose a subset of 1 to num_critics critics"
        )


def scalar_adam(rate: float) -> Optimizer:
    """Adam of a learned multiplier: no decay, no clipping, no schedule."""
    return adam(rate, ActorCritic())


def initial(config: SAC, spec: Spec, key: Key) -> dict[str, Any]:
    """The fields of a fresh SACState by name; the target starts as a copy of the critic."""
    actor_key, critic_key = jax.random.split(key)
    actor = policy.actor_init(actor_key, config, spec.obs_size, spec.action_size)
    critic = critics.critic_init(
        critic_key,
        spec.obs_size,
        spec.action_size,
        config.critic_hidden,
        config.num_critics,
        config.layer_norm,
        config.kernel_scale_final,
        config.shared_head,
    )
    temperature = losses.positive_inverse(config.initial_temperature, config.temperature_form)
    return {
        "actor": actor,
        "critic": critic,
        "target_critic": jax.tree.map(jnp.copy, critic),
        "temperature": temperature,
        "actor_opt": adam(config.actor_lr, config).init(actor),
        "critic_opt": adam(config.critic_lr, config).init(critic),
        "temperature_opt": scalar_adam(config.temperature_lr).init(temperature),
    }


def td_target(config: SAC, state: Any, batch: Transition, key: Key, row_chunk: int | None) -> jax.Array:
    """The critics' target [B]; only the drawn target critics are evaluated (REDQ, line 7)."""
    noise_key, subset_key = jax.random.split(key)
    count = config.backup_actions if config.backup == "max_actions" else 1
    noise = jax.random.normal(noise_key, (*batch.action.shape[:-1], count, batch.action.shape[-1]))
    target = state.target_critic
    if config.backup != "max_critics":
        subset = critics.draw_subset(subset_key, config.num_critics, config.subset_size, config.subset_replacement)
        target = critics.members(target, subset)
    temperature = losses.positive(state.temperature, config.temperature_form)

    def next_value(xs: tuple[jax.Array, jax.Array]) -> jax.Array:
        obs, noise = xs
        action, log_prob = policy.candidates(policy.distribution(state.actor, config, obs), noise)
        q = critics.q_candidates(target, obs, action)
        q = q.max(0) if config.backup == "max_critics" else q.min(0)
        return (q - temperature * log_prob if config.backup_entropy else q).max(-1)

    chunk = None if row_chunk is None else max(1, row_chunk // count)
    value = rows.apply(next_value, (batch.next_obs, noise), chunk)
    return losses.bellman_target(batch.reward, batch.mask, value, config.discount)


def critic_gradient(
    config: SAC, state: Any, batch: Transition, key: Key, row_chunk: int | None
) -> tuple[critics.Critic, Metrics]:
    """Gradient of the TD error of all critics."""
    target = td_target(config, state, batch, key, row_chunk)

    def loss(critic: critics.Critic, xs: Any) -> tuple[jax.Array, Metrics]:
        obs, action, target = xs
        q = critics.q_values(critic, obs, action)
        return losses.squared_error(q, target), {"critic/q": q.mean()}

    xs = (batch.obs, batch.action, target)
    grads, value, metrics = rows.gradient(loss, state.critic, xs, row_chunk)
    return grads, metrics | {"critic/loss": value, "critic/target": target.mean()}


def actor_gradient(
    config: SAC, state: Any, batch: Transition, key: Key, row_chunk: int | None
) -> tuple[tuple[policy.Actor, jax.Array], Metrics]:
    """Gradients of actor and temperature; none reaches the critics (WSRL, Algorithm 1, line 12)."""
    noise_key, next_key, dropout_key = jax.random.split(key, 3)
    temperature = losses.positive(state.temperature, config.temperature_form)

    def loss(actor: policy.Actor, xs: Any) -> tuple[jax.Array, Metrics]:
        batch, noise, next_noise, keys = xs
        dist = policy.distribution(actor, config, batch.obs, None if keys is None else keys[0])
        action, log_prob = policy.squashed_sample(dist, noise)
        q = critics.q_values(state.critic, batch.obs, action)
        q = q.min(0) if config.actor_q == "min" else q.mean(0)
        value = (temperature * log_prob - q).mean()
        if config.bc_weight:
            data = policy.squashed_log_prob(dist, batch.action).mean()
            value = (1.0 - config.bc_weight) * value - config.bc_weight * data
        if config.temperature_obs == "next":
            dist = policy.distribution(state.actor, config, batch.next_obs)
            _, log_prob = policy.squashed_sample(dist, next_noise)
        return value, {"actor/entropy": -log_prob.mean(), "actor/q": q.mean()}

    noise = jax.random.normal(noise_key, batch.action.shape)
    next_noise = jax.random.normal(next_key, batch.action.shape)
    xs = (batch, noise, next_noise, policy.dropout_keys(config, dropout_key, len(noise)))
    grads, value, metrics = rows.gradient(loss, state.actor, xs, row_chunk)
    goal = config.target_entropy
    excess = metrics["actor/entropy"] - (-batch.action.shape[-1] if goal is None else goal)
    slope = jax.grad(losses.positive)(state.temperature, config.temperature_form)
    metrics = metrics | {"actor/loss": value, "temperature/value": temperature}
    return (grads, slope * excess), metrics


def steps(config: SAC, critic: Any, actor: Any) -> Steps:
    """The order of updates with these gradients; ghost Adam steps resting networks on zeros."""
    actor_adam = adam(config.actor_lr, config)
    critic_adam = adam(config.critic_lr, config)
    temperature_adam = scalar_adam(config.temperature_lr)

    def apply_critic(state: Any, grads: critics.Critic) -> Any:
        new, opt, target = critic_adam.step(state.critic, grads, state.critic_opt, state.target_critic)
        return dataclasses.replace(state, critic=new, critic_opt=opt, target_critic=target)

    def apply_actor(state: Any, grads: tuple[policy.Actor, jax.Array]) -> Any:
        actor, actor_opt, _ = actor_adam.step(state.actor, grads[0], state.actor_opt)
        raw, opt, _ = temperature_adam.step(state.temperature, grads[1], state.temperature_opt)
        return dataclasses.replace(state, actor=actor, actor_opt=actor_opt, temperature=raw, temperature_opt=opt)

    if not config.ghost_adam:
        return Steps(critic, apply_critic, actor, apply_actor)

    def rest_critic(state: Any) -> Any:
        zeros = jax.tree.map(jnp.zeros_like, state.critic)
        new, opt, _ = critic_adam.step(state.critic, zeros, state.critic_opt)
        return dataclasses.replace(state, critic=new, critic_opt=opt)

    def rest_actor(state: Any) -> Any:
        zeros = jax.tree.map(jnp.zeros_like, (state.actor, state.temperature))
        return apply_actor(state, zeros)

    return Steps(critic, apply_critic, actor, apply_actor, rest_critic, rest_actor)
