"""Off2On (Lee et al. 2021, arXiv 2107.00591): an ensemble of CQL agents offline, one SAC policy of them all online.

pretrain  N independent CQL agents, each with its own networks, temperature and rows; nothing is shared.
finetune  One update on 3 B rows (`fastrl.replay.balanced`). SAC without a penalty on the B rows that were drawn by
          priority: the policy is the moments of all N actors, every agent's critics have a target of their own at the
          policy's next action, and the actors climb the agents' mean of their minimum. The density ratio learns from
          the B rows of the dataset and the B of the ring. All losses are taken at the same old parameters.
"""

import dataclasses
from typing import Any

import chex
import jax
import jax.numpy as jnp

from fastrl.algorithms import density, group, losses, parts, rows, sac, step
from fastrl.algorithms.cql import CQLState, cql
from fastrl.algorithms.group import Group
from fastrl.algorithms.multipliers import dual
from fastrl.algorithms.optimisers import PerMember
from fastrl.algorithms.step import Gradients
from fastrl.methods import Off2On
from fastrl.networks.averaged import Averaged
from fastrl.networks.critics import Critic, Ensemble
from fastrl.types import Algorithm, Clock, Key, Metrics, Params, Spec, Transition, UserError, Views


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Off2OnState:
    """Everything Off2On learns."""

    actor: Group  # [N, ...]
    critic: Group  # [N, critics, ...], with a target
    temperatures: Group  # [N], of the agents while they are pre-trained
    alpha: Group  # [N], CQL's Lagrange weights, likewise
    temperature: Group  # [], of the one policy
    density: Group  # of w(s, a)


@dataclasses.dataclass(frozen=True)
class Networks:
    """The functions of the parameters above."""

    actor: Averaged
    critic: Ensemble  # of one agent
    density: Critic

    def q(self, params: Params, obs: jax.Array, action: jax.Array) -> jax.Array:
        """Q of all critics of all agents: [N, critics, B]."""
        return jax.vmap(self.critic.q, (0, None, None))(params, obs, action)


def off2on(config: Off2On, spec: Spec) -> Algorithm:
    """Off2On for this environment, in the stage of its configuration."""
    sac.check(config)
    net, agent = networks(config, spec), cql(config, spec)
    optimisers = optimisers_of(config)

    def init(key: Key) -> Off2OnState:
        agents_key, density_key = jax.random.split(key)
        each = jax.vmap(agent.init)(jax.random.split(agents_key, config.members))
        example = jnp.zeros((1, spec.obs_size)), jnp.zeros((1, spec.action_size))
        ratio = net.density.init(density_key, *example)["params"]
        temperature = losses.positive_inverse(config.initial_temperature, config.temperature_form)
        return Off2OnState(
            each.actor,
            each.critic,
            each.temperature,
            each.alpha,
            group.start(temperature, optimisers["temperature"]),
            group.start(ratio, optimisers["density"]),
        )

    def act(state: Off2OnState, obs: jax.Array, key: Key, explore: bool) -> jax.Array:
        return net.actor.act(state.actor.params, obs, key, explore)

    def weigh(state: Off2OnState, drawn: Transition) -> jax.Array:
        """Priorities [..., B] of the first B of rows [..., 3 B]."""
        ratios = density.ratio(net.density, state.density.params, drawn.obs, drawn.action)
        own, offline, _ = jnp.split(ratios, 3, axis=-1)
        return density.priority(own, offline, config.density_temperature)

    update = pretrain(config, agent) if config.stage == "pretrain" else finetune(config, net, optimisers)
    return Algorithm(init, act, update, views=views(net), weigh=weigh)


def networks(config: Off2On, spec: Spec) -> Networks:
    """The networks, each agent's as CQL has them."""
    own = parts.networks(config, spec)
    ratio = density.network(spec.obs_size, spec.action_size, config.density_hidden)
    return Networks(Averaged(own.actor.module), own.critic, ratio)


def optimisers_of(config: Off2On) -> dict[str, Any]:
    """As SAC's; those of the actors and the critics have a state for each agent."""
    own = sac.optimisers_of(config)
    shared = {"temperature": own["temperature"], "density": parts.optimisers.adam(config.density_lr)}
    return shared | {name: PerMember(own[name]) for name in ("actor", "critic")}


def views(net: Networks) -> Views:
    """The one policy, and all critics in one ensemble."""

    def flat(q: jax.Array) -> jax.Array:
        return q.reshape(-1, q.shape[-1])

    return Views(
        policy=lambda state, obs: net.actor(state.actor.params, obs),
        q=lambda state, obs, action: flat(net.q(state.critic.params, obs, action)),
        target_q=lambda state, obs, action: flat(net.q(state.critic.target, obs, action)),
    )


def pretrain(config: Off2On, agent: Algorithm) -> step.Update:
    """CQL's update of each agent, on rows of its own: batches [U, N B, ...]."""
    members = config.members

    def update(state: Off2OnState, batches: Transition, key: Key, clock: Clock) -> tuple[Off2OnState, Metrics]:
        _divides(batches, members, "the dataset's rows, as many for each agent")
        own = jax.tree.map(lambda x: x.reshape(x.shape[0], members, -1, *x.shape[2:]).swapaxes(0, 1), batches)
        agents = CQLState(state.actor, state.critic, state.temperatures, state.alpha)
        learn = lambda agent_state, rows, key: agent.update(agent_state, rows, key, clock)
        agents, metrics = rows.members(learn, agents, own, jax.random.split(key, members))
        state = dataclasses.replace(
            state, actor=agents.actor, critic=agents.critic, temperatures=agents.temperature, alpha=agents.alpha
        )
        return state, jax.tree.map(lambda x: x.mean(0), metrics)

    return update


def finetune(config: Off2On, net: Networks, optimisers: dict[str, Any]) -> step.Update:
    """SAC of the one policy and the density ratio, on each of the U minibatches [3 B, ...] in turn."""
    learnt = [critic_loss(config, net), density_loss(net)]
    if not config.critics_alone:
        learnt.insert(1, actor_loss(config, net))
    together = step.together(optimisers, *learnt, tau=config.tau, targets=("critic",))

    def update(state: Off2OnState, batch: Transition, key: Key, clock: Clock) -> tuple[Off2OnState, Metrics]:
        _divides(jax.tree.map(lambda x: x[None], batch), 3, "rows by priority (name the recipe off2on)")
        return together(state, batch, key, clock)

    return step.each(update)


def thirds(batch: Transition) -> list[Transition]:
    """Rows by priority, of the dataset and of the ring, [B, ...] each, of a minibatch [3 B, ...]."""
    count = batch.reward.shape[0] // 3
    return [jax.tree.map(lambda x: x[part * count : (part + 1) * count], batch) for part in range(3)]


def td_target(config: Off2On, net: Networks, state: Off2OnState, batch: Transition, key: Key) -> jax.Array:
    """`y_i = r + g (1 - d) [min_j psi_ij(s', a') - alpha log pi(a'|s')]` [B, N], one a' ~ pi(s') for all agents i."""
    noise = jax.random.normal(key, batch.action.shape)
    action, log_prob = net.actor(state.actor.params, batch.next_obs).sample_log_prob(noise)
    temperature = losses.positive(state.temperature.params, config.temperature_form)
    value = net.q(state.critic.target, batch.next_obs, action).min(1) - temperature * log_prob[None]
    target = lambda value: losses.bellman_target(batch.reward, batch.mask, value, config.discount)
    return jax.vmap(target, out_axes=1)(value)


def critic_loss(config: Off2On, net: Networks) -> Gradients:
    """The TD errors of all critics, a sum over agents and their critics, each on its agent's target."""

    def prepare(state: Off2OnState, batch: Transition, key: Key, clock: Clock) -> Any:
        batch = thirds(batch)[0]
        return batch.obs, batch.action, td_target(config, net, state, batch, key)

    def loss(params: dict[str, Params], state: Off2OnState, xs: Any) -> tuple[jax.Array, Metrics]:
        obs, action, target = xs
        q = net.q(params["critic"], obs, action)
        value = jax.vmap(losses.summed_error, (0, 1))(q, target).sum()
        return value, {"critic/q": q.mean(), "critic/target": target.mean()}

    return step.gradient_of(("critic",), loss, prepare, "critic/loss")


def actor_loss(config: Off2On, net: Networks) -> Gradients:
    """`mean(alpha log pi - avg_i min_j phi_ij)`, whose gradient reaches all actors; and the temperature's loss."""

    def prepare(state: Off2OnState, batch: Transition, key: Key, clock: Clock) -> Any:
        obs = thirds(batch)[0].obs
        return obs, jax.random.normal(key, (obs.shape[0], batch.action.shape[-1]))

    def loss(params: dict[str, Params], state: Off2OnState, xs: Any) -> tuple[jax.Array, Metrics]:
        obs, noise = xs
        temperature = losses.positive(state.temperature.params, config.temperature_form)
        action, log_prob = net.actor(params["actor"], obs).sample_log_prob(noise)
        q = net.q(state.critic.params, obs, action).min(1).mean(0)
        chex.assert_rank(q, 1)
        chex.assert_equal_shape([q, log_prob])
        value = (temperature * log_prob - q).mean()
        goal = -action.shape[-1] if config.target_entropy is None else config.target_entropy
        multiplier = dual(params["temperature"], -log_prob - goal, form=config.temperature_form)
        found = {"actor/entropy": -log_prob.mean(), "actor/q": q.mean(), "actor/loss": value}
        return value + multiplier, found | {"temperature/value": temperature}

    return step.gradient_of(("actor", "temperature"), loss, prepare)


def density_loss(net: Networks) -> Gradients:
    """The density ratio, on rows of the dataset and of the ring."""

    def prepare(state: Off2OnState, batch: Transition, key: Key, clock: Clock) -> Any:
        return [(part.obs, part.action) for part in thirds(batch)[1:]]

    def loss(params: dict[str, Params], state: Off2OnState, xs: Any) -> tuple[jax.Array, Metrics]:
        offline, online = (density.ratio(net.density, params["density"], *part) for part in xs)
        return density.loss(offline, online), {"density/offline": offline.mean(), "density/online": online.mean()}

    return step.gradient_of(("density",), loss, prepare, "density/loss")


def _divides(batches: Transition, count: int, what: str) -> None:
    """Refuses minibatches that are not made of so many parts."""
    if (found := batches.reward.shape[1]) % count:
        raise UserError(f"Off2On learns from {what}; {found} rows are not {count} equal parts")
