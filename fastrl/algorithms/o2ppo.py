"""O2PPO (OCR-CFT): PPO from an offline policy alone, in two stages over one state.

reevaluate  the value is regressed on the dataset's Monte-Carlo returns; the actor is frozen.
finetune    PPO whose advantage has a part that pulls towards the reference policy and fades: there is no alignment and
            no constraint beside it.
"""

import dataclasses
from typing import Any

import chex
import jax
import jax.numpy as jnp

from fastrl.algorithms import advantages, parts, reference, step
from fastrl.algorithms.group import Group
from fastrl.algorithms.multipliers import decay
from fastrl.algorithms.ppo import Networks, acting, initial, iteration, networks, optimisers_of
from fastrl.algorithms.reference import Reference
from fastrl.methods import O2PPO
from fastrl.networks import critics
from fastrl.types import Algorithm, Clock, Key, Metrics, Params, Spec, Transition, UserError


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class O2PPOState:
    """Everything O2PPO learns and remembers."""

    actor: Group
    value: Group
    reference: Reference


def o2ppo(config: O2PPO, spec: Spec) -> Algorithm:
    """O2PPO for this environment, in the stage of its configuration."""
    if config.stage == "align":
        raise UserError("O2PPO has no stage align: its auxiliary advantage stands for it; leave --stage out")
    net, optimisers = networks(config, spec), optimisers_of(config)
    if config.stage == "reevaluate":
        plain = dataclasses.replace(config, grad_clip=None, cosine_steps=None)
        optimisers["value"] = parts.optimiser(plain, "critic", config.value_lr)

    def init(key: Key) -> O2PPOState:
        groups = initial(spec, net, optimisers, key)
        return O2PPOState(**groups, reference=reference.start(groups["actor"].params))

    def judge(state: O2PPOState, score: jax.Array) -> O2PPOState:
        known = reference.judged(config, state.reference, state.actor.params, score)
        return dataclasses.replace(state, reference=known)

    if config.stage == "reevaluate":
        update = step.each(step.together(optimisers, returns_loss(config, net)))
    else:
        update = scaled(config, followed(config, iteration(config, net, optimisers, pulled(config, net))))
    return Algorithm(init, acting(net), update, judge, parts.policy_view(net.actor))


def scaled(config: O2PPO, update: step.Update) -> step.Update:
    """The update on rewards divided by `return_scale`."""

    def divided(state: O2PPOState, batches: Transition, key: Key, clock: Clock) -> tuple[O2PPOState, Metrics]:
        smaller = dataclasses.replace(batches, reward=batches.reward / config.return_scale)
        return update(state, smaller, key, clock)  # type: ignore[return-value]

    return divided


def returns_loss(config: O2PPO, net: Networks) -> step.Gradients:
    """`mean (V(s) - G)^2`, with G the Monte-Carlo return of the dataset, divided by `return_scale`."""

    def loss(params: dict[str, Params], state: O2PPOState, batch: Transition) -> tuple[jax.Array, Metrics]:
        value = critics.value(net.value, params["value"], batch.obs)
        chex.assert_rank(value, 1)
        chex.assert_equal_shape([value, batch.mc_return])
        return jnp.square(value - batch.mc_return / config.return_scale).mean(), {"value/v": value.mean()}

    return step.gradient_of(("value",), loss, lambda state, batch, key, clock: batch, "value/loss")


def pulled(config: O2PPO, net: Networks) -> Any:
    """The advantage with its auxiliary part (`fastrl.algorithms.advantages.combined`)."""

    def advantage(state: O2PPOState, rows: Transition, gae: jax.Array, clock: Clock) -> jax.Array:
        if config.auxiliary == "none" or not config.constrain:
            return advantages.normalise(gae)
        dist = net.actor(state.reference.params, rows.obs)
        pull = advantages.auxiliary(
            dist.log_prob(rows.action), dist.entropy(), rows.action.shape[-1], config.auxiliary_weight
        )
        weight = decay(clock.step, config.auxiliary_steps)
        return advantages.combined(gae, pull, weight, outer=config.auxiliary == "outer")

    return advantage


def followed(config: O2PPO, update: step.Update) -> step.Update:
    """The update, and the reference's Polyak average where that is the rule."""

    def both(state: O2PPOState, batches: Transition, key: Key, clock: Clock) -> tuple[O2PPOState, Metrics]:
        state, metrics = update(state, batches, key, clock)
        known = reference.followed(config, state.reference, state.actor.params)
        return dataclasses.replace(state, reference=known), metrics

    return both
