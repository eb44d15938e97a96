"""Diagnostics of an agent while it learns: what it believes of logged rows and of its own, and how far it has moved.

They are a program of their own, run between two calls of the phase's at an interval, on a stream of random numbers that
nothing else draws from: the learner's program and its bits are the same with them and without (WSRL, figures 3, 4, 8,
11, 21 and 22). Q and TD error are means over critics; the TD error's target is the same for every algorithm,
`r + discount * mask * min_i psi_i(s', a')` with a' ~ pi(s'), whatever its own loss is.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from fastrl.engine import streams
from fastrl.engine.plan import Plan
from fastrl.engine.seeds import mapped
from fastrl.networks.distributions import Delta, kl
from fastrl.replay import ring as rings
from fastrl.types import Key, Metrics, State, Transition, Views

ROWS = 256
"""Rows of a batch: a fixed one of the dataset, and one drawn anew from the ring."""

ACTIONS = 10
"""Actions a row at which the softmax of Q is compared, half of them from each policy."""

Program = Callable[..., Metrics]


def program(plan: Plan, number: int) -> Program | None:
    """`(agents [S], agents before [S] or None, ring or None, data or None, keys [S], part, moment) -> {name: [S]}`.

    None where the phase's algorithm shows nothing (`fastrl.types.Algorithm.views`). The agents before are those that
    went online (`fastrl.engine.phase.Carry.before`).
    """
    phase, spec = plan.phases[number], plan.task.spec
    algorithm = phase.algorithm()
    views = algorithm.views
    if views is None:
        return None

    def one(seed: Any) -> Metrics:
        agent, before, batches, key = seed
        found: Metrics = {}
        for source, rows in batches.items():
            batch = rings.unpack(rows, spec.obs_size, spec.action_size)
            own = values(views, agent, batch, phase.config.discount, jax.random.fold_in(key, 0))
            if before is not None:
                own |= moved(views, agent, before, batch.obs, jax.random.fold_in(key, 1))
            found |= {f"{source}/{name}": value for name, value in own.items()}
        return found

    def run(agents: State, before: Any, ring: Any, data: Any, keys: Key, part: jax.Array, moment: jax.Array) -> Metrics:
        held, fresh, own = streams.probes(keys, part, moment)
        batches = {}
        if data is not None:
            batches["offline"] = jax.vmap(lambda key: rings.take(data, key, ROWS))(held)
        if ring is not None:
            batches["online"] = rings.sample(ring, fresh, ROWS)
        return mapped(one, plan.block)((agents, before, batches, own))

    return run


def values(views: Views, agent: State, batch: Transition, discount: Any, key: Key) -> Metrics:
    """Mean Q of the rows' actions and the mean squared TD error."""
    if views.q is None or views.target_q is None:
        return {}
    after = views.policy(agent, batch.next_obs)
    action = jnp.clip(after.sample(jax.random.normal(key, batch.action.shape)), -1.0, 1.0)
    target = batch.reward + discount * batch.mask * views.target_q(agent, batch.next_obs, action).min(0)
    q = views.q(agent, batch.obs, batch.action)
    return {"q": q.mean(), "td": jnp.square(q - target[None]).mean()}


def moved(views: Views, agent: State, before: State, obs: jax.Array, key: Key) -> Metrics:
    """How far policy and critics are from those that went online, on these states (WSRL, figures 8, 21 and 22).

    `policy_kl` is KL(pi_before || pi), of deterministic policies the mean squared distance of their actions; `q_kl` is
    KL(softmax Q_before || softmax Q) over an equal mix of both policies' samples.
    """
    old, new = views.policy(before, obs), views.policy(agent, obs)
    if isinstance(old, Delta):
        found = {"policy_distance": jnp.square(old.mode() - new.mode()).mean()}
    else:
        found = {"policy_kl": kl(old, new).mean()}
    if views.q is None:
        return found
    noise = jax.random.normal(key, (ACTIONS, *old.mode().shape))
    half = ACTIONS // 2
    actions = jnp.concatenate([jax.vmap(old.sample)(noise[:half]), jax.vmap(new.sample)(noise[half:])])
    actions = jnp.clip(actions, -1.0, 1.0)
    repeated = jnp.broadcast_to(obs, (ACTIONS, *obs.shape)).reshape(-1, obs.shape[-1])
    flat = actions.reshape(-1, actions.shape[-1])
    q_old, q_new = (views.q(state, repeated, flat).mean(0).reshape(ACTIONS, -1) for state in (before, agent))
    logs = jax.nn.log_softmax(q_old, axis=0), jax.nn.log_softmax(q_new, axis=0)
    return found | {"q_kl": (jnp.exp(logs[0]) * (logs[0] - logs[1])).sum(0).mean()}


def contents(plan: Plan, number: int, done: int) -> dict[str, float]:
    """What a seed's ring holds after `done` steps of a phase: its rows, and the shares of dataset and warm-up."""
    phases = plan.phases[: number + 1]
    if not phases[number].online:
        return {}
    written = [0.0, 0.0, 0.0]  # of the dataset, of phases without updates, of the others, in this order
    first = plan.part(number)[0]
    fill = phases[first].fill
    if fill is not None and plan.dataset is not None:
        written[0] = fill.rows(plan.dataset.rows)
    for n in range(first, number + 1):
        steps = done * plan.per_iteration(phases[n]) if n == number else phases[n].steps
        written[2 if phases[n].updates else 1] += steps
    rows, lost = min(sum(written), plan.capacity), max(0.0, sum(written) - plan.capacity)
    for kind in range(3):  # the oldest rows are overwritten first
        gone = min(written[kind], lost)
        written[kind], lost = written[kind] - gone, lost - gone
    shares = [count / max(rows, 1.0) for count in written]
    return {"buffer/rows": rows, "buffer/dataset": shares[0], "buffer/warmup": shares[1]}
