"""O2TD3 (OCR-CFT): TD3 from an offline policy alone, in three stages over one state.

reevaluate  critics fitted anew to the frozen policy's smoothed actions; nothing else changes but their targets.
align       actor and critics together on states of the dataset, the target critics as the anchor: what an action is
            worth falls off with its distance to the offline policy's.
finetune    TD3 with a penalty for leaving the reference policy. Critics are stepped at every update; at every second,
            and with these critics, multiplier and actor are, and then all targets move.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from fastrl.algorithms import alignment, parts, reference, step, td3
from fastrl.algorithms.group import Group
from fastrl.algorithms.group import start as start_group
from fastrl.algorithms.multipliers import dual, ramp
from fastrl.algorithms.parts import Networks
from fastrl.algorithms.reference import Reference
from fastrl.algorithms.step import Gradients
from fastrl.methods import O2TD3
from fastrl.types import Algorithm, Clock, Key, Metrics, Params, Spec, Transition


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class O2TD3State:
    """Everything O2TD3 learns and remembers."""

    actor: Group  # with a target
    critic: Group  # with a target
    multiplier: Group  # [], its logarithm
    offline: Params  # the policy that it started from
    reference: Reference


def o2td3(config: O2TD3, spec: Spec) -> Algorithm:
    """O2TD3 for this environment, in the stage of its configuration."""
    net = parts.deterministic(config, spec)
    optimisers = parts.actor_critic_optimisers(config) | {"multiplier": parts.optimisers.adam(config.multiplier_lr)}

    def init(key: Key) -> O2TD3State:
        groups = td3.initial(spec, net, optimisers, key)
        multiplier = start_group(jnp.log(jnp.asarray(config.initial_multiplier, jnp.float32)), optimisers["multiplier"])
        offline = jax.tree.map(jnp.copy, groups["actor"].params)
        return O2TD3State(**groups, multiplier=multiplier, offline=offline, reference=reference.start(offline))

    def judge(state: O2TD3State, score: jax.Array) -> O2TD3State:
        known = reference.judged(config, state.reference, state.actor.params, score)
        return dataclasses.replace(state, reference=known)

    update = step.each(STAGES[config.stage](config, net, optimisers))
    return Algorithm(init, td3.acting(config, net), update, judge, parts.views(net))


def reevaluate(config: O2TD3, net: Networks, optimisers: dict[str, Any]) -> step.Step:
    """Critics only; their targets move at every step."""
    return step.together(optimisers, critic_loss(config, net), tau=config.tau, targets=("critic",))


def align(config: O2TD3, net: Networks, optimisers: dict[str, Any]) -> step.Step:
    """Actor and critics together, at every step; targets stay."""
    critics = {"aligned": alignment_loss(config, net), "followed": critic_loss(config, net)}
    return alignment.together(config, optimisers, critics.get(config.alignment), actor_loss(config, net))


def finetune(config: O2TD3, net: Networks, optimisers: dict[str, Any]) -> step.Step:
    """TD3's order, with the multiplier beside the actor."""
    delayed = step.together(optimisers, actor_loss(config, net))
    if config.constrain:
        delayed = step.together(optimisers, actor_loss(config, net), multiplier_loss(config, net))
    moved = step.averaged(config.tau, "actor", "critic")

    def followed(state: O2TD3State, batch: Transition, key: Key, clock: Clock) -> tuple[O2TD3State, Metrics]:
        return dataclasses.replace(state, reference=reference.followed(config, state.reference, state.actor.params)), {}

    return step.chain(
        step.together(optimisers, critic_loss(config, net)),
        step.every(config.policy_delay, step.chain(delayed, moved, followed)),
    )


def constrained(config: O2TD3) -> bool:
    """Whether the penalty is in the losses: in the last stage, unless it is switched off."""
    return config.stage == "finetune" and config.constrain


def distance(net: Networks, state: O2TD3State, actor: Params, obs: jax.Array) -> jax.Array:
    """`(pi(s) - pi_ref(s))^2` [B, A]."""
    return jnp.square(net.actor(actor, obs).mode() - net.actor(state.reference.params, obs).mode())


def critic_loss(config: O2TD3, net: Networks) -> Gradients:
    """The TD error of the critics: at the frozen policy's smoothed action, or TD3's with the penalty lambda M.

    M is one number for all rows, the mean of the current actor's distance to the reference, as in the released code.
    """

    def prepare(state: O2TD3State, batch: Transition, key: Key, clock: Clock) -> Any:
        actors = {"reevaluate": state.offline, "align": state.actor.params, "finetune": state.actor.target}
        actor = actors[config.stage]
        penalty: Any = 0.0
        if constrained(config):
            away = distance(net, state, state.actor.params, batch.next_obs)
            away = away.mean() if config.penalty == "mean" else away.mean(-1)
            penalty = jnp.exp(state.multiplier.params) * away
        return batch.obs, batch.action, td3.td_target(config, net, actor, state.critic.target, batch, key, penalty)

    return step.gradient_of(("critic",), td3.temporal_difference(net), prepare, "critic/loss")


def alignment_loss(config: O2TD3, net: Networks) -> Gradients:
    """Value alignment: critics at the offline policy's action and at the current one's with noise on it."""

    def prepare(state: O2TD3State, batch: Transition, key: Key, clock: Clock) -> Any:
        mode = net.actor(state.offline, batch.obs).mode()
        noisy = td3.smoothed_action(config, net, state.actor.params, batch.obs, key)
        at_mode, at_noisy = (net.critic.q(state.critic.target, batch.obs, action) for action in (mode, noisy))
        away = alignment.action_distance(noisy, mode, config.distance_limit)
        targets, anchor = alignment.distance_anchor(at_mode, at_noisy, away, config.distance_weight)
        return batch.obs, mode, noisy, targets.T, anchor

    def loss(params: dict[str, Params], state: O2TD3State, xs: Any) -> tuple[jax.Array, Metrics]:
        obs, mode, noisy, targets, anchor = xs
        at_noisy, at_mode = (net.critic.q(params["critic"], obs, action) for action in (noisy, mode))
        value = alignment.alignment_loss(at_noisy, at_mode, targets.T, anchor)
        return value, {"critic/q": at_mode.mean(), "critic/anchor": anchor.mean()}

    return step.gradient_of(("critic",), loss, prepare, "critic/loss")


def actor_loss(config: O2TD3, net: Networks) -> Gradients:
    """`-mean phi_1(s, pi(s))`; fine-tuning divides it by `mean |phi_1|` and adds `lambda mean (pi - pi_ref)^2`."""

    def loss(params: dict[str, Params], state: O2TD3State, batch: Transition) -> tuple[jax.Array, Metrics]:
        action = net.actor(params["actor"], batch.obs).mode()
        q = net.critic.q(td3.first(state.critic.params), batch.obs, action)[0]
        value, found = -q.mean(), {"actor/q": q.mean()}
        if config.stage == "finetune":
            value = value / jax.lax.stop_gradient(jnp.abs(q).mean())
        if constrained(config):
            away = jnp.square(action - net.actor(state.reference.params, batch.obs).mode()).mean()
            multiplier = jnp.exp(state.multiplier.params)
            value = value + multiplier * away
            found |= {"reference/divergence": away, "reference/multiplier": multiplier}
        return value, found

    return step.gradient_of(("actor",), loss, lambda state, batch, key, clock: batch, "actor/loss", whole=True)


def multiplier_loss(config: O2TD3, net: Networks) -> Gradients:
    """`exp(l) mean(|0.7 - 1[u > 0]| u)` of u = eps_t - (pi - pi_ref)^2, number by number."""

    def prepare(state: O2TD3State, batch: Transition, key: Key, clock: Clock) -> Any:
        limit = ramp(clock.step, config.constraint_start, config.constraint_end, config.constraint_steps)
        return limit - distance(net, state, state.actor.params, batch.obs)

    def loss(params: dict[str, Params], state: O2TD3State, slack: jax.Array) -> tuple[jax.Array, Metrics]:
        return dual(params["multiplier"], slack, low=0.3, high=0.7), {"reference/slack": slack.mean()}

    return step.gradient_of(("multiplier",), loss, prepare)


STAGES = {"reevaluate": reevaluate, "align": align, "finetune": finetune}
