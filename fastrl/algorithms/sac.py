"""Soft actor-critic with a REDQ ensemble at high UTD (WSRL, Algorithm 1).

One call with U minibatches: U critic steps, each on a minibatch of its own with the target's average after it; then one
step of actor and temperature on all rows (lines 9-13). At U = 1 all three losses are taken at the same old parameters.
"""

import dataclasses
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp

from fastrl.algorithms import group, losses, parts, rows, step
from fastrl.algorithms.group import Group
from fastrl.algorithms.multipliers import dual
from fastrl.algorithms.parts import Networks
from fastrl.algorithms.smoothing import smoothed
from fastrl.algorithms.step import Gradients, Step
from fastrl.methods import SAC, SO2
from fastrl.networks import critics, policy
from fastrl.types import Algorithm, Clock, Key, Metrics, Spec, Transition, UserError


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class SACState:
    """Everything SAC learns."""

    actor: Group
    critic: Group  # with a target
    temperature: Group  # [], before softplus or exp


class Next(NamedTuple):
    """What a target needs that no critic step changes: K actions a row at the next observation, and drawn critics."""

    action: jax.Array  # [B, K, A]
    log_prob: jax.Array  # [B, K]
    drawn: jax.Array | None  # [n] indices of the target critics; None is all of them


class Foreseen(NamedTuple):
    """A minibatch with what its target needs."""

    batch: Transition
    next: Next


def sac(config: SAC, spec: Spec) -> Algorithm:
    """SAC for this environment."""
    check(config)
    net = parts.networks(config, spec)
    optimisers = optimisers_of(config)

    def init(key: Key) -> SACState:
        return SACState(**initial(config, spec, net, optimisers, key))

    def act(state: SACState, obs: jax.Array, key: Key, explore: bool) -> jax.Array:
        return net.actor.act(state.actor.params, obs, key, explore)

    update = order(config, optimisers, critic_loss(config, net), actor_loss(config, net), foresight(config, net))
    return Algorithm(init, act, update, views=parts.views(net))


def check(config: SAC) -> None:
    """Refuses a subset larger than the ensemble."""
    if not 1 <= config.subset_size <= config.num_critics:
        raise UserError(
            f"subset_size is {config.subset_size} but num_critics is {config.num_critics}:"
            " choose a subset of 1 to num_critics critics"
        )


def optimisers_of(config: SAC) -> dict[str, Any]:
    """Adam, or the user's own; a multiplier's has no decay, no clipping and no schedule."""
    temperature = parts.optimisers.adam(config.temperature_lr)
    return parts.actor_critic_optimisers(config) | {"temperature": temperature}


def initial(config: SAC, spec: Spec, net: Networks, optimisers: dict[str, Any], key: Key) -> dict[str, Group]:
    """The groups of a fresh SACState by name."""
    actor_key, critic_key = jax.random.split(key)
    actor = net.actor.init(actor_key, spec.obs_size)
    critic = net.critic.init(critic_key, spec.obs_size, spec.action_size)
    temperature = losses.positive_inverse(config.initial_temperature, config.temperature_form)
    return {
        "actor": group.start(actor, optimisers["actor"]),
        "critic": group.start(critic, optimisers["critic"], target=True),
        "temperature": group.start(temperature, optimisers["temperature"]),
    }


def draw(config: SAC, shape: tuple[int, ...], key: Key) -> tuple[jax.Array, jax.Array | None, jax.Array | None]:
    """(noise [B, K, A], SO2's perturbation [B, K, A], the drawn target critics [n]) for actions of `shape` [B, A]."""
    noise_key, subset_key, *more = jax.random.split(key, 3 if isinstance(config, SO2) else 2)
    count = config.backup_actions if config.backup == "max_actions" else 1
    noise = jax.random.normal(noise_key, (*shape[:-1], count, shape[-1]))
    perturbation = jax.random.normal(more[0], noise.shape) if more else None
    if config.backup == "max_critics":
        return noise, perturbation, None
    drawn = critics.draw_subset(subset_key, config.num_critics, config.subset_size, config.subset_replacement)
    return noise, perturbation, drawn


def next_actions(
    config: SAC, net: Networks, state: Any, obs: jax.Array, noise: jax.Array, perturbation: jax.Array | None
) -> tuple[jax.Array, jax.Array]:
    """The policy's actions [B, K, A] at `obs` [B, O] and their log densities [B, K].

    SO2 perturbs the action; where the target has an entropy term, its density is that of the action before.
    """

    def one(xs: tuple[jax.Array, jax.Array, jax.Array | None]) -> tuple[jax.Array, jax.Array]:
        obs, noise, perturbation = xs
        action, log_prob = net.actor(state.actor.params, obs).candidates(noise)
        if perturbation is not None:
            assert isinstance(config, SO2)
            action = smoothed(action, perturbation, config.target_noise, config.noise_limit)
        return action, log_prob

    return rows.apply(one, (obs, noise, perturbation))


def foresight(config: SAC, net: Networks) -> step.Foresee | None:
    """The `Next` of all U minibatches by one pass of the actor; with ghost Adam it moves between them, and nothing is.

    Numbers are drawn by each minibatch's own key: they are what its own step would draw.
    """
    if config.ghost_adam:
        return None

    def foresee(state: Any, batches: Transition, keys: Key) -> Foreseen:
        noise, perturbation, drawn = jax.vmap(lambda key: draw(config, batches.action.shape[1:], key))(keys)
        flat = step.union((batches.next_obs, noise, perturbation))
        found = next_actions(config, net, state, *flat)
        action, log_prob = jax.tree.map(lambda x: x.reshape(*noise.shape[:2], *x.shape[1:]), found)
        return Foreseen(batches, Next(action, log_prob, drawn))

    return foresee


def foreseen(config: SAC, net: Networks, state: Any, batch: Transition | Foreseen, key: Key) -> Foreseen:
    """The minibatch with its `Next`, computed now where it was not before."""
    if isinstance(batch, Foreseen):
        return batch
    noise, perturbation, drawn = draw(config, batch.action.shape, key)
    return Foreseen(batch, Next(*next_actions(config, net, state, batch.next_obs, noise, perturbation), drawn))


def td_target(config: SAC, net: Networks, state: Any, batch: Transition, after: Next) -> jax.Array:
    """The critics' target [B]; only the drawn target critics are evaluated (REDQ, line 7)."""
    target = net.critic.subset(state.critic.target, after.drawn)
    temperature = losses.positive(state.temperature.params, config.temperature_form)

    def next_value(xs: tuple[jax.Array, jax.Array, jax.Array]) -> jax.Array:
        obs, action, log_prob = xs
        q = net.critic.candidates(target, obs, action)
        q = q.max(0) if config.backup == "max_critics" else q.min(0)
        return (q - temperature * log_prob if config.backup_entropy else q).max(-1)

    value = rows.apply(next_value, (batch.next_obs, after.action, after.log_prob), weight=after.action.shape[1])
    return losses.bellman_target(batch.reward, batch.mask, value, config.discount)


def critic_loss(config: SAC, net: Networks) -> Gradients:
    """The TD error of all critics."""

    def prepare(state: Any, batch: Transition | Foreseen, key: Key, clock: Clock) -> Any:
        batch, after = foreseen(config, net, state, batch, key)
        return batch.obs, batch.action, td_target(config, net, state, batch, after)

    return step.gradient_of(("critic",), temporal_difference(net), prepare, "critic/loss")


def temporal_difference(net: Networks) -> Any:
    """`mean (Q_i(s, a) - y)^2`, over critics too, of rows (obs, action, y)."""

    def loss(params: dict[str, Any], state: Any, xs: Any) -> tuple[jax.Array, Metrics]:
        obs, action, target = xs
        q = net.critic.q(params["critic"], obs, action)
        return losses.squared_error(q, target), {"critic/q": q.mean(), "critic/target": target.mean()}

    return loss


def actor_loss(config: SAC, net: Networks) -> Gradients:
    """Actor and temperature; no gradient reaches the critics (WSRL, Algorithm 1, line 12)."""

    def prepare(state: Any, batch: Transition, key: Key, clock: Clock) -> Any:
        noise_key, next_key, dropout_key = jax.random.split(key, 3)
        noise = jax.random.normal(noise_key, batch.action.shape)
        next_noise = jax.random.normal(next_key, batch.action.shape)
        return batch, noise, next_noise, policy.dropout_keys(config.dropout, dropout_key, len(noise))

    def loss(params: dict[str, Any], state: Any, xs: Any) -> tuple[jax.Array, Metrics]:
        batch, noise, next_noise, keys = xs
        temperature = losses.positive(state.temperature.params, config.temperature_form)
        dist = net.actor(params["actor"], batch.obs, None if keys is None else keys[0])
        action, log_prob = dist.sample_log_prob(noise)
        q = net.critic.reduced(state.critic.params, batch.obs, action, config.actor_q)
        chex.assert_rank(q, 1)
        chex.assert_equal_shape([q, log_prob])
        value = (temperature * log_prob - q).mean()
        if config.bc_weight:
            value = (1.0 - config.bc_weight) * value - config.bc_weight * dist.log_prob(batch.action).mean()
        if config.temperature_obs == "next":
            _, log_prob = net.actor(state.actor.params, batch.next_obs).sample_log_prob(next_noise)
        goal = -batch.action.shape[-1] if config.target_entropy is None else config.target_entropy
        multiplier = dual(params["temperature"], -log_prob - goal, form=config.temperature_form)
        found = {"actor/entropy": -log_prob.mean(), "actor/q": q.mean(), "actor/loss": value}
        return value + multiplier, found | {"temperature/value": temperature}

    return step.gradient_of(("actor", "temperature"), loss, prepare)


def order(
    config: SAC,
    optimisers: dict[str, Any],
    critic: Gradients,
    rest: Gradients,
    foresee: step.Foresee | None = None,
) -> step.Update:
    """U critic steps, then the rest; with ghost Adam the networks that rest are stepped on zero gradients."""
    move: Any = {"tau": config.tau, "targets": ("critic",)}
    joint = step.together(optimisers, critic, rest, **move)
    critic_step, rest_step = step.together(optimisers, critic, **move), step.together(optimisers, rest)
    if config.ghost_adam:
        critic_step = ghosted(optimisers, critic_step, ("actor", "temperature"))
        rest_step = ghosted(optimisers, rest_step, ("critic",))
    if config.critics_alone:
        return step.each(critic_step)
    return step.critics_then_rest(joint, critic_step, rest_step, foresee)


def sequential(config: SAC, critic: Step, rest: Step) -> step.Update:
    """U critic steps, then the rest, which sees the critics just stepped at U = 1 too (PROTO, SAC+ML, ACA)."""
    if config.critics_alone:
        return step.each(critic)
    return step.critics_then_rest(step.chain(critic, rest), critic, rest)


def ghosted(optimisers: dict[str, Any], own: Step, resting: tuple[str, ...]) -> Step:
    """The step, then one of the resting groups on zero gradients, as in WSRL's released code."""

    def both(state: Any, batch: Transition, key: Key, clock: Clock) -> tuple[Any, Metrics]:
        state, metrics = own(state, batch, key, clock)
        zeros = {name: jax.tree.map(jnp.zeros_like, getattr(state, name).params) for name in resting}
        return step.descend(state, zeros, optimisers), metrics

    return both
