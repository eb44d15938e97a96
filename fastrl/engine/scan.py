"""THE scan: one compiled program a phase, `length` steps of environment, replay and high-UTD update in its body.

WSRL, Algorithm 1. Pre-training is the same scan without an environment, warm-up the same without updates. The step
of the scan is shared by all seeds, so the ring's pointer is one number; seeds go side by side or one after another
(`fastrl.engine.seeds`). Knows no concrete algorithm and nothing of the host's loop.
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp

from fastrl.engine import health, rollout, seeds
from fastrl.engine.phase import Carry, Phase, SeedState
from fastrl.engine.rollout import Task
from fastrl.replay import draws as mixtures
from fastrl.replay import ring as replay
from fastrl.types import Key, Metrics, State


def step_keys(key: Key, phase: int, step: jax.Array) -> tuple[Key, Key, Key, Key]:
    """The four streams of one step of one seed: rollout, online rows, offline rows, update."""
    k = jax.random.fold_in(jax.random.fold_in(key, phase), step)
    rollout_key, online, offline, update = (jax.random.fold_in(k, stream) for stream in range(4))
    return rollout_key, online, offline, update


def minibatches(
    phase: Phase,
    ring: replay.Ring | None,
    data: jax.Array | None,
    block: SeedState,
    keys: tuple[Key, ...],
    first: jax.Array,
) -> jax.Array:
    """Rows `[n, C*U, B, W]` for a block of n seeds: online, offline, or both in every minibatch."""
    _, online_keys, offline_keys, _ = keys
    n, calls = online_keys.shape[0], phase.updates * phase.utd
    offline_rows = mixtures.offline_rows(phase.batch_size, phase.offline_ratio)
    online_rows = phase.batch_size - offline_rows
    online = offline = None
    if offline_rows:
        assert data is not None
        take = seeds.per_seed(lambda k: replay.take(data, k, calls * offline_rows), n)
        offline = take(offline_keys).reshape(n, calls, offline_rows, -1)
    if online_rows:
        assert ring is not None
        if block.open is None:
            rows = replay.sample(ring, online_keys, calls * online_rows, first)
        else:
            rows = replay.sample_finished(ring, block.open.length, online_keys, calls * online_rows, first)
        online = rows.reshape(n, calls, online_rows, -1)
    if online is None or offline is None:
        both = offline if online is None else online
        assert both is not None
        return both
    return mixtures.mixed(online, offline)


def learn(phase: Phase, task: Task, agent: State, rows: jax.Array, key: Key) -> tuple[State, Metrics]:
    """`phase.updates` calls of the algorithm's update on rows `[C*U, B, W]`; metrics are their mean."""
    rows = rows.reshape(phase.updates, phase.utd, *rows.shape[1:])

    def call(agent: State, inputs: tuple[jax.Array, Key]) -> tuple[State, Metrics]:
        rows, key = inputs
        batches = replay.unpack(rows, task.spec.obs_size, task.spec.action_size)
        return phase.algorithm.update(agent, batches, key)

    if phase.updates == 1:
        return call(agent, (rows[0], key))
    agent, metrics = jax.lax.scan(call, agent, (rows, jax.random.split(key, phase.updates)))
    return agent, jax.tree.map(lambda x: x.mean(0), metrics)


def add(totals: Metrics, sums: Metrics, step: jax.Array, log_every: int) -> Metrics:
    """Running sums `[n]`, started anew at every row of the log: the same rows whatever the chunk."""
    fresh = step % log_every == 0
    return {name: jnp.where(fresh, 0.0, totals[name]) + value for name, value in sums.items()}


Block = tuple[jax.Array, SeedState, replay.Ring | None]


def advance(
    phase: Phase, number: int, task: Task, data: jax.Array | None, seed_keys: Key, first: jax.Array, state: Block
) -> tuple[Block, Metrics]:
    """One step of a block of n seeds, the first of which is `first`, and what it adds to the log `[n]`.

    A step that leaves a number of a seed not finite is undone for that seed, which is frozen from then on: its rows of
    the ring are zeros.
    """
    step, before, ring = state
    block = before
    n = seed_keys.shape[0]
    keys = seeds.per_seed(lambda k: step_keys(k, number, step), n)(seed_keys)
    sums: Metrics = {"steps": jnp.ones(n)}
    checks: dict[str, jax.Array] = {}
    if phase.online:
        assert ring is not None
        act = seeds.per_seed(lambda k, s: rollout.step_seed(phase, task, k, s), n)
        block, rows, episode_sums, ended = act(keys[0], block)
        checks |= health.played(replay.unpack(rows, task.spec.obs_size, task.spec.action_size), block.env.obs)
        sound = health.examine(before.health, checks, step).good
        ring = replay.insert(ring, health.select(sound, rows, jnp.zeros_like(rows)), first)
        if ended is not None:
            returns, age = ended
            ring = replay.set_returns(ring, returns, health.select(sound, age, jnp.full_like(age, -1)), first)
        ring = replay.advance(ring, task.num_envs)
        sums |= episode_sums
    if phase.updates:
        rows = minibatches(phase, ring, data, block, keys, first)
        update = seeds.per_seed(lambda a, r, k: learn(phase, task, a, r, k), n)
        agent, metrics = update(block.agent, rows, keys[3])
        block = dataclasses.replace(block, agent=agent)
        checks |= health.learnt(metrics, agent)
        sums |= metrics
    known = health.examine(before.health, checks, step)
    sums = health.select(known.good, sums, jax.tree.map(jnp.zeros_like, sums))
    block = health.select(known.good, dataclasses.replace(block, health=before.health), before)
    return (step + 1, dataclasses.replace(block, health=known), ring), sums


def repeat(body: Callable[[Block, None], tuple[Block, None]], state: Block, length: int) -> Block:
    """`length` rounds of the scan's body, to the same bits however a phase is cut into chunks.

    XLA dissolves a scan of one round into what surrounds it, and then rounds otherwise; it keeps a loop whose bounds
    it does not know.
    """
    if length > 1:
        return jax.lax.scan(body, state, None, length=length)[0]
    first = state[0]
    return jax.lax.fori_loop(first, first + length, lambda _, state: body(state, None)[0], state)


def chunk(
    phase: Phase, number: int, task: Task, length: int, log_every: int, side_by_side: bool
) -> Callable[[Carry, jax.Array | None], Carry]:
    """The program of a phase: `(carry, dataset rows [M, W] or None) -> carry`, `length` steps later."""

    def run(carry: Carry, data: jax.Array | None) -> Carry:
        def scan(keys: Key, first: jax.Array, block: SeedState, ring: replay.Ring | None) -> Block:
            def body(state: Block, _: None) -> tuple[Block, None]:
                (step, block, ring), sums = advance(phase, number, task, data, keys, first, state)
                totals = add(block.totals, sums, state[0], log_every)
                return (step, dataclasses.replace(block, totals=totals), ring), None

            return repeat(body, (carry.step, block, ring), length)

        if side_by_side:
            step, block, ring = scan(carry.keys, jnp.int32(0), carry.seeds, carry.ring)
            return Carry(step, carry.keys, ring, block)

        def one(i: jax.Array, block: SeedState, shared: tuple) -> tuple[SeedState, tuple]:  # type: ignore[type-arg]
            _, ring = shared
            if ring is not None:  # every seed starts where the chunk started
                assert carry.ring is not None
                ring = dataclasses.replace(ring, pointer=carry.ring.pointer, size=carry.ring.size)
            keys = jax.lax.dynamic_slice_in_dim(carry.keys, i, 1)
            step, block, ring = scan(keys, i, block, ring)
            return block, (step, ring)

        count = carry.keys.shape[0]
        block, (step, ring) = seeds.one_after_another(one, carry.seeds, (carry.step, carry.ring), count)
        return Carry(step, carry.keys, ring, block)

    return run
