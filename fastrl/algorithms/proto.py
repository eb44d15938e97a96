"""PROTO (arXiv 2305.15669) on SAC: from an offline policy on, a pull to the average of its own last policies.

One update: a step of the critics, whose target has the entropy and the divergence of the policy pi from pi_k in it;
then one of actor and temperature, with the critics just stepped and the same two terms; then pi_k, the actor's target,
moves towards pi. The weight of the divergence, eta_t, falls on a line over environment steps. pi is a plain Gaussian
with a tanh on its mean: densities, and Q, are of its samples as drawn, and the environment gets them clipped.
"""

import dataclasses
from typing import Any

import chex
import jax
import jax.numpy as jnp

from fastrl.algorithms import group, losses, multipliers, parts, reference, sac, step
from fastrl.algorithms.parts import Networks
from fastrl.algorithms.sac import SACState
from fastrl.algorithms.step import Gradients
from fastrl.config import ActorCritic
from fastrl.methods import PROTO, Regularised
from fastrl.networks import critics, trunk
from fastrl.types import Algorithm, Clock, Key, Metrics, Params, Spec, Transition


def proto(config: PROTO, spec: Spec) -> Algorithm:
    """PROTO for this environment."""
    sac.check(config)
    config = dataclasses.replace(config, temperature_form="exp")
    net, optimisers = networks(config, spec), sac.optimisers_of(config)

    def init(key: Key) -> SACState:
        groups = sac.initial(config, spec, net, optimisers, key)
        return SACState(**groups | {"actor": group.synchronise(groups["actor"])})  # pi_k starts as pi

    def act(state: SACState, obs: jax.Array, key: Key, explore: bool) -> jax.Array:
        return net.actor.act(state.actor.params, obs, key, explore)

    critic = step.together(optimisers, critic_loss(config, net), tau=config.tau, targets=("critic",))
    rest = step.together(optimisers, actor_loss(config, net), tau=config.regularization_tau, targets=("actor",))
    return Algorithm(init, act, sac.sequential(config, critic, rest), views=parts.views(net))


def networks(config: ActorCritic, spec: Spec) -> Networks:
    """Those of XQL."""
    return parts.networks(config, spec, squash=False, tanh_mean=True, initializer=trunk.glorot)


def weight(config: Regularised, clock: Clock) -> jax.Array:
    """eta_t [], on a line from `regularization_weight` to 0 (PROTO, annealing)."""
    return config.regularization_weight * multipliers.decay(clock.step, config.regularization_steps)


def divergence(net: Networks, state: SACState, obs: jax.Array, action: jax.Array, log_prob: jax.Array) -> jax.Array:
    """`log pi(a|s) - log pi_k(a|s)` [B] of a fresh sample, as it was drawn."""
    return reference.sampled_kl(log_prob, net.actor(state.actor.target, obs).log_prob(action), floor=-jnp.inf)


def td_target(config: PROTO, net: Networks, state: SACState, batch: Transition, key: Key, eta: jax.Array) -> jax.Array:
    """`r + g (1 - d) [min_i psi_i(s', a') - alpha log pi(a'|s') - eta (log pi - log pi_k)(a'|s')]` [B], a' ~ pi(s')."""
    noise_key, subset_key = jax.random.split(key)
    noise = jax.random.normal(noise_key, batch.action.shape)
    action, log_prob = net.actor(state.actor.params, batch.next_obs).sample_log_prob(noise)
    drawn = critics.draw_subset(subset_key, config.num_critics, config.subset_size, config.subset_replacement)
    value = net.critic.q(net.critic.subset(state.critic.target, drawn), batch.next_obs, action).min(0)
    if config.backup_regularization:
        away = divergence(net, state, batch.next_obs, action, log_prob)
        value = value - jnp.exp(state.temperature.params) * log_prob - eta * away
    return losses.bellman_target(batch.reward, batch.mask, value, config.discount)


def critic_loss(config: PROTO, net: Networks) -> Gradients:
    """The TD error of all critics."""

    def prepare(state: SACState, batch: Transition, key: Key, clock: Clock) -> Any:
        return batch.obs, batch.action, td_target(config, net, state, batch, key, weight(config, clock))

    return step.gradient_of(("critic",), sac.temporal_difference(net), prepare, "critic/loss")


def actor_loss(config: PROTO, net: Networks) -> Gradients:
    """`mean(alpha log pi - mean_i phi_i + eta (log pi - log pi_k))`, and the temperature beside it."""

    def gradients(state: SACState, batch: Transition, key: Key, clock: Clock) -> tuple[dict[str, Params], Metrics]:
        eta = weight(config, clock)
        goal = -0.5 * batch.action.shape[-1] if config.target_entropy is None else config.target_entropy

        def loss(params: dict[str, Params], state: SACState, xs: Any) -> tuple[jax.Array, Metrics]:
            obs, noise = xs
            temperature = jnp.exp(state.temperature.params)
            action, log_prob = net.actor(params["actor"], obs).sample_log_prob(noise)
            q = net.critic.reduced(state.critic.params, obs, action, config.actor_q)
            away = divergence(net, state, obs, action, log_prob)
            chex.assert_equal_shape([q, log_prob, away])
            value = (temperature * log_prob - q + eta * away).mean()
            found = {"actor/loss": value, "actor/q": q.mean(), "actor/entropy": -log_prob.mean()}
            found |= {"temperature/value": temperature, "regularization/divergence": away.mean()}
            found |= {"regularization/weight": eta}
            return value + multipliers.dual(params["temperature"], -log_prob - goal), found

        def prepare(state: SACState, batch: Transition, key: Key, clock: Clock) -> Any:
            return batch.obs, jax.random.normal(key, batch.action.shape)

        both = step.gradient_of(("actor", "temperature"), loss, prepare)
        return both(state, batch, key, clock)

    return gradients
