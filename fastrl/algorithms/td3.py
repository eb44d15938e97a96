"""TD3 and TD3+BC.

One update: a step of the critics; at every `policy_delay`-th update, and with the critics just stepped, one of the
actor, then all targets move. TD3+BC adds behaviour cloning to the actor's loss.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from fastrl.algorithms import group, losses, parts, step
from fastrl.algorithms.group import Group
from fastrl.algorithms.parts import Networks
from fastrl.algorithms.smoothing import smoothed
from fastrl.algorithms.step import Gradients
from fastrl.methods import TD3, TD3BC
from fastrl.types import Algorithm, Clock, Key, Metrics, Params, Spec, Transition


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TD3State:
    """Everything TD3 learns."""

    actor: Group  # with a target
    critic: Group  # with a target


def td3(config: TD3, spec: Spec) -> Algorithm:
    """TD3 for this environment, or TD3+BC where the configuration is one."""
    net = parts.deterministic(config, spec)
    optimisers = parts.actor_critic_optimisers(config)

    def init(key: Key) -> TD3State:
        return TD3State(**initial(spec, net, optimisers, key))

    actor_step = step.together(optimisers, actor_loss(config, net))
    update = step.chain(
        step.together(optimisers, critic_loss(config, net)),
        step.every(config.policy_delay, step.chain(actor_step, step.averaged(config.tau, "actor", "critic"))),
    )
    return Algorithm(init, acting(config, net), step.each(update), views=parts.views(net))


def initial(spec: Spec, net: Networks, optimisers: dict[str, Any], key: Key) -> dict[str, Group]:
    """The groups of a fresh TD3State by name."""
    actor_key, critic_key = jax.random.split(key)
    critic = net.critic.init(critic_key, spec.obs_size, spec.action_size)
    return {
        "actor": group.start(net.actor.init(actor_key, spec.obs_size), optimisers["actor"], target=True),
        "critic": group.start(critic, optimisers["critic"], target=True),
    }


def acting(config: TD3, net: Networks) -> Any:
    """The policy, with Gaussian noise on it in the environment; what lies outside [-1, 1] is clipped."""

    def act(state: Any, obs: jax.Array, key: Key, explore: bool) -> jax.Array:
        action = net.actor.act(state.actor.params, obs, key, False)
        if not explore:
            return action
        return jnp.clip(action + config.exploration_noise * jax.random.normal(key, action.shape), -1.0, 1.0)

    return act


def smoothed_action(config: TD3, net: Networks, actor: Params, obs: jax.Array, key: Key) -> jax.Array:
    """The policy's actions [B, A] with clipped noise on them (TD3, target policy smoothing)."""
    action = net.actor(actor, obs).mode()
    return smoothed(action, jax.random.normal(key, action.shape), config.target_noise, config.noise_limit)


def td_target(
    config: TD3, net: Networks, actor: Params, critic: Params, batch: Transition, key: Key, penalty: Any = 0.0
) -> jax.Array:
    """`r + discount * mask * (min_i psi_i(s', smoothed action) - penalty)` [B], the penalty [] or [B]."""
    action = smoothed_action(config, net, actor, batch.next_obs, key)
    value = net.critic.q(critic, batch.next_obs, action).min(0) - penalty
    return losses.bellman_target(batch.reward, batch.mask, value, config.discount)


def critic_loss(config: TD3, net: Networks) -> Gradients:
    """The TD error of all critics, with the target actor's smoothed action."""

    def prepare(state: TD3State, batch: Transition, key: Key, clock: Clock) -> Any:
        return batch.obs, batch.action, td_target(config, net, state.actor.target, state.critic.target, batch, key)

    return step.gradient_of(("critic",), temporal_difference(net), prepare, "critic/loss")


def temporal_difference(net: Networks) -> Any:
    """`sum_i mean (phi_i(s, a) - y)^2` of rows (obs, action, y)."""

    def loss(params: dict[str, Params], state: Any, xs: Any) -> tuple[jax.Array, Metrics]:
        obs, action, target = xs
        q = net.critic.q(params["critic"], obs, action)
        return losses.summed_error(q, target), {"critic/q": q.mean(), "critic/target": target.mean()}

    return loss


def actor_loss(config: TD3, net: Networks) -> Gradients:
    """`-mean phi_1(s, pi(s))`; TD3+BC: `-(w / mean |phi_1|) mean phi_1(s, pi(s)) + mean (pi(s) - a)^2`."""

    def loss(params: dict[str, Params], state: TD3State, batch: Transition) -> tuple[jax.Array, Metrics]:
        action = net.actor(params["actor"], batch.obs).mode()
        q = net.critic.q(first(state.critic.params), batch.obs, action)[0]
        value = -q.mean()
        if isinstance(config, TD3BC):
            value = losses.relative(config.q_weight, q) * value + jnp.square(action - batch.action).mean()
        return value, {"actor/q": q.mean()}

    return step.gradient_of(("actor",), loss, lambda state, batch, key, clock: batch, "actor/loss", whole=True)


def first(critics: Params) -> Params:
    """The first critic of an ensemble, as an ensemble of one."""
    return jax.tree.map(lambda x: x[:1], critics)
