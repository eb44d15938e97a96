"""Implicit Q-learning: expectile V, TD on V, advantage-weighted regression.

One update: Q and V, then the actor, all losses at the same old parameters at U = 1. Its own policy is a plain Gaussian;
with `squash` a tanh-Gaussian with the structure of SAC's actor, from which WSRL can start.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax

from fastrl.algorithms import group, losses, parts, step
from fastrl.algorithms.group import Group
from fastrl.algorithms.parts import Networks
from fastrl.algorithms.step import Gradients
from fastrl.methods import IQL
from fastrl.networks import critics, policy, trunk
from fastrl.networks.critics import Value
from fastrl.types import Algorithm, Clock, Key, Metrics, Params, Spec, Transition


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class IQLState:
    """Everything IQL learns."""

    actor: Group
    critic: Group  # with a target
    value: Group


class Regression(NamedTuple):
    """V's loss as a function of `min_i psi_i(s, a) - V(s)` [B], and whether it has a statistic of the batch."""

    loss: Callable[[jax.Array], jax.Array]
    whole: bool = False


def iql(config: IQL, spec: Spec) -> Algorithm:
    """IQL for this environment."""
    return learner(config, spec, expectile(config))


def expectile(config: IQL) -> Regression:
    """V is an expectile of Q (IQL, equation 5)."""
    return Regression(lambda error: losses.expectile(error, config.expectile))


def learner(config: IQL, spec: Spec, regression: Regression) -> Algorithm:
    """IQL with any regression of V: uniform Glorot kernels, orthogonal heads."""
    net = parts.networks(config, spec, squash=config.squash, tanh_mean=config.tanh_mean, initializer=trunk.glorot)
    value = Value(spec.obs_size, config.critic_hidden, config.layer_norm, initializer=trunk.glorot)
    optimisers = parts.actor_critic_optimisers(config)
    optimisers["value"] = parts.optimiser(config, "critic", config.critic_lr)

    def init(key: Key) -> IQLState:
        actor_key, critic_key, value_key = jax.random.split(key, 3)
        critic = net.critic.init(critic_key, spec.obs_size, spec.action_size)
        return IQLState(
            group.start(net.actor.init(actor_key, spec.obs_size), optimisers["actor"]),
            group.start(critic, optimisers["critic"], target=True),
            group.start(value.init(value_key, jax.numpy.zeros((1, spec.obs_size)))["params"], optimisers["value"]),
        )

    def act(state: IQLState, obs: jax.Array, key: Key, explore: bool) -> jax.Array:
        return net.actor.act(state.actor.params, obs, key, explore)

    critic, actor = critic_loss(config, net, value, regression), actor_loss(config, net, value)
    move: Any = {"tau": config.tau, "targets": ("critic",)}
    update = step.critics_then_rest(
        joint=step.together(optimisers, critic, actor, **move),
        critic=step.together(optimisers, critic, **move),
        rest=step.together(optimisers, actor),
    )
    return Algorithm(init, act, update, views=parts.views(net))


def draw_target(config: IQL, net: Networks, state: Any, key: Key) -> Params:
    """The target critics whose minimum stands for Q."""
    drawn = critics.draw_subset(key, config.num_critics, config.subset_size, False)
    return net.critic.subset(state.critic.target, drawn)


def critic_loss(config: IQL, net: Networks, value: Value, regression: Regression | None = None) -> Gradients:
    """TD on the online V (IQL, equation 6), and V's regression (None: an expectile) on the target critics' minimum."""
    regression = expectile(config) if regression is None else regression

    def gradients(state: IQLState, batch: Transition, key: Key, clock: Clock) -> tuple[dict[str, Params], Metrics]:
        drawn = draw_target(config, net, state, key)

        def loss(params: dict[str, Params], state: IQLState, xs: Transition) -> tuple[jax.Array, Metrics]:
            next_value = critics.value(value, state.value.params, xs.next_obs)
            target = losses.bellman_target(xs.reward, xs.mask, next_value, config.discount)
            q = net.critic.q(params["critic"], xs.obs, xs.action)
            v = critics.value(value, params["value"], xs.obs)
            minimum = net.critic.q(drawn, xs.obs, xs.action).min(0)
            chex.assert_rank(v, 1)
            chex.assert_equal_shape([minimum, v, target])
            td = losses.squared_error(q, target)
            error = regression.loss(minimum - v)
            found = {"critic/loss": td, "critic/q": q.mean(), "value/loss": error, "value/v": v.mean()}
            return td + error, found

        rows = lambda state, batch, key, clock: batch
        both = step.gradient_of(("critic", "value"), loss, rows, whole=regression.whole)
        return both(state, batch, key, clock)

    return gradients


def actor_loss(config: IQL, net: Networks, value: Value) -> Gradients:
    """The advantage-weighted log-likelihood of the data's actions (IQL, equation 7)."""

    def gradients(state: IQLState, batch: Transition, key: Key, clock: Clock) -> tuple[dict[str, Params], Metrics]:
        subset_key, dropout_key = jax.random.split(key)
        drawn = draw_target(config, net, state, subset_key)

        def prepare(state: IQLState, batch: Transition, key: Key, clock: Clock) -> Any:
            return batch, policy.dropout_keys(config.dropout, key, batch.reward.shape[0])

        def loss(params: dict[str, Params], state: IQLState, xs: Any) -> tuple[jax.Array, Metrics]:
            batch, keys = xs
            advantage = net.critic.q(drawn, batch.obs, batch.action).min(0)
            advantage = advantage - critics.value(value, state.value.params, batch.obs)
            weight = losses.advantage_weight(advantage, config.inverse_temperature, config.max_weight)
            dist = net.actor(params["actor"], batch.obs, None if keys is None else keys[0])
            log_prob = dist.log_prob(batch.action)
            chex.assert_rank(log_prob, 1)
            chex.assert_equal_shape([weight, log_prob])
            found = {"actor/weight": weight.mean(), "actor/log_prob": log_prob.mean()}
            return -(weight * log_prob).mean(), found

        whole = step.gradient_of(("actor",), loss, prepare, "actor/loss")
        return whole(state, batch, dropout_key, clock)

    return gradients
