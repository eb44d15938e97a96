"""Policy expansion (PEX, Zhang et al. 2023, arXiv 2302.00935): the offline policy stays, a new one learns beside it.

To act, the offline policy's mode and a sample of the new one are two candidates, of which one is chosen by a softmax of
Q. One update: Q and V as IQL; then, at the same old parameters, the new policy imitates what the pair of them would do,
the more the better it is.
"""

import dataclasses
from typing import Any

import chex
import jax
import jax.numpy as jnp

from fastrl.algorithms import iql, losses, parts, step
from fastrl.algorithms.group import Group
from fastrl.algorithms.parts import Networks
from fastrl.algorithms.step import Gradients
from fastrl.methods import PEX
from fastrl.networks import critics, trunk
from fastrl.networks.critics import Value
from fastrl.types import Algorithm, Clock, Key, Metrics, Params, Spec, Transition


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class PEXState:
    """Everything PEX learns, and the policy that it started from."""

    actor: Group  # the new policy
    critic: Group  # with a target
    value: Group
    offline: Params  # the frozen policy


def pex(config: PEX, spec: Spec) -> Algorithm:
    """PEX for this environment."""
    net = parts.networks(config, spec, tanh_mean=config.tanh_mean, squash=False, initializer=trunk.glorot)
    value = Value(spec.obs_size, config.critic_hidden, config.layer_norm, initializer=trunk.glorot)
    optimisers = parts.actor_critic_optimisers(config)
    optimisers["value"] = parts.optimiser(config, "critic", config.critic_lr)
    inner = iql.iql(config, spec)

    def init(key: Key) -> PEXState:
        known, offline = inner.init(key), net.actor.init(jax.random.fold_in(jax.random.clone(key), 1), spec.obs_size)
        return PEXState(known.actor, known.critic, known.value, offline)

    def act(state: PEXState, obs: jax.Array, key: Key, explore: bool) -> jax.Array:
        flat = obs.reshape(-1, obs.shape[-1])
        action = composed(config, net, state, flat, key, explore)
        return jnp.clip(action, -1.0, 1.0).reshape(*obs.shape[:-1], spec.action_size)

    critic, actor = iql.critic_loss(config, net, value), actor_loss(config, net, value)
    move: Any = {"tau": config.tau, "targets": ("critic",)}
    update = step.critics_then_rest(
        joint=step.together(optimisers, critic, actor, **move),
        critic=step.together(optimisers, critic, **move),
        rest=step.together(optimisers, actor),
    )
    return Algorithm(init, act, update, views=parts.views(net))


def composed(config: PEX, net: Networks, state: PEXState, obs: jax.Array, key: Key, explore: bool) -> jax.Array:
    """Actions [B, A] of the pair of policies (PEX, equations 2 and 3).

    Exploring, `w ~ softmax(choice_temperature * min_i phi_i(s, .))` over {mode of pi0(s), a sample of pi(s)}. Else both
    candidates are modes, and the better one is taken, but for a share `greedy_epsilon` of sampled choices. (In the
    released code pi's candidate is a sample too for that share, drawn apart from the choice, and none is clipped.)
    """
    noise_key, choice_key, greedy_key = jax.random.split(key, 3)
    new = net.actor(state.actor.params, obs)
    mode = new.mode()
    own = new.sample(jax.random.normal(noise_key, mode.shape)) if explore else mode
    candidates = jnp.clip(jnp.stack([net.actor(state.offline, obs).mode(), own], 1), -1.0, 1.0)
    q = net.critic.candidates(state.critic.params, obs, candidates).min(0)
    chex.assert_equal_shape_prefix([q, candidates], 2)
    chosen = jax.random.categorical(choice_key, config.choice_temperature * q)
    if not explore:
        sampled = jax.random.bernoulli(greedy_key, config.greedy_epsilon, chosen.shape)
        chosen = jnp.where(sampled, chosen, q.argmax(1))
    return jnp.take_along_axis(candidates, chosen[:, None, None], 1)[:, 0]


def actor_loss(config: PEX, net: Networks, value: Value) -> Gradients:
    """`-mean min(exp(beta A), max) log pi(x|s)` of composed actions x, `A = min_i psi_i(s, x) - V(s)`.

    The data's own actions are not in it.
    """

    def gradients(state: PEXState, batch: Transition, key: Key, clock: Clock) -> tuple[dict[str, Params], Metrics]:
        subset_key, choice_key = jax.random.split(key)
        drawn = iql.draw_target(config, net, state, subset_key)

        def prepare(state: PEXState, batch: Transition, key: Key, clock: Clock) -> Any:
            return batch.obs, composed(config, net, state, batch.obs, key, True)

        def loss(params: dict[str, Params], state: PEXState, xs: Any) -> tuple[jax.Array, Metrics]:
            obs, action = xs
            advantage = net.critic.q(drawn, obs, action).min(0) - critics.value(value, state.value.params, obs)
            weight = losses.advantage_weight(advantage, config.inverse_temperature, config.max_weight)
            log_prob = net.actor(params["actor"], obs).log_prob(action)
            chex.assert_rank(log_prob, 1)
            chex.assert_equal_shape([weight, log_prob])
            return -(weight * log_prob).mean(), {"actor/weight": weight.mean(), "actor/log_prob": log_prob.mean()}

        return step.gradient_of(("actor",), loss, prepare, "actor/loss")(state, batch, choice_key, clock)

    return gradients
