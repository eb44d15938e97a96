"""Conservative Q-learning and Cal-QL: SAC with a penalty on the critics, CQL(H).

Cal-QL differs in one line: Q of the policy's candidates is bounded below by the Monte-Carlo
return before the importance weights. Knows nothing of datasets and phases.
"""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from fastrl.algorithms import losses, rows
from fastrl.algorithms.optimizer import AdamState
from fastrl.algorithms.sac import (
    actor_gradient,
    check,
    critic_gradient,
    initial,
    scalar_adam,
    steps,
)
from fastrl.algorithms.schedule import updates
from fastrl.config import CQL, CalQL
from fastrl.networks import critics, policy
from fastrl.types import Algorithm, Key, Metrics, Spec, Transition


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class CQLState:
    """Everything CQL learns: SAC's fields and the Lagrange weight."""

    actor: policy.Actor
    critic: critics.Critic
    target_critic: critics.Critic
    temperature: jax.Array  # [], before softplus or exp
    alpha: jax.Array  # [], before softplus; at rest unless config.gap is set
    actor_opt: AdamState
    critic_opt: AdamState
    temperature_opt: AdamState
    alpha_opt: AdamState


class Candidates(NamedTuple):
    """Actions at which Q is pushed down, K per row: uniform, then from pi(s), then from pi(s')."""

    action: jax.Array  # [B, K, A]
    log_density: jax.Array  # [B, K]


def cql(config: CQL, spec: Spec, row_chunk: int | None = None) -> Algorithm:
    """CQL, or Cal-QL where the configuration is one; `row_chunk` as for SAC."""
    check(config)
    alpha_adam = scalar_adam(config.alpha_lr)

    def init(key: Key) -> CQLState:
        alpha = losses.positive_inverse(1.0, "softplus")
        return CQLState(**initial(config, spec, key), alpha=alpha, alpha_opt=alpha_adam.init(alpha))

    def act(state: CQLState, obs: jax.Array, key: Key, explore: bool) -> jax.Array:
        return policy.choose(state.actor, config, obs, key, explore)

    def critic(state: CQLState, batch: Transition, key: Key) -> tuple[Any, Metrics]:
        td_key, penalty_key = jax.random.split(key)
        td, td_metrics = critic_gradient(config, state, batch, td_key, row_chunk)
        penalty, metrics = penalty_gradient(config, state, batch, penalty_key, row_chunk)
        excess = metrics["cql/gap"] - (config.gap or 0.0)
        slope = -jax.grad(losses.positive)(state.alpha, "softplus") * excess
        return (jax.tree.map(jnp.add, td, penalty), slope), td_metrics | metrics

    def actor(state: CQLState, batch: Transition, key: Key) -> tuple[Any, Metrics]:
        return actor_gradient(config, state, batch, key, row_chunk)

    base = steps(config, critic, actor)

    def apply_critic(state: CQLState, grads: tuple[critics.Critic, jax.Array]) -> CQLState:
        state = base.apply_critic(state, grads[0])
        if config.gap is None:
            return state
        alpha, alpha_opt, _ = alpha_adam.step(state.alpha, grads[1], state.alpha_opt)
        return dataclasses.replace(state, alpha=alpha, alpha_opt=alpha_opt)

    return Algorithm(init, act, updates(base._replace(apply_critic=apply_critic)))


def draw_candidates(config: CQL, actor: policy.Actor, batch: Transition, key: Key) -> Candidates:
    """`cql_actions` of each kind with their log densities; no gradient reaches the actor."""
    keys = jax.random.split(key, 3)
    shape = (batch.reward.shape[0], config.cql_actions, batch.action.shape[-1])
    uniform = jax.random.uniform(keys[0], shape, minval=-1.0, maxval=1.0)
    here = policy.candidates(policy.distribution(actor, config, batch.obs), jax.random.normal(keys[1], shape))
    there = policy.candidates(policy.distribution(actor, config, batch.next_obs), jax.random.normal(keys[2], shape))
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
    if config.importance_sampling:
        q = q - log_density[None]
    else:
        q = jnp.concatenate([q, q_data[..., None]], -1)
        q = q - config.cql_temperature * jnp.log(q.shape[-1])
    gap = losses.soft_maximum(q, config.cql_temperature) - q_data
    return gap if config.clip_gap is None else jnp.clip(gap, -config.clip_gap, config.clip_gap)


def penalty_gradient(
    config: CQL, state: CQLState, batch: Transition, key: Key, row_chunk: int | None
) -> tuple[critics.Critic, Metrics]:
    """Gradient of `weight * mean(gap - target gap)` over the penalised critics; others never run."""
    subset_key, candidates_key = jax.random.split(key)
    subset = None
    if config.penalized == "subset":
        subset = critics.draw_subset(subset_key, config.num_critics, config.subset_size, config.subset_replacement)
    penalized, back = jax.vjp(lambda critic: critics.members(critic, subset), state.critic)
    weight = config.alpha if config.gap is None else losses.positive(state.alpha, "softplus")

    def loss(critic: critics.Critic, xs: Any) -> tuple[jax.Array, Metrics]:
        batch, candidates = xs
        action = jnp.concatenate([candidates.action, batch.action[:, None]], 1)
        q = critics.q_candidates(critic, batch.obs, action)
        q, q_data = q[:, :, :-1], q[:, :, -1]
        q, rate = bound(config, q, batch.mc_return)
        gap = conservative_gap(config, q, q_data, candidates.log_density).mean()
        return weight * gap, {"cql/gap": gap, "calql/bound_rate": rate}

    xs = (batch, draw_candidates(config, state.actor, batch, candidates_key))
    chunk = None if row_chunk is None else max(1, row_chunk // (3 * config.cql_actions))
    grads, value, metrics = rows.gradient(loss, penalized, xs, chunk)
    metrics = metrics | {"cql/penalty": value, "cql/alpha": jnp.asarray(weight, jnp.float32)}
    return back(grads)[0], metrics
