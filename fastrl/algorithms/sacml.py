"""SAC+ML, the offline stage of Actor-Critic Alignment (Yu and Zhang, ICML 2023).

One update: a step of the critics, with SAC's target, and of the baselines Z; then one of actor and temperature, with
the critics just stepped: SAC's loss over the batch's mean of |Q|, and maximum likelihood of the data's actions. A
baseline is what is left of Q when the policy's log density is taken from it, Q(s, a) = log pi(a|s) + Z(s); it is a
critic of an empty action, so that its parameters fit a critic's.
"""

import dataclasses
from typing import Any

import chex
import jax
import jax.numpy as jnp

from fastrl.algorithms import group, losses, parts, sac, step
from fastrl.algorithms.group import Group
from fastrl.algorithms.multipliers import dual
from fastrl.algorithms.parts import Networks
from fastrl.algorithms.sac import SACState
from fastrl.algorithms.step import Gradients
from fastrl.methods import SACML
from fastrl.networks import trunk
from fastrl.networks.critics import Ensemble
from fastrl.types import Algorithm, Clock, Key, Metrics, Params, Spec, Transition


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class SACMLState(SACState):
    """Everything SAC+ML learns."""

    baseline: Group


def sacml(config: SACML, spec: Spec) -> Algorithm:
    """SAC+ML for this environment."""
    sac.check(config)
    config, net = settled(config), networks(config, spec)
    beside = baselines(config, spec)
    optimisers = sac.optimisers_of(config) | {"baseline": parts.optimiser(config, "critic", config.critic_lr)}

    def init(key: Key) -> SACMLState:
        own_key, baseline_key = jax.random.split(key)
        baseline = group.start(beside.init(baseline_key, spec.obs_size, 0), optimisers["baseline"])
        return SACMLState(**sac.initial(config, spec, net, optimisers, own_key), baseline=baseline)

    def act(state: SACMLState, obs: jax.Array, key: Key, explore: bool) -> jax.Array:
        return net.actor.act(state.actor.params, obs, key, explore)

    values: Any = (sac.critic_loss(config, net), baseline_loss(config, net, beside))
    critic = step.together(optimisers, *values, tau=config.tau, targets=("critic",))
    rest = step.together(optimisers, actor_loss(config, net))
    return Algorithm(init, act, sac.sequential(config, critic, rest), views=parts.views(net))


def settled(config: Any) -> Any:
    """The options as the losses of SAC read them: alpha is exp(l), learned on the actor's own samples."""
    return dataclasses.replace(config, temperature_form="exp", temperature_obs="current", critic=None, dropout=0.0)


def networks(config: SACML, spec: Spec) -> Networks:
    """A squashed Gaussian, or a plain one with a tanh on its mean, and the critics."""
    return parts.networks(config, spec, squash=config.squash, tanh_mean=not config.squash)


def baselines(config: SACML, spec: Spec) -> Ensemble:
    """The functions Z, one for each critic."""
    return parts.ensemble(config, dataclasses.replace(spec, action_size=0), trunk.orthogonal)


def value(beside: Ensemble, params: Params, obs: jax.Array) -> jax.Array:
    """Z of all baselines [N, B]."""
    return beside.q(params, obs, obs[:, :0])


def baseline_loss(config: SACML, net: Networks, beside: Ensemble) -> Gradients:
    """`mean (log pi(a|s) + Z_j(s) - y)^2`; no gradient reaches the policy (ACA, baselines).

    y is `r + g (1 - d) [log pi(a'|s') + min_j Z_j(s') - alpha log pi(a'|s')]` with a' ~ pi(s'). The baselines have no
    slow copy: these are the current ones, as in the released code.
    """

    def prepare(state: SACMLState, batch: Transition, key: Key, clock: Clock) -> Any:
        dist = net.actor(state.actor.params, batch.next_obs)
        _, log_prob = dist.sample_log_prob(jax.random.normal(key, batch.action.shape))
        least = value(beside, state.baseline.params, batch.next_obs).min(0)
        chex.assert_equal_shape([log_prob, least])
        after = least + (1.0 - jnp.exp(state.temperature.params)) * log_prob
        target = losses.bellman_target(batch.reward, batch.mask, after, config.discount)
        return batch.obs, target - net.actor(state.actor.params, batch.obs).log_prob(batch.action)

    def loss(params: dict[str, Params], state: SACMLState, xs: Any) -> tuple[jax.Array, Metrics]:
        obs, target = xs
        z = value(beside, params["baseline"], obs)
        return losses.squared_error(z, target), {"baseline/z": z.mean()}

    return step.gradient_of(("baseline",), loss, prepare, "baseline/loss")


def actor_loss(config: SACML, net: Networks) -> Gradients:
    """`(w / mean |Q|) mean(alpha log pi - Q) - mean log pi(a|s)`, Q the critics' minimum; the temperature beside it."""

    def prepare(state: SACMLState, batch: Transition, key: Key, clock: Clock) -> Any:
        return batch, jax.random.normal(key, batch.action.shape)

    def loss(params: dict[str, Params], state: SACMLState, xs: Any) -> tuple[jax.Array, Metrics]:
        batch, noise = xs
        temperature = jnp.exp(state.temperature.params)
        dist = net.actor(params["actor"], batch.obs)
        action, log_prob = dist.sample_log_prob(noise)
        q = net.critic.reduced(state.critic.params, batch.obs, action, config.actor_q)
        chex.assert_equal_shape([q, log_prob])
        likelihood = dist.log_prob(batch.action).mean()
        value = losses.relative(config.q_weight, q) * (temperature * log_prob - q).mean() - likelihood
        goal = -batch.action.shape[-1] if config.target_entropy is None else config.target_entropy
        found = {"actor/loss": value, "actor/q": q.mean(), "actor/entropy": -log_prob.mean()}
        found |= {"actor/log_prob": likelihood, "temperature/value": temperature}
        return value + dual(params["temperature"], -log_prob - goal), found

    return step.gradient_of(("actor", "temperature"), loss, prepare, whole=True)
