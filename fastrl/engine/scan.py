"""THE scan: one compiled program a phase, `length` steps of environment, replay and high-UTD update in its body.

WSRL, Algorithm 1. Pre-training is the same scan without an environment, warm-up the same without updates. The step
of the scan is shared by all seeds, so the ring's pointer is one number; seeds go side by side or one after another
(`fastrl.engine.seeds`).
"""

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from fastrl.engine import health, mesh, rollout, seeds, streams
from fastrl.engine.health import Health
from fastrl.engine.phase import Carry, Phase, SeedState
from fastrl.engine.plan import WARMUP, Plan
from fastrl.engine.rollout import Task
from fastrl.replay import ring as rings
from fastrl.replay.draws import Stock
from fastrl.types import Clock, Key, Metrics, State


class Program(NamedTuple):
    """A phase in its run: what its steps need to know beside their block of seeds."""

    phase: Phase
    task: Task
    part: int  # the stream that it draws from
    before: int  # steps of each environment copy (or gradient steps) that were done on that stream before
    undo: bool  # a bad step of a seed, for the sake of the others; a run of one seed ends there, and keeps no copy
    shared: bool = False  # several devices compute each minibatch


class Block(NamedTuple):
    """n consecutive seeds within the scan."""

    step: jax.Array
    seeds: SeedState
    ring: rings.Ring | None
    totals: jax.Array | None = None  # [n, names] of the seeds' own in order: on a card each of them would be a kernel


def program_of(plan: Plan, number: int) -> Program:
    """Phase `number` of a plan."""
    undo = plan.seeds > 1 or (plan.block or 1) > 1  # in a block a seed alone has others beside it
    return Program(plan.phases[number], plan.task, *plan.part(number), undo, plan.mesh.per_seed > 1)


def learn(program: Program, agent: State, numbers: Metrics, rows: jax.Array, key: Key, time: jax.Array) -> tuple:  # type: ignore[type-arg]
    """`phase.updates` calls of the algorithm's update on rows `[C*U, B, W]`: (agent, the means of its metrics)."""
    phase, spec = program.phase, program.task.spec
    calls, algorithm = phase.updates, phase.algorithm(numbers)
    rows = rows.reshape(calls, -1, *rows.shape[1:])
    first = time // phase.rollout * calls
    steps = time * program.task.num_envs if phase.online else time

    def call(agent: State, inputs: tuple[jax.Array, Key, jax.Array]) -> tuple[State, Metrics]:
        rows, key, number = inputs
        batches = rings.unpack(rows, spec.obs_size, spec.action_size)
        return algorithm.update(agent, batches, key, Clock(steps, first + number))

    if calls == 1:
        return call(agent, (rows[0], key, jnp.int32(0)))
    inputs = (rows, jax.random.split(key, calls), jnp.arange(calls, dtype=jnp.int32))
    agent, metrics = jax.lax.scan(call, agent, inputs)
    return agent, jax.tree.map(lambda x: x.mean(0), metrics)


def stack(values: Metrics) -> jax.Array:
    """[n, names] of numbers `[n]` by name, in order."""
    return jnp.stack([values[name] for name in sorted(values)], axis=-1)


def unstack(values: jax.Array, names: Iterable[str]) -> Metrics:
    """The inverse of `stack`."""
    return {name: values[:, place] for place, name in enumerate(sorted(names))}


def add(totals: jax.Array, sums: Metrics, good: jax.Array, step: jax.Array, log_every: int) -> jax.Array:
    """Running sums of the seeds that learn, started anew at every row of the log: the same rows whatever the chunk."""
    return jnp.where(step % log_every == 0, 0.0, totals) + jnp.where(good[:, None], stack(sums), 0.0)


def play(
    program: Program, block: SeedState, ring: rings.Ring, keys: Key, time: jax.Array, first: jax.Array, before: Health
) -> tuple[SeedState, rings.Ring, Metrics, dict[str, jax.Array]]:
    """One step of every environment of n seeds, and its rows in the ring: (seeds, ring, sums, what was finite)."""
    phase, task = program.phase, program.task
    act = seeds.per_seed(lambda k, s: rollout.step_seed(phase, task, k, s, time), keys.shape[0])
    block, rows, sums, found = act(keys, block)
    assert block.env is not None
    checks = health.played(rings.unpack(rows, task.spec.obs_size, task.spec.action_size), block.env.obs)
    sound = health.examine(before, checks, jnp.int32(0)).good
    ring = rings.insert(ring, health.select(sound, rows, jnp.zeros_like(rows)), first)
    if phase.draw is not None and phase.draw.settle is not None:
        ring = phase.draw.settle(ring, found, sound, first)
    return block, rings.advance(ring, task.num_envs), sums, checks


def play_all(
    program: Program, block: SeedState, ring: rings.Ring, seed_keys: Key, time: jax.Array, first: jax.Array
) -> tuple[SeedState, rings.Ring, Metrics, dict[str, jax.Array]]:
    """As `play`, `phase.rollout` steps of it: sums are added up, and a check holds if it held at every step."""
    n = seed_keys.shape[0]
    draw = lambda time: seeds.per_seed(lambda k: streams.step(k, program.part, time)[0], n)(seed_keys)
    before = block.health
    if program.phase.rollout == 1:
        return play(program, block, ring, draw(time), time, first, before)

    def one(carry: tuple[SeedState, rings.Ring], i: jax.Array) -> tuple[tuple[SeedState, rings.Ring], tuple]:  # type: ignore[type-arg]
        block, ring, sums, checks = play(program, *carry, draw(time + i), time + i, first, before)
        return (block, ring), (sums, checks)

    steps = jnp.arange(program.phase.rollout, dtype=jnp.int32)
    (block, ring), (sums, checks) = jax.lax.scan(one, (block, ring), steps)
    return block, ring, jax.tree.map(lambda x: x.sum(0), sums), jax.tree.map(lambda x: x.all(0), checks)


def update_all(
    program: Program, block: SeedState, stock: Stock, seed_keys: Key, time: jax.Array
) -> tuple[SeedState, Metrics]:
    """The updates of one step of n seeds: (the seeds, metrics `[n]`).

    The barriers keep XLA from fusing them with what surrounds them, so that an update has the same bits in a branch.
    What passes one is finished: the metrics do as one array, as on a card each of them would be a kernel.
    """
    phase, n = program.phase, seed_keys.shape[0]
    assert phase.draw is not None
    _, draw_keys, update_keys = seeds.per_seed(lambda k: streams.step(k, program.part, time), n)(seed_keys)
    learnt = seeds.per_seed(lambda a, m, r, k: learn(program, a, m, r, k, time), n)
    rows = phase.draw.take(stock, block.draw, draw_keys, phase.updates * phase.utd, phase.batch_size)
    if program.shared:
        rows = jax.lax.with_sharding_constraint(rows, mesh.ROWS)

    names: list[str] = []

    def update() -> tuple[State, jax.Array]:
        inputs = jax.lax.optimization_barrier((block.agent, block.numbers, rows))
        agent, metrics = learnt(*inputs, update_keys)
        names[:] = metrics
        values = stack(metrics) if metrics else jnp.zeros((n, 0))
        return jax.lax.optimization_barrier((agent, values))

    if not phase.waits:
        agent, values = update()
    else:
        waits = waiting(program, block, time)
        shape = jax.eval_shape(update)[1]
        idle = (block.agent, jnp.zeros(shape.shape, shape.dtype))
        agent, values = jax.lax.cond(waits[0], lambda: idle, update) if n == 1 else health.select(waits, idle, update())
    memory = weighed(program, block, agent, stock, jax.random.clone(draw_keys), rows)
    if phase.waits:
        memory = health.select(waits, block.draw, memory)
    return dataclasses.replace(block, agent=agent, draw=memory), unstack(values, names)


def weighed(program: Program, block: SeedState, agents: State, stock: Stock, keys: Key, rows: jax.Array) -> Any:
    """The memories [n] of a draw by priority, after the agents that learned from its rows have weighed them."""
    phase, spec = program.phase, program.task.spec
    if phase.draw is None or phase.draw.weighed is None:
        return block.draw

    def one(agent: State, numbers: Metrics, rows: jax.Array) -> jax.Array:
        algorithm = phase.algorithm(numbers)
        assert algorithm.weigh is not None
        return algorithm.weigh(agent, rings.unpack(rows, spec.obs_size, spec.action_size))

    weights = seeds.per_seed(one, keys.shape[0])(agents, block.numbers, rows)
    return phase.draw.weighed(stock, block.draw, keys, weights)


def waiting(program: Program, block: SeedState, time: jax.Array) -> jax.Array:
    """[n] bool: the seeds whose warm-up is not over, in a sweep over its length."""
    return time * program.task.num_envs < block.numbers[WARMUP]


def advance(
    program: Program, data: jax.Array | None, seed_keys: Key, first: jax.Array, state: Block
) -> tuple[Block, Metrics]:
    """One step of a block of n seeds, the first of which is `first`, and what it adds to the log `[n]`.

    Among several seeds, a step that leaves a number of one not finite is undone for it, and it is frozen from then on:
    its rows of the ring are zeros.
    """
    phase = program.phase
    step, before, ring, _ = state
    block, time = before, program.before + step * phase.rollout
    sums: Metrics = {"steps": jnp.ones(seed_keys.shape[0])}
    checks: dict[str, jax.Array] = {}
    if phase.online:
        assert ring is not None
        block, ring, episode_sums, checks = play_all(program, block, ring, seed_keys, time, first)
        sums |= episode_sums
    if phase.updates:
        steps = time * program.task.num_envs if phase.online else time
        block, metrics = update_all(program, block, Stock(ring, data, first, steps), seed_keys, time)
        checks = checks | health.learnt(metrics, block.agent)
        sums |= metrics
        if phase.waits:  # a row that only collects has no metrics yet
            sums["steps"] = 1.0 - waiting(program, block, time)
    known = health.examine(before.health, checks, step)
    if program.undo:
        block = health.select(known.good, dataclasses.replace(block, health=before.health), before)
    return Block(step + 1, dataclasses.replace(block, health=known), ring), sums


def repeat(body: Callable[[Block, None], tuple[Block, None]], state: Block, length: int) -> Block:
    """`length` rounds of the scan's body, to the same bits however a phase is cut into chunks.

    XLA dissolves a scan of one round into what surrounds it, and then rounds otherwise; it keeps a loop whose bounds
    it does not know.
    """
    if length > 1:
        return jax.lax.scan(body, state, None, length=length)[0]
    first = state.step
    return jax.lax.fori_loop(first, first + length, lambda _, state: body(state, None)[0], state)


def chunk(plan: Plan, number: int, length: int, log_every: int) -> Callable[[Carry, jax.Array | None], Carry]:
    """The program of a phase: `(carry, dataset rows [M, W] or None) -> carry`, `length` steps later."""
    program = program_of(plan, number)

    def run(carry: Carry, data: jax.Array | None) -> Carry:
        def scan(keys: Key, first: jax.Array, block: SeedState, ring: rings.Ring | None) -> Block:
            def body(state: Block, _: None) -> tuple[Block, None]:
                assert state.totals is not None
                after, sums = advance(program, data, keys, first, state)
                good = after.seeds.health.good
                return after._replace(totals=add(state.totals, sums, good, state.step, log_every)), None

            without = dataclasses.replace(block, totals={})
            after = repeat(body, Block(carry.step, without, ring, stack(block.totals)), length)
            assert after.totals is not None
            totals = unstack(after.totals, block.totals)
            return after._replace(seeds=dataclasses.replace(after.seeds, totals=totals))

        if plan.block is None:
            step, block, ring, _ = scan(carry.keys, jnp.int32(0), carry.seeds, carry.ring)
            return Carry(step, carry.keys, ring, block, carry.before)

        def one(i: jax.Array, block: SeedState, shared: tuple) -> tuple[SeedState, tuple]:  # type: ignore[type-arg]
            _, ring = shared
            if ring is not None:  # every block starts where the chunk started
                assert carry.ring is not None
                ring = dataclasses.replace(ring, pointer=carry.ring.pointer, size=carry.ring.size)
            keys = jax.lax.dynamic_slice_in_dim(several, i, size)
            step, block, ring, _ = scan(keys, i, block, ring)
            return block, (step, ring)

        size = plan.block
        blocks = carry.keys.shape[0] // size
        twice = [jax.random.clone(carry.keys) for _ in range(2)]  # a lone key XLA would take out of the loop, and then
        several = jnp.concatenate(twice)  # round otherwise
        zero = jnp.minimum(carry.step, 0)
        block, (step, ring) = seeds.one_after_another(one, carry.seeds, (carry.step, carry.ring), blocks, zero, size)
        return Carry(step, carry.keys, ring, block, carry.before)

    return run
