"""Conservative Q-learning and Cal-QL: SAC with a penalty on the critics, CQL(H).

One update is SAC's, with the penalty added to the critics' loss. Cal-QL differs in one line: Q of the policy's
candidates is bounded below by the Monte-Carlo return before the importance weights.
"""

import dataclasses
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp

from fastrl.algorithms import group, losses, parts, rows
from fastrl.algorithms.group import Group
from fastrl.algorithms.multipliers import dual
from fastrl.algorithms.optimisers import adam
from fastrl.algorithms.parts import Networks
from fastrl.algorithms.sac import actor_loss, check, critic_loss, initial, optimisers_of, order
from fastrl.methods import CQL, CalQL
from fastrl.networks import critics
from fastrl.types import Algorithm, Clock, Key, Metrics, Params, Spec, Transition


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class CQLState:
    """Everything CQL learns: SAC's groups and the Lagrange weight."""

    actor: Group
    critic: Group  # with a target
    temperature: Group  # [], before softplus or exp
    alpha: Group  # [], before softplus; at rest unless config.gap is set


class Candidates(NamedTuple):
    """Actions at which Q is pushed down, K per row: uniform, then from pi(s), then from pi(s')."""

    action: jax.Array  # [B, K, A]
    log_density: jax.Array  # [B, K]


def cql(config: CQL, spec: Spec) -> Algorithm:
    """CQL, or Cal-QL where the configuration is one."""
    check(config)
    net = parts.networks(config, spec)
    optimisers = optimisers_of(config) | {"alpha": adam(config.alpha_lr)}

    def init(key: Key) -> CQLState:
        alpha = group.start(losses.positive_inverse(1.0, "softplus"), optimisers["alpha"])
        return CQLState(**initial(config, spec, net, optimisers, key), alpha=alpha)

    def act(state: CQLState, obs: jax.Array, key: Key, explore: bool) -> jax.Array:
        return net.actor.act(state.actor.params, obs, key, explore)

    temporal_difference = critic_loss(config, net)

    def critic(state: CQLState, batch: Transition, key: Key, clock: Clock) -> tuple[dict[str, Params], Metrics]:
        td_key, penalty_key = jax.random.split(key)
        td, td_metrics = temporal_difference(state, batch, td_key, clock)
        penalty, metrics = penalty_gradient(config, net, state, batch, penalty_key)
        grads: dict[str, Params] = {"critic": jax.tree.map(jnp.add, td["critic"], penalty)}
        if config.gap is not None:
            slack = config.gap - metrics["cql/gap"]
            grads["alpha"] = jax.grad(dual)(state.alpha.params, slack, form="softplus")
        return grads, td_metrics | metrics

    update = order(config, optimisers, critic, actor_loss(config, net))
    return Algorithm(init, act, update, views=parts.views(net))


def draw_candidates(config: CQL, net: Networks, actor: Params, batch: Transition, key: Key) -> Candidates:
    """`cql_actions` of each kind with their log densities; no gradient reaches the actor."""
    keys = jax.random.split(key, 3)
    shape = (batch.reward.shape[0], config.cql_actions, batch.action.shape[-1])
    uniform = jax.random.uniform(keys[0], shape, minval=-1.0, maxval=1.0)
    here = net.actor(actor, batch.obs).candidates(jax.random.normal(keys[1], shape))
    there = net.actor(actor, batch.next_obs).candidates(jax.random.normal(keys[2], shape))
    flat = jnp.full(shape[:-1], shape[-1] * jnp.log(0.5))
    return Candidates(
        jnp.concatenate([uniform, here[0], there[0]], 1),
        jnp.concatenate([flat, here[1], there[1]], 1),
    )


def bound(config: CQL, q: jax.Array, mc_return: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Cal-QL's lower bound on candidates' Q [n, B, K] and the share of policy Q that it lifts."""
    if not isinstance(config, CalQL):
        return q, jnp.zeros(())
    first = 0 if config.bound_random_actions else config.cql_actions
    floor = mc_return[None, :, None]
    rate = (q[:, :, config.cql_actions :] < floor).mean()
    return jnp.concatenate([q[:, :, :first], jnp.maximum(q[:, :, first:], floor)], -1), rate


def conservative_gap(config: CQL, q: jax.Array, q_data: jax.Array, log_density: jax.Array) -> jax.Array:
    """`T logsumexp(.) - Q(s, a)` of candidates' q [n, B, K], q_data [n, B] -> [n, B]."""
    chex.assert_rank([q, q_data, log_density], [3, 2, 2])
    chex.assert_equal_shape_prefix([q, q_data], 2)
    chex.assert_equal_shape([q[0], log_density])
    if config.importance_sampling:
        q = q - log_density[None]
    else:
        q = jnp.concatenate([q, q_data[..., None]], -1)
        q = q - config.cql_temperature * jnp.log(q.shape[-1])
    gap = losses.soft_maximum(q, config.cql_temperature) - q_data
    return gap if config.clip_gap is None else jnp.clip(gap, -config.clip_gap, config.clip_gap)


def penalty_gradient(
    config: CQL, net: Networks, state: CQLState, batch: Transition, key: Key
) -> tuple[Params, Metrics]:
    """Gradient of `weight * mean(gap)` over the penalised critics; the others never run."""
    subset_key, candidates_key = jax.random.split(key)
    drawn = None
    if config.penalized == "subset":
        drawn = critics.draw_subset(subset_key, config.num_critics, config.subset_size, config.subset_replacement)
    penalized, back = jax.vjp(lambda params: net.critic.subset(params, drawn), state.critic.params)
    weight = config.alpha if config.gap is None else losses.positive(state.alpha.params, "softplus")

    def loss(params: Params, xs: Any) -> tuple[jax.Array, Metrics]:
        batch, candidates = xs
        action = jnp.concatenate([candidates.action, batch.action[:, None]], 1)
        q = net.critic.candidates(params, batch.obs, action)
        q, q_data = q[:, :, :-1], q[:, :, -1]
        q, rate = bound(config, q, batch.mc_return)
        gap = conservative_gap(config, q, q_data, candidates.log_density).mean()
        return weight * gap, {"cql/gap": gap, "calql/bound_rate": rate}

    xs = (batch, draw_candidates(config, net, state.actor.params, batch, candidates_key))
    grads, value, metrics = rows.gradient(loss, penalized, xs, weight=3 * config.cql_actions)
    metrics = metrics | {"cql/penalty": value, "cql/alpha": jnp.asarray(weight, jnp.float32)}
    return back(grads)[0], metrics
