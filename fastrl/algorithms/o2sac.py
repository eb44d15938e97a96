"""O2SAC (OCR-CFT): SAC from an offline policy alone, in three stages over one state.

reevaluate  critics fitted anew to the frozen policy, with SAC's target at a fixed temperature; nothing else changes.
align       actor and critics together on states of the dataset: the target critics stay as they are and anchor the
            critics, so that the offline policy's mode is best in their eyes; no reward, no bootstrapping.
finetune    SAC with a penalty for leaving the reference policy, in the actor's loss and in the backup; its multiplier
            is learned on the first of a step's updates. All losses are taken at the same old parameters.
"""

import dataclasses
from typing import Any

import chex
import jax
import jax.numpy as jnp

from fastrl.algorithms import alignment, losses, parts, reference, sac, step
from fastrl.algorithms.group import Group
from fastrl.algorithms.group import start as start_group
from fastrl.algorithms.multipliers import dual, ramp
from fastrl.algorithms.parts import Networks
from fastrl.algorithms.reference import Reference
from fastrl.algorithms.step import Gradients
from fastrl.algorithms.td3 import temporal_difference
from fastrl.methods import O2SAC
from fastrl.types import Algorithm, Clock, Key, Metrics, Params, Spec, Transition

MODE_LIMIT = 0.9999
"""Modes and samples are clipped to +- this before the offline or the reference policy's density is taken of them."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class O2SACState:
    """Everything O2SAC learns and remembers."""

    actor: Group
    critic: Group  # with a target
    temperature: Group  # [], its logarithm
    multiplier: Group  # [], its logarithm
    offline: Params  # the policy that it started from
    reference: Reference


def o2sac(config: O2SAC, spec: Spec) -> Algorithm:
    """O2SAC for this environment, in the stage of its configuration."""
    sac.check(config)
    config = dataclasses.replace(config, temperature_form="exp")  # alpha = exp(l), as every loss below writes it
    net = parts.networks(config, spec)
    optimisers = sac.optimisers_of(config) | {"multiplier": parts.optimisers.adam(config.multiplier_lr)}

    def init(key: Key) -> O2SACState:
        groups = sac.initial(config, spec, net, optimisers, key)
        multiplier = start_group(jnp.log(jnp.asarray(config.initial_multiplier, jnp.float32)), optimisers["multiplier"])
        offline = jax.tree.map(jnp.copy, groups["actor"].params)
        return O2SACState(**groups, multiplier=multiplier, offline=offline, reference=reference.start(offline))

    def act(state: O2SACState, obs: jax.Array, key: Key, explore: bool) -> jax.Array:
        return net.actor.act(state.actor.params, obs, key, explore)

    def judge(state: O2SACState, score: jax.Array) -> O2SACState:
        known = reference.judged(config, state.reference, state.actor.params, score)
        return dataclasses.replace(state, reference=known)

    return Algorithm(init, act, step.each(STAGES[config.stage](config, net, optimisers)), judge, parts.views(net))


def reevaluate(config: O2SAC, net: Networks, optimisers: dict[str, Any]) -> step.Step:
    """Critics only."""
    return step.together(optimisers, critic_loss(config, net), tau=config.tau, targets=("critic",))


def align(config: O2SAC, net: Networks, optimisers: dict[str, Any]) -> step.Step:
    """Actor and critics together; targets and temperature stay."""
    critics = {"aligned": alignment_loss(config, net), "followed": critic_loss(config, net)}
    return alignment.together(config, optimisers, critics.get(config.alignment), actor_loss(config, net))


def finetune(config: O2SAC, net: Networks, optimisers: dict[str, Any]) -> step.Step:
    """SAC under the constraint; the multiplier moves on the first update of each environment step."""
    main = step.together(
        optimisers, critic_loss(config, net), actor_loss(config, net), tau=config.tau, targets=("critic",)
    )
    if config.constrain:
        rise = step.together(optimisers, multiplier_loss(config, net))
        first = lambda clock: clock.call % config.utd == 0
        main = step.beside(main, step.when(first, rise, config.utd), "multiplier")

    def followed(state: O2SACState, batch: Transition, key: Key, clock: Clock) -> tuple[O2SACState, Metrics]:
        state, metrics = main(state, batch, key, clock)
        known = reference.followed(config, state.reference, state.actor.params)
        return dataclasses.replace(state, reference=known), metrics

    return followed


def divergence(net: Networks, known: Params, obs: jax.Array, action: jax.Array, log_prob: jax.Array) -> jax.Array:
    """KL^(s) [B] of a fresh sample: log pi(a|s) - max(log pi_ref(a|s), -50)."""
    clipped = jnp.clip(action, -MODE_LIMIT, MODE_LIMIT)
    return reference.sampled_kl(log_prob, net.actor(known, obs).log_prob(clipped))


def constrained(config: O2SAC) -> bool:
    """Whether the penalty is in the losses: in the last stage, unless it is switched off."""
    return config.stage == "finetune" and config.constrain


def td_target(config: O2SAC, net: Networks, state: O2SACState, batch: Transition, key: Key) -> jax.Array:
    """`r + g (1 - d) [min_i psi_i(s', a') - alpha log pi(a'|s') - lambda KL^(s')]`, a' ~ pi(s')."""
    noise = jax.random.normal(key, batch.action.shape)
    action, log_prob = net.actor(state.actor.params, batch.next_obs).sample_log_prob(noise)
    value = net.critic.q(state.critic.target, batch.next_obs, action).min(0)
    value = value - jnp.exp(state.temperature.params) * log_prob
    if constrained(config):
        away = divergence(net, state.reference.params, batch.next_obs, action, log_prob)
        value = value - jnp.exp(state.multiplier.params) * away
    return losses.bellman_target(batch.reward, batch.mask, value, config.discount)


def critic_loss(config: O2SAC, net: Networks) -> Gradients:
    """The TD error of both critics; the actor is the frozen one while it is re-evaluated."""

    def prepare(state: O2SACState, batch: Transition, key: Key, clock: Clock) -> Any:
        return batch.obs, batch.action, td_target(config, net, state, batch, key)

    return step.gradient_of(("critic",), temporal_difference(net), prepare, "critic/loss")


def alignment_loss(config: O2SAC, net: Networks) -> Gradients:
    """Value alignment: critics at the offline policy's mode and at a sample of the current policy."""

    def prepare(state: O2SACState, batch: Transition, key: Key, clock: Clock) -> Any:
        before = net.actor(state.offline, batch.obs)
        mode = jnp.clip(before.mode(), -MODE_LIMIT, MODE_LIMIT)
        sample = net.actor(state.actor.params, batch.obs).sample(jax.random.normal(key, batch.action.shape))
        at_mode, at_sample = (net.critic.q(state.critic.target, batch.obs, action) for action in (mode, sample))
        targets = alignment.entropy_anchor(
            at_mode, at_sample, before.log_prob(mode), before.log_prob(sample), jnp.exp(state.temperature.params)
        )
        return batch.obs, mode, sample, *targets

    def loss(params: dict[str, Params], state: O2SACState, xs: Any) -> tuple[jax.Array, Metrics]:
        obs, mode, sample, sample_target, anchor = xs
        at_sample, at_mode = (net.critic.q(params["critic"], obs, action) for action in (sample, mode))
        value = alignment.alignment_loss(at_sample, at_mode, sample_target, anchor)
        return value, {"critic/q": at_mode.mean(), "critic/anchor": anchor.mean()}

    return step.gradient_of(("critic",), loss, prepare, "critic/loss")


def actor_loss(config: O2SAC, net: Networks) -> Gradients:
    """`mean(alpha log pi - min_i phi_i + lambda KL^)`; fine-tuning learns the temperature beside it."""
    learns = config.stage == "finetune"

    def prepare(state: O2SACState, batch: Transition, key: Key, clock: Clock) -> Any:
        return batch.obs, jax.random.normal(key, batch.action.shape)

    def loss(params: dict[str, Params], state: O2SACState, xs: Any) -> tuple[jax.Array, Metrics]:
        obs, noise = xs
        temperature = jnp.exp(state.temperature.params)
        action, log_prob = net.actor(params["actor"], obs).sample_log_prob(noise)
        q = net.critic.q(state.critic.params, obs, action).min(0)
        chex.assert_rank(q, 1)
        chex.assert_equal_shape([q, log_prob])
        each = temperature * log_prob - q
        found = {"actor/q": q.mean(), "actor/entropy": -log_prob.mean(), "temperature/value": temperature}
        if constrained(config):
            away = divergence(net, state.reference.params, obs, action, log_prob)
            each = each + jnp.exp(state.multiplier.params) * away
            found |= {"reference/divergence": away.mean(), "reference/multiplier": jnp.exp(state.multiplier.params)}
        value = each.mean()
        found["actor/loss"] = value
        if learns:
            goal = -action.shape[-1] if config.target_entropy is None else config.target_entropy
            value = value - params["temperature"] * jax.lax.stop_gradient(log_prob.mean() + goal)
        return value, found

    return step.gradient_of(("actor", "temperature") if learns else ("actor",), loss, prepare)


def multiplier_loss(config: O2SAC, net: Networks) -> Gradients:
    """`exp(l) mean(|0.7 - 1[u > 0]| u)` of u = eps_t - KL^, on the sample of the actor's own loss."""

    def prepare(state: O2SACState, batch: Transition, key: Key, clock: Clock) -> Any:
        noise = jax.random.normal(jax.random.split(key)[1], batch.action.shape)
        action, log_prob = net.actor(state.actor.params, batch.obs).sample_log_prob(noise)
        limit = ramp(clock.step, config.constraint_start, config.constraint_end, config.constraint_steps)
        return limit - divergence(net, state.reference.params, batch.obs, action, log_prob)

    def loss(params: dict[str, Params], state: O2SACState, slack: jax.Array) -> tuple[jax.Array, Metrics]:
        return dual(params["multiplier"], slack, low=0.3, high=0.7), {"reference/slack": slack.mean()}

    return step.gradient_of(("multiplier",), loss, prepare)


STAGES = {"reevaluate": reevaluate, "align": align, "finetune": finetune}
