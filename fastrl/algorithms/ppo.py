"""Proximal policy optimisation with generalised advantage estimation.

One update: an iteration's rows [T, E] in their order. Values and densities are taken once with the policy that played;
then `epochs` passes over shuffled minibatches, each a step of actor and value at the same old parameters.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp

from fastrl.algorithms import advantages, group, parts, step
from fastrl.algorithms.group import Group
from fastrl.algorithms.optimisers import Adam, clip_of, scheduled
from fastrl.methods import PPO
from fastrl.networks import critics
from fastrl.networks.critics import Value
from fastrl.networks.policy import Policy
from fastrl.types import Algorithm, Clock, Key, Metrics, Params, Spec, Transition, UserError

EPS = 1e-5
"""Adam's epsilon, as in PPO's released code and OCR-CFT's."""

Advantage = Callable[[Any, Transition, jax.Array, Clock], jax.Array]
"""`(state, rows [N, ...], generalised advantage [N], clock) -> advantage`, [N] or [N, N], normalised."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class PPOState:
    """Everything PPO learns."""

    actor: Group
    value: Group


class Played(NamedTuple):
    """Rows of an iteration, as minibatches are made of them."""

    obs: jax.Array  # [N, O]
    action: jax.Array  # [N, A], as drawn
    log_prob: jax.Array  # [N], by the policy that played
    advantage: jax.Array  # [N] or [N, N]
    goal: jax.Array  # [N], what the value is regressed on


class Networks(NamedTuple):
    """A policy and a state value, as functions of their parameters."""

    actor: Policy
    value: Value


def ppo(config: PPO, spec: Spec) -> Algorithm:
    """PPO for this environment."""
    net, optimisers = networks(config, spec), optimisers_of(config)

    def init(key: Key) -> PPOState:
        return PPOState(**initial(spec, net, optimisers, key))

    def plain(state: PPOState, rows: Transition, gae: jax.Array, clock: Clock) -> jax.Array:
        return advantages.normalise(gae)

    return Algorithm(init, acting(net), iteration(config, net, optimisers, plain), views=parts.policy_view(net.actor))


def networks(config: PPO, spec: Spec) -> Networks:
    """A Gaussian actor that is not squashed, with a tanh mean, and a value of tanh layers."""
    if config.critic is not None:
        raise UserError("critic: PPO learns a state value and takes no critic of yours; leave it out")
    actor = parts.gaussian(config, spec, squash=False, tanh_mean=True)
    return Networks(actor, Value(spec.obs_size, config.critic_hidden, config.layer_norm, activation=jnp.tanh))


def optimisers_of(config: PPO) -> dict[str, Any]:
    """Adam of actor and value, each clipped by itself, falling to 0 on a line where `linear_steps` is set."""
    length = None
    if config.linear_steps is not None:
        passes = config.epochs * max(1, config.rollout // config.batch_size)
        length = max(1, round(config.linear_steps / config.rollout * passes))
    made = {}
    for name, own, rate in (("actor", "actor", config.actor_lr), ("value", "critic", config.critic_lr)):
        if getattr(config, f"{own}_optimizer") is not None:
            made[name] = parts.optimiser(config, own, rate)
        else:
            made[name] = Adam(scheduled(rate, linear=length), config.weight_decay, clip_of(config, own), EPS)
    return made


def initial(spec: Spec, net: Networks, optimisers: dict[str, Any], key: Key) -> dict[str, Group]:
    """The groups of a fresh PPOState by name."""
    actor_key, value_key = jax.random.split(key)
    value = net.value.init(value_key, jnp.zeros((1, spec.obs_size)))["params"]
    return {
        "actor": group.start(net.actor.init(actor_key, spec.obs_size), optimisers["actor"]),
        "value": group.start(value, optimisers["value"]),
    }


def acting(net: Networks) -> Any:
    """A sample as it was drawn, whose density is taken later; the mode is clipped."""

    def act(state: Any, obs: jax.Array, key: Key, explore: bool) -> jax.Array:
        play = net.actor.raw if explore else net.actor.act
        return play(state.actor.params, obs, key, explore)

    return act


def iteration(config: PPO, net: Networks, optimisers: dict[str, Any], advantage: Advantage) -> step.Update:
    """The update of one iteration: batches [T, E, ...]."""

    def update(state: Any, batches: Transition, key: Key, clock: Clock) -> tuple[Any, Metrics]:
        played = prepare(config, net, state, batches, clock, advantage)
        count, size = played.goal.shape[0], config.batch_size
        if count % size:
            raise UserError(f"--rollout {count} must be a multiple of --batch-size {size}")
        one = minibatch_step(config, net, optimisers)

        def epoch(state: Any, key: Key) -> tuple[Any, Metrics]:
            order = jax.random.permutation(key, count).reshape(-1, size)
            return jax.lax.scan(lambda s, rows: one(s, jax.tree.map(lambda x: x[rows], played)), state, order)

        state, metrics = jax.lax.scan(epoch, state, jax.random.split(key, config.epochs))
        return state, jax.tree.map(jnp.mean, metrics)

    return update


def prepare(config: PPO, net: Networks, state: Any, batches: Transition, clock: Clock, advantage: Advantage) -> Played:
    """Densities, advantages and the value's goal `A_gae + V`, with the parameters that played."""
    time, copies = batches.reward.shape
    rows = step.union(batches)
    value = critics.value(net.value, state.value.params, rows.obs).reshape(time, copies)
    following = critics.value(net.value, state.value.params, rows.next_obs).reshape(time, copies)
    gae = advantages.gae(batches.reward, value, following, batches.mask, batches.last, config.discount, config.trace)
    log_prob = net.actor(state.actor.params, rows.obs).log_prob(rows.action)
    flat = gae.reshape(-1)
    return Played(rows.obs, rows.action, log_prob, advantage(state, rows, flat, clock), flat + value.reshape(-1))


def minibatch_step(config: PPO, net: Networks, optimisers: dict[str, Any]) -> Any:
    """`(state, rows) -> (state, metrics)`: clipped surrogate, entropy bonus, and the value's squared error."""

    def loss(params: dict[str, Params], rows: Played) -> tuple[jax.Array, Metrics]:
        dist = net.actor(params["actor"], rows.obs)
        log_ratio, entropy = dist.log_prob(rows.action) - rows.log_prob, dist.entropy().mean()
        surrogate = advantages.clipped_surrogate(log_ratio, rows.advantage, config.clip)
        value = critics.value(net.value, params["value"], rows.obs)
        chex.assert_rank(value, 1)
        chex.assert_equal_shape([value, rows.goal])
        error = jnp.square(value - rows.goal).mean()
        clipped = (jnp.abs(jnp.exp(log_ratio) - 1.0) > config.clip).mean()
        found = {"actor/loss": surrogate, "actor/entropy": entropy, "actor/clipped": clipped, "value/loss": error}
        return surrogate - config.entropy_weight * entropy + error, found | {"value/goal": rows.goal.mean()}

    def one(state: Any, rows: Played) -> tuple[Any, Metrics]:
        params = {"actor": state.actor.params, "value": state.value.params}
        grads, metrics = jax.grad(loss, has_aux=True)(params, rows)
        return step.descend(state, grads, optimisers), metrics

    return one
