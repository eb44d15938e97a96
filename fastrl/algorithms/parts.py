"""The networks and optimisers of an actor-critic, from its options: built in, or handed over by the user."""

from typing import Any, NamedTuple

import jax

from fastrl import plugins
from fastrl.algorithms import optimisers
from fastrl.config import ActorCritic
from fastrl.networks import critics, policy, trunk
from fastrl.networks.critics import Critic, Ensemble
from fastrl.networks.distributions import Delta, Normal, TanhNormal
from fastrl.networks.policy import DeterministicActor, GaussianActor, Policy
from fastrl.types import Spec, Views


class Networks(NamedTuple):
    """An actor and an ensemble of critics, as functions of their parameters."""

    actor: Policy
    critic: Ensemble


def networks(
    config: ActorCritic,
    spec: Spec,
    *,
    squash: bool = True,
    tanh_mean: bool = False,
    initializer: trunk.Initializer = trunk.orthogonal,
) -> Networks:
    """A Gaussian actor, and `num_critics` critics."""
    actor = gaussian(config, spec, squash=squash, tanh_mean=tanh_mean, initializer=initializer)
    return Networks(actor, ensemble(config, spec, initializer))


def policy_view(actor: Policy) -> Views:
    """What a state with the group `actor` and without critics of actions believes."""
    return Views(lambda state, obs: actor(state.actor.params, obs))


def views(net: Networks) -> Views:
    """What a state with the groups `actor` and `critic` believes; without a target the critics are their own."""

    def target_q(state: Any, obs: jax.Array, action: jax.Array) -> jax.Array:
        group = state.critic
        return net.critic.q(group.params if group.target is None else group.target, obs, action)

    return Views(
        policy=lambda state, obs: net.actor(state.actor.params, obs),
        q=lambda state, obs, action: net.critic.q(state.critic.params, obs, action),
        target_q=target_q,
    )


def gaussian(
    config: ActorCritic,
    spec: Spec,
    *,
    squash: bool = True,
    tanh_mean: bool = False,
    initializer: trunk.Initializer = trunk.orthogonal,
) -> Policy:
    """A Gaussian actor, squashed by tanh or not."""
    module = GaussianActor(
        obs_size=spec.obs_size,
        action_size=spec.action_size,
        widths=config.actor_hidden,
        layer_norm=config.layer_norm if config.actor_layer_norm is None else config.actor_layer_norm,
        std=config.std,
        fixed_std=config.fixed_std,
        squash=squash,
        tanh_mean=tanh_mean,
        max_log_std=getattr(config, "max_log_std", None),
        min_log_std=getattr(config, "min_log_std", None),
        final_gain=config.kernel_scale_final,
        dropout=config.dropout,
        initializer=initializer,
    )
    return own_actor(config, spec, module, (TanhNormal if squash else Normal,))


def deterministic(config: ActorCritic, spec: Spec) -> Networks:
    """A deterministic actor (TD3), and `num_critics` critics."""
    normed = config.layer_norm if config.actor_layer_norm is None else config.actor_layer_norm
    module = DeterministicActor(spec.obs_size, spec.action_size, config.actor_hidden, normed)
    return Networks(own_actor(config, spec, module, (Delta,)), ensemble(config, spec, trunk.orthogonal))


def own_actor(config: ActorCritic, spec: Spec, built_in: Any, kinds: tuple[type, ...]) -> Policy:
    """The user's actor, checked, or the built-in one."""
    if config.actor is None:
        return Policy(built_in)
    module = plugins.made_for(plugins.resolve("actor", config.actor), spec)
    policy.check(module, spec.obs_size, spec.action_size, kinds)
    return Policy(module)


def ensemble(config: Any, spec: Spec, initializer: trunk.Initializer) -> Ensemble:
    """The user's critic, checked, or the built-in one, `num_critics` times."""
    shared = ("head",) if getattr(config, "shared_head", False) else ()
    if config.critic is not None:
        module = plugins.made_for(plugins.resolve("critic", config.critic), spec)
        critics.check(module, spec.obs_size, spec.action_size)
        return Ensemble(module, config.num_critics)
    module = Critic(
        obs_size=spec.obs_size,
        action_size=spec.action_size,
        widths=config.critic_hidden,
        layer_norm=config.layer_norm,
        gain=config.kernel_scale,
        final_gain=None if initializer is trunk.glorot else config.kernel_scale_final,
        initializer=initializer,
    )
    return Ensemble(module, config.num_critics, shared)


def optimiser(config: ActorCritic, name: str, rate: Any, warmup: int = 0) -> Any:
    """The user's optimiser of `name` (actor or critic), checked, or Adam as the options say."""
    given = getattr(config, f"{name}_optimizer")
    if given is None:
        return optimisers.adam(rate, config, warmup, name)
    found = plugins.resolve(f"{name}_optimizer", given)
    found = found() if callable(found) and not hasattr(found, "init") else found
    optimisers.check(f"{name}_optimizer", found)
    return found


def actor_critic_optimisers(config: ActorCritic) -> dict[str, Any]:
    """The optimisers of `actor` and `critic`."""
    return {
        "actor": optimiser(config, "actor", config.actor_lr),
        "critic": optimiser(config, "critic", config.critic_lr),
    }
