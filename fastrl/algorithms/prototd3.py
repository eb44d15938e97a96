"""PROTO (arXiv 2305.15669) on TD3: XQL's policy at its mode, pulled to the average of its own last policies.

One update: a step of the critics, with the policy's smoothed action and, in the target, its squared distance to pi_k;
at every `policy_delay`-th update, and with the critics just stepped, one of the actor, then the target critics and
pi_k, the actor's target, move. The weight of the distance, eta_t, falls on a line over environment steps.
"""

from typing import Any

import jax
import jax.numpy as jnp

from fastrl.algorithms import losses, parts, proto, reference, step, td3
from fastrl.algorithms.parts import Networks
from fastrl.algorithms.step import Gradients
from fastrl.algorithms.td3 import TD3State
from fastrl.methods import PROTOTD3
from fastrl.networks import critics
from fastrl.networks.distributions import Delta
from fastrl.types import Algorithm, Clock, Key, Metrics, Params, Spec, Transition


def prototd3(config: PROTOTD3, spec: Spec) -> Algorithm:
    """PROTO on TD3 for this environment."""
    net, optimisers = proto.networks(config, spec), parts.actor_critic_optimisers(config)

    def init(key: Key) -> TD3State:
        return TD3State(**td3.initial(spec, net, optimisers, key))

    delayed = step.chain(
        step.together(optimisers, actor_loss(config, net), tau=config.regularization_tau, targets=("actor",)),
        step.averaged(config.tau, "critic"),
    )
    update = step.chain(step.together(optimisers, critic_loss(config, net)), step.every(config.policy_delay, delayed))
    policy = lambda state, obs: Delta(net.actor(state.actor.params, obs).mode())
    views = parts.views(net)._replace(policy=policy)
    return Algorithm(init, td3.acting(config, net), step.each(update), views=views)


def distance(net: Networks, actor: Params, state: TD3State, obs: jax.Array) -> jax.Array:
    """`(pi(s) - pi_k(s))^2` [B], the mean over the action's dimensions."""
    return reference.squared_distance(net.actor(actor, obs).mode(), net.actor(state.actor.target, obs).mode())


def critic_loss(config: PROTOTD3, net: Networks) -> Gradients:
    """The TD error of y = `r + g (1 - d) [min_i psi_i(s', smoothed pi(s')) - eta M]`, M the batch's mean distance."""

    def prepare(state: TD3State, batch: Transition, key: Key, clock: Clock) -> Any:
        noise_key, subset_key = jax.random.split(key)
        actor, penalty = state.actor.params, jnp.zeros(())
        if config.backup_regularization:
            penalty = proto.weight(config, clock) * distance(net, actor, state, batch.next_obs).mean()
        drawn = critics.draw_subset(subset_key, config.num_critics, config.subset_size, False)
        target = net.critic.subset(state.critic.target, drawn)
        return batch.obs, batch.action, td3.td_target(config, net, actor, target, batch, noise_key, penalty)

    return step.gradient_of(("critic",), td3.temporal_difference(net), prepare, "critic/loss")


def actor_loss(config: PROTOTD3, net: Networks) -> Gradients:
    """`-(w / mean |phi_1|) mean phi_1(s, pi(s)) + eta mean (pi(s) - pi_k(s))^2`."""

    def gradients(state: TD3State, batch: Transition, key: Key, clock: Clock) -> tuple[dict[str, Params], Metrics]:
        eta = proto.weight(config, clock)

        def loss(params: dict[str, Params], state: TD3State, batch: Transition) -> tuple[jax.Array, Metrics]:
            action = net.actor(params["actor"], batch.obs).mode()
            q = net.critic.q(td3.first(state.critic.params), batch.obs, action)[0]
            away = distance(net, params["actor"], state, batch.obs).mean()
            found = {"actor/q": q.mean(), "regularization/divergence": away, "regularization/weight": eta}
            return eta * away - losses.relative(config.q_weight, q) * q.mean(), found

        rows = lambda state, batch, key, clock: batch
        return step.gradient_of(("actor",), loss, rows, "actor/loss", whole=True)(state, batch, key, clock)

    return gradients
