"""Advantage-weighted actor-critic (AWAC, Nair et al. 2020, arXiv 2006.09359).

One update: a step of the critics on SAC's target without entropy, whose targets then move; with these critics one of
the actor, which raises the likelihood of the batch's actions, the more the better they are than its own.
"""

import dataclasses
from typing import Any

import chex
import jax
import jax.numpy as jnp

from fastrl.algorithms import group, losses, parts, rows, step
from fastrl.algorithms.group import Group
from fastrl.algorithms.parts import Networks
from fastrl.algorithms.sac import temporal_difference
from fastrl.algorithms.step import Gradients
from fastrl.methods import AWAC
from fastrl.types import Algorithm, Clock, Key, Metrics, Params, Spec, Transition


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class AWACState:
    """Everything AWAC learns."""

    actor: Group
    critic: Group  # with a target


def awac(config: AWAC, spec: Spec) -> Algorithm:
    """AWAC for this environment."""
    net = networks(config, spec)
    optimisers = parts.actor_critic_optimisers(config)

    def init(key: Key) -> AWACState:
        actor_key, critic_key = jax.random.split(key)
        critic = net.critic.init(critic_key, spec.obs_size, spec.action_size)
        return AWACState(
            group.start(net.actor.init(actor_key, spec.obs_size), optimisers["actor"]),
            group.start(critic, optimisers["critic"], target=True),
        )

    def act(state: AWACState, obs: jax.Array, key: Key, explore: bool) -> jax.Array:
        return net.actor.act(state.actor.params, obs, key, explore)

    update = step.chain(
        step.together(optimisers, critic_loss(config, net), tau=config.tau, targets=("critic",)),
        step.together(optimisers, actor_loss(config, net)),
    )
    return Algorithm(init, act, step.each(update), views=parts.views(net))


def networks(config: AWAC, spec: Spec) -> Networks:
    """A plain Gaussian, or with `squash` SAC's tanh-Gaussian, and the critics."""
    return parts.networks(config, spec, squash=config.squash, tanh_mean=config.tanh_mean)


def own_action(net: Networks, actor: Params, obs: jax.Array, noise: jax.Array) -> jax.Array:
    """Samples [B, A] of the policy as the environment plays them: those of a plain Gaussian are clipped."""
    return jnp.clip(net.actor(actor, obs).sample(noise), -1.0, 1.0)


def critic_loss(config: AWAC, net: Networks) -> Gradients:
    """The TD error of all critics: `y = r + g (1 - d) min_i psi_i(s', a')`, a' ~ pi(s')."""

    def prepare(state: AWACState, batch: Transition, key: Key, clock: Clock) -> Any:
        action = own_action(net, state.actor.params, batch.next_obs, jax.random.normal(key, batch.action.shape))
        value = net.critic.q(state.critic.target, batch.next_obs, action).min(0)
        return batch.obs, batch.action, losses.bellman_target(batch.reward, batch.mask, value, config.discount)

    return step.gradient_of(("critic",), temporal_difference(net), prepare, "critic/loss")


def actor_loss(config: AWAC, net: Networks) -> Gradients:
    """`-mean w log pi(a|s)`, w by the advantage `min_i phi_i(s, a) - min_i phi_i(s, a_pi)`, a_pi ~ pi (one sample)."""

    def advantage(state: AWACState, xs: Any) -> jax.Array:
        batch, noise = xs
        own = own_action(net, state.actor.params, batch.obs, noise)
        q, base = (net.critic.q(state.critic.params, batch.obs, action).min(0) for action in (batch.action, own))
        chex.assert_rank(q, 1)
        chex.assert_equal_shape([q, base])
        return q - base

    def prepare(state: AWACState, batch: Transition, key: Key, clock: Clock) -> Any:
        noise = jax.random.normal(key, batch.action.shape)
        return batch, weights(config, rows.apply(lambda xs: advantage(state, xs), (batch, noise)))

    def loss(params: dict[str, Params], state: AWACState, xs: Any) -> tuple[jax.Array, Metrics]:
        batch, weight = xs
        log_prob = net.actor(params["actor"], batch.obs).log_prob(batch.action)
        chex.assert_equal_shape([log_prob, weight])
        return -(weight * log_prob).mean(), {"actor/weight": weight.mean(), "actor/log_prob": log_prob.mean()}

    return step.gradient_of(("actor",), loss, prepare, "actor/loss")


def weights(config: AWAC, advantage: jax.Array) -> jax.Array:
    """The rows' weights [B]: `min(exp(A / lambda), max)`, or `B softmax(A / lambda)` over the batch, of mean 1."""
    chex.assert_rank(advantage, 1)
    if config.weighting == "softmax":
        return jax.nn.softmax(advantage / config.advantage_temperature) * advantage.shape[0]
    return losses.advantage_weight(advantage, 1.0 / config.advantage_temperature, config.max_weight)
