"""The boundary between two phases: agent, ring, environments. One pure function of the carry before."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from fastrl.engine import health, scan, seeds
from fastrl.engine.phase import Carry, SeedState
from fastrl.engine.plan import Plan
from fastrl.replay import episodes
from fastrl.replay import ring as replay
from fastrl.types import Key, State

ENTRY = 2_000_000
"""Folded into a seed's key, plus the phase's number, for what a boundary draws: fresh networks, first episodes."""


def enter(plan: Plan, number: int) -> Callable[..., Carry]:
    """`(keys [S], ring or None, seeds before or None, start or None, data or None) -> carry` at step 0 of a phase."""
    phase, task = plan.phases[number], plan.task

    def agents(keys: Key, previous: State | None) -> State:
        fresh = jax.lax.map(phase.algorithm.init, keys)
        return phase.entry(fresh, previous)

    def run(keys: Key, ring: replay.Ring | None, before: SeedState | None, start: State | None, data: Any) -> Carry:
        fold = jax.vmap(jax.random.fold_in, (0, None))
        both = jax.vmap(jax.random.split)(fold(keys, ENTRY + number))
        agent = agents(both[:, 0], start if before is None else before.agent)
        env = before.env if before is not None else None
        open_episodes = before.open if before is not None else None
        if phase.online and env is None:
            assert task.env is not None
            env = jax.lax.map(task.env.reset, both[:, 1])
        if phase.online and ring is None:
            ring = replay.create(plan.seeds, plan.capacity, task.spec.obs_size, task.spec.action_size)
            if phase.append:
                rows = jnp.broadcast_to(data, (plan.seeds, *data.shape))
                ring = replay.advance(replay.insert(ring, rows), data.shape[0])
        if phase.returns and open_episodes is None:
            one = episodes.start(task.num_envs, task.spec.horizon)
            open_episodes = jax.tree.map(lambda x: jnp.broadcast_to(x, (plan.seeds, *x.shape)), one)
        known = health.start(plan.seeds) if before is None else before.health
        state = SeedState(agent, env, open_episodes, {}, known)
        totals = _zeros(plan, number, keys, state, ring, data)
        return Carry(jnp.int32(0), keys, ring, dataclasses.replace(state, totals=totals))

    return run


def _zeros(
    plan: Plan, number: int, keys: Key, state: SeedState, ring: replay.Ring | None, data: Any
) -> dict[str, jax.Array]:
    """Empty sums of every name that a step of this phase logs."""

    def step(keys: Key, state: SeedState, ring: replay.Ring | None, data: Any) -> dict[str, jax.Array]:
        block = jax.tree.map(lambda x: x[:1], state)
        start = (jnp.int32(0), block, ring)
        return scan.advance(plan.phases[number], number, plan.task, data, keys[:1], jnp.int32(0), start)[1]

    names = jax.eval_shape(step, keys, state, ring, data)
    return {name: jnp.zeros(plan.seeds) for name in names}


def template(plan: Plan, number: int, data: Any) -> Carry:
    """Shapes of the carry in phase `number`, without computing anything: what a checkpoint is read into."""
    carry: Carry | None = None
    keys = jax.eval_shape(lambda: seeds.keys(plan.seed, plan.seeds))
    for n in range(number + 1):
        ring, before = (None, None) if carry is None else (carry.ring, carry.seeds)
        carry = jax.eval_shape(enter(plan, n), keys, ring, before, plan.start, data)
    assert carry is not None
    return carry
