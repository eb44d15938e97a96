"""Actor-Critic Alignment (Yu and Zhang, ICML 2023): SAC whose critics agree with the offline policy from the start.

Q(s, a) = R(s, a) + w [softplus(log pi0(a|s) - c(s)) + c(s)]: R is learned, and starts as the baseline Z(s) of SAC+ML
for every action; pi0 is the offline policy; c(s) is the lower of its log densities `density_floor` stds from the mean,
to the one side and to the other, so that no action is infinitely bad. One update: a step of the critics, then one of
actor and temperature with the critics just stepped, all losses SAC's; then w, 1 at first, falls by `1 / density_steps`.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from fastrl.algorithms import parts, sac, sacml, step
from fastrl.algorithms.parts import Networks
from fastrl.algorithms.sac import SACState
from fastrl.algorithms.step import Gradients
from fastrl.methods import ACA
from fastrl.networks.critics import Ensemble
from fastrl.types import Algorithm, Clock, Key, Metrics, Params, Spec, Transition, Views


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class ACAState(SACState):
    """Everything ACA learns and remembers; the critics' parameters are those of R."""

    offline: Params  # pi0
    weight: jax.Array  # [] w


@dataclasses.dataclass(frozen=True)
class Aligned:
    """Critics as a sum of an ensemble and a function of state and action that they share; as `Ensemble`."""

    residual: Ensemble
    shared: Callable[[jax.Array, jax.Array], jax.Array]  # (obs [B, O], action [B, A]) -> [B]

    def q(self, params: Params, obs: jax.Array, action: jax.Array) -> jax.Array:
        """Q of all critics [N, B]."""
        return self.residual.q(params, obs, action) + self.shared(obs, action)[None]

    def reduced(self, params: Params, obs: jax.Array, action: jax.Array, how: str) -> jax.Array:
        """The minimum or the mean over all critics [B], the learned part's alone, as the other is the same for all.

        A compiler that fuses the sum into the minimum may round it twice, and then no critic is the least to the
        minimum's gradient, which is not finite.
        """
        return self.residual.reduced(params, obs, action, how) + self.shared(obs, action)

    def candidates(self, params: Params, obs: jax.Array, actions: jax.Array) -> jax.Array:
        """Q of K actions a row: actions [B, K, A] -> [N, B, K]."""
        each = jax.vmap(self.shared, (None, 1), 1)(obs, actions)
        return self.residual.candidates(params, obs, actions) + each[None]

    def subset(self, params: Params, index: jax.Array | None) -> Params:
        """The parameters of these critics."""
        return self.residual.subset(params, index)


def aca(config: ACA, spec: Spec) -> Algorithm:
    """ACA for this environment."""
    sac.check(config)
    config = sacml.settled(config)
    net, optimisers = sacml.networks(config, spec), sac.optimisers_of(config)

    def init(key: Key) -> ACAState:
        groups = sac.initial(config, spec, net, optimisers, key)
        return ACAState(**groups, offline=jax.tree.map(jnp.copy, groups["actor"].params), weight=jnp.float32(1.0))

    def act(state: ACAState, obs: jax.Array, key: Key, explore: bool) -> jax.Array:
        return net.actor.act(state.actor.params, obs, key, explore)

    critic = step.together(optimisers, with_density(sac.critic_loss, config, net), tau=config.tau, targets=("critic",))
    actor = step.together(optimisers, with_density(sac.actor_loss, config, net))
    update = sac.sequential(config, critic, step.chain(actor, fading(config)))
    return Algorithm(init, act, update, views=views(config, net))


def density(config: ACA, net: Networks, offline: Params, obs: jax.Array, action: jax.Array) -> jax.Array:
    """`softplus(log pi0(a|s) - c(s)) + c(s)` [B], never below c(s)."""
    dist = net.actor(offline, obs)
    edges = (
        dist.sample_log_prob(side * jnp.ones_like(action))[1] for side in (-config.density_floor, config.density_floor)
    )
    floor = jnp.minimum(*edges)
    return jax.nn.softplus(dist.log_prob(action) - floor) + floor


def aligned(config: ACA, net: Networks, state: ACAState) -> Any:
    """The networks, with the critics' Q."""
    shared = lambda obs, action: state.weight * density(config, net, state.offline, obs, action)
    return net._replace(critic=Aligned(net.critic, shared))  # type: ignore[arg-type]


def views(config: ACA, net: Networks) -> Views:
    """What a state believes, the critics with the density in them."""

    def q(state: ACAState, obs: jax.Array, action: jax.Array) -> jax.Array:
        return aligned(config, net, state).critic.q(state.critic.params, obs, action)

    def target_q(state: ACAState, obs: jax.Array, action: jax.Array) -> jax.Array:
        return aligned(config, net, state).critic.q(state.critic.target, obs, action)

    return parts.views(net)._replace(q=q, target_q=target_q)


def with_density(loss: Callable[[ACA, Networks], Gradients], config: ACA, net: Networks) -> Gradients:
    """A loss of SAC, with Q as its critics."""

    def gradients(state: ACAState, batch: Transition, key: Key, clock: Clock) -> tuple[dict[str, Params], Metrics]:
        return loss(config, aligned(config, net, state))(state, batch, key, clock)

    return gradients


def fading(config: ACA) -> step.Step:
    """`w <- max(w - 1 / density_steps, density_end)`."""

    def fade(state: ACAState, batch: Transition, key: Key, clock: Clock) -> tuple[ACAState, Metrics]:
        weight = jnp.maximum(state.weight - 1.0 / config.density_steps, config.density_end)
        return dataclasses.replace(state, weight=weight), {"density/weight": state.weight}

    return fade


def from_baselines(fresh: Params, baselines: Params) -> Params:
    """Critics R [N, ...] with R(s, a) = Z(s): the baselines' parameters, and kernel rows of zeros for the action."""
    pad = lambda new, old: jnp.pad(old, [(0, wide - narrow) for wide, narrow in zip(new.shape, old.shape, strict=True)])
    return jax.tree.map(pad, fresh, baselines)
