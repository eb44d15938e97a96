"""The boundary between two phases: agent, ring, environments. One pure function of the carry before."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from fastrl.engine import behaviours, health, scan, streams
from fastrl.engine.mesh import carry_of
from fastrl.engine.phase import Carry, Phase, SeedState
from fastrl.engine.plan import Plan
from fastrl.networks.normalise import Normalised
from fastrl.replay import fills
from fastrl.replay import ring as rings
from fastrl.replay.draws import Room
from fastrl.types import Key, State


def enter(plan: Plan, number: int) -> Callable[..., Carry]:
    """`(keys [S], numbers [S], ring or None, carry before or None, start or None, data or None) -> carry` at step 0.

    S is that of what it is given: all seeds, or those of one device. The numbers are `Plan.numbers` of the phase. The
    carry before comes without its ring, which alone keeps its shape and can be given away.
    """
    phase, task = plan.phases[number], plan.task

    def run(
        keys: Key,
        numbers: dict[str, jax.Array],
        ring: rings.Ring | None,
        earlier: Carry | None,
        start: State | None,
        data: Any,
    ) -> Carry:
        before, count = None if earlier is None else earlier.seeds, keys.shape[0]
        agent_keys, env_keys = streams.entry(keys, number)
        fill_keys, behaviour_keys = streams.stock(keys, number)
        agent = agents(phase, agent_keys, numbers, start if before is None else before.agent)
        env = before.env if before is not None else None
        healthy = health.start(count) if before is None else before.health
        if phase.online and env is None:
            assert task.env is not None
            env = jax.lax.map(task.env.reset, env_keys)
        if phase.online and ring is None:
            ring = rings.create(count, plan.capacity, task.spec.obs_size, task.spec.action_size)
            if phase.fill is not None:
                rows = fills.packed(phase.fill, data, fill_keys)
                ring = rings.advance(rings.insert(ring, rows), rows.shape[1])
        behaviour = begun(plan, number, behaviour_keys, numbers, agent, before)
        draw = drawing(plan, number, count, 0 if data is None else data.shape[0], before)
        state = SeedState(agent, numbers, env, behaviour, draw, {}, healthy)
        totals = _zeros(plan, number, keys, state, ring, data)
        known = None if earlier is None else earlier.before
        if plan.probe_every and phase.online and known is None:
            known = agent
        return Carry(jnp.int32(0), keys, ring, dataclasses.replace(state, totals=totals), known)

    return run


def agents(phase: Phase, keys: Key, numbers: dict[str, jax.Array], previous: State | None) -> State:
    """The agents [S] that a phase starts from: fresh ones, the entry's choice of them and the previous ones.

    A normaliser stays that of the agent before, whose networks know no other; the entry does not see it.
    """
    fresh = jax.lax.map(lambda both: phase.algorithm(both[1]).init(both[0]), (keys, numbers))
    if not isinstance(fresh, Normalised):
        return phase.entry(fresh, previous)
    if previous is None:
        return dataclasses.replace(fresh, inner=phase.entry(fresh.inner, None))
    return dataclasses.replace(previous, inner=phase.entry(fresh.inner, previous.inner))


def begun(
    plan: Plan, number: int, keys: Key, numbers: dict[str, jax.Array], agents: State, before: SeedState | None
) -> Any:
    """The memories [S] of what acts: those of the phase before where it is the same behaviour, else new ones."""
    phase, task = plan.phases[number], plan.task
    behaviour = phase.behaviour
    if behaviour is None or not behaviour.remembers:
        return None
    if before is not None and number and plan.phases[number - 1].behaviour is behaviour:
        return before.behaviour
    step = jnp.int32(plan.part(number)[1] * task.num_envs)

    def one(seed: Any) -> Any:
        key, own, agent = seed
        return behaviours.began(behaviour, phase.algorithm(own), agent, key, task.num_envs, step)

    return jax.lax.map(one, (keys, numbers, agents))


def drawing(plan: Plan, number: int, count: int, rows: int, before: SeedState | None) -> Any:
    """The memories [S] of the draw: those of the phase before where it has some, else new ones."""
    phase, task = plan.phases[number], plan.task
    if phase.draw is None or phase.draw.start is None:
        return None
    if before is not None and before.draw is not None:
        return before.draw
    fresh = phase.draw.start(Room(task.num_envs, task.spec.horizon, rows, plan.capacity))
    return jax.tree.map(lambda x: jnp.broadcast_to(x, (count, *x.shape)), fresh)


def _zeros(
    plan: Plan, number: int, keys: Key, state: SeedState, ring: rings.Ring | None, data: Any
) -> dict[str, jax.Array]:
    """Empty sums of every name that a step of this phase logs."""
    program = scan.program_of(plan, number)

    def step(keys: Key, state: SeedState, ring: rings.Ring | None, data: Any) -> dict[str, jax.Array]:
        block = jax.tree.map(lambda x: x[:1], state)
        start = scan.Block(jnp.int32(0), block, ring)
        return scan.advance(program, data, keys[:1], jnp.int32(0), start)[1]

    names = jax.eval_shape(step, keys, state, ring, data)
    return {name: jnp.zeros(keys.shape[0]) for name in names}


def apart(carry: Carry | None) -> tuple[rings.Ring | None, Carry | None]:
    """The ring of a carry, and the rest."""
    return (None, None) if carry is None else (carry.ring, dataclasses.replace(carry, ring=None))


def template(plan: Plan, number: int, data: Any) -> Carry:
    """Shapes of the carry in phase `number`, without computing anything: what a checkpoint is read into."""
    carry: Carry | None = None
    rows = lambda tree: jax.tree.map(lambda x: jax.ShapeDtypeStruct((plan.mesh.rows, *x.shape[1:]), x.dtype), tree)
    keys, start = rows((jax.eval_shape(plan.keys), plan.start))
    for n in range(number + 1):
        ring, rest = apart(carry)
        numbers = rows(plan.numbers(n))
        carry = jax.eval_shape(enter(plan, n), keys, numbers, ring, rest, start, data)
    assert carry is not None
    return plan.mesh.shapes(carry, carry_of(carry.ring is not None))
