import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fastrl.config import Options
from fastrl.engine import scan, streams
from fastrl.engine.enter import template
from fastrl.engine.phase import Phase
from fastrl.engine.rollout import Task
from fastrl.engine.run import Driver, upload
from fastrl.envs import TimeLimit, make
from fastrl.envs.probe import Probe
from fastrl.replay import draws, episodes
from fastrl.replay import ring as replay
from fastrl.types import Algorithm, Spec, Transition

pytestmark = pytest.mark.usefixtures("quick")

SPEC = Spec("three", 1, 1, horizon=5)


def test_every_step_phase_and_stream_has_a_key_of_its_own(key):
    found = [
        np.asarray(jax.random.key_data(k)).tobytes()
        for seed in range(2)
        for phase in range(3)
        for step in range(5)
        for k in streams.step(jax.random.clone(jax.random.fold_in(key, seed)), phase, jnp.int32(step))
    ]
    assert len(set(found)) == len(found) == 2 * 3 * 5 * 3


def test_sums_start_anew_at_every_row_of_the_log():
    """Of two seeds, the second of which is frozen from step 4 on, when its numbers are not finite any more."""
    totals, seen = jnp.zeros((2, 2)), []
    for step in range(6):
        x = jnp.array([1.0, 10.0 if step < 4 else jnp.nan]) * step
        good = jnp.array([True, step < 4])
        totals = scan.add(totals, {"x": x, "a": jnp.ones(2)}, good, jnp.int32(step), log_every=3)
        seen.append(totals[:, 1].tolist())
    assert seen[2] == [3.0, 30.0] and seen[3] == [3.0, 30.0] and seen[5] == [12.0, 30.0]
    assert totals[:, 0].tolist() == [3.0, 1.0]


def marked_ring(seeds=2, rows=6, capacity=10):
    """Row r of seed s holds 100 * s + r everywhere; rows not yet written hold NaN."""
    ring = replay.create(seeds, capacity, 1, 1)
    values = jnp.array([[100.0 * seed + row for row in range(rows)] for seed in range(seeds)])
    content = jnp.broadcast_to(values[..., None], (seeds, rows, ring.rows.shape[-1]))
    ring = dataclasses.replace(ring, rows=jnp.full_like(ring.rows, jnp.nan))
    return replay.advance(replay.insert(ring, content), rows)


@pytest.mark.parametrize(("ratio", "offline"), [(0.0, 0), (0.25, 2), (0.5, 4), (1.0, 8)])
def test_every_minibatch_has_the_exact_number_of_offline_rows(key, ratio, offline):
    draw = draws.DATA if ratio == 1 else draws.mixed(draws.UNIFORM, ratio)
    stock = draws.Stock(marked_ring(), jnp.full((7, 7), -1.0), jnp.int32(0), jnp.int32(0))
    rows = draw.take(stock, None, jax.random.split(key, 2), 6, 8)
    assert rows.shape == (2, 6, 8, 7) and np.isfinite(rows).all()
    np.testing.assert_array_equal((rows[..., 0] == -1).sum(-1), np.full((2, 6), offline))
    for seed in range(2):  # online rows are the seed's own
        own = np.asarray(rows[seed, ..., 0])
        assert set(own[own >= 0] // 100) <= {seed}
    if ratio == 0:
        assert len(np.unique(rows[..., 0])) == 12  # every row of both seeds is drawn


def test_rows_of_open_episodes_wait(key):
    memory = episodes.OpenEpisodes(jnp.zeros((2, 1, 5)), jnp.array([[2], [0]]))
    stock = draws.Stock(marked_ring(), None, jnp.int32(0), jnp.int32(0))
    rows = draws.finished(0.9, None).take(stock, memory, jax.random.split(key, 2), 24, 8)
    assert set(np.unique(rows[0])) == {0, 1, 2, 3}
    assert set(np.unique(rows[1])) == {100, 101, 102, 103, 104, 105}


def test_the_newest_rows_come_in_their_order(key):
    ring = dataclasses.replace(marked_ring(rows=10), pointer=jnp.int32(3))  # the newest is row 2, before it 1, 0, 9, 8
    stock = draws.Stock(ring, None, jnp.int32(0), jnp.int32(0))
    rows = draws.newest(length=3, copies=2).take(stock, None, jax.random.split(key, 2), 1, 1)
    np.testing.assert_array_equal(rows[0, ..., 0], [[7, 8], [9, 0], [1, 2]])
    np.testing.assert_array_equal(rows[1, ..., 0], [[107, 108], [109, 100], [101, 102]])


@dataclasses.dataclass(frozen=True)
class Counted(Options):
    """Its state is a number that each call of its update is appended to."""

    def build(self, spec):
        def update(state, batches, key, clock):
            del key
            state = state * 10 + batches.reward.mean()
            return state, {"first": batches.reward[0, 0], "call": clock.call * 1.0, "step": clock.step * 1.0}

        return Algorithm(None, None, update)


def test_updates_follow_each_other_each_on_rows_of_its_own_and_the_clock_counts_them(key):
    phase = Phase("x", Counted(), SPEC, 1, updates=3, utd=2, batch_size=1)
    reward = jnp.array([1.0, 1, 2, 4, 5, 9])[:, None]
    vector = jnp.zeros((6, 1, 1))
    rows = replay.pack(Transition(vector, vector, reward, reward, vector, reward, reward))
    program = scan.Program(phase, Task(None, SPEC), 0, 4, undo=True)
    state, metrics = scan.learn(program, jnp.float32(0), {}, rows, key, jnp.int32(7))
    assert float(state) == 137.0  # ((1) * 10 + 3) * 10 + 7
    assert float(metrics["first"]) == pytest.approx((1 + 2 + 5) / 3)
    assert float(metrics["call"]) == 22.0 and float(metrics["step"]) == 7.0  # calls 21, 22, 23


@dataclasses.dataclass(frozen=True, eq=False)
class Counting:
    """A probe that counts how often its step is traced."""

    env: Probe
    traces: list

    @property
    def spec(self):
        return self.env.spec

    def reset(self, key):
        return self.env.reset(key)

    def step(self, key, state, action):
        self.traces.append(1)
        return self.env.step(key, state, action)


def counting():
    inner = make("probe-action")
    env = Counting(inner.env, [])
    return TimeLimit(env, 10), env.traces


def test_one_trace_a_program_and_one_program_a_phase(plan_of, execute, monkeypatch):
    env, traces = counting()
    compiled = []
    original = Driver._compile
    monkeypatch.setattr(
        Driver, "_compile", lambda self, number, *a: compiled.append(number) or original(self, number, *a)
    )
    outcome = execute(plan_of("sac", env, chunk=1))
    assert compiled == [0, 1]
    assert int(outcome.carry.step) == 20
    # Each of 2 phases is shaped at its entry and compiled, and one evaluation is compiled; no step is traced again.
    assert len(traces) <= 10, len(traces)


def lowered(plan, number, length=10):
    program = scan.chunk(plan, number, length, 10)
    data = upload(plan)
    return jax.jit(program, donate_argnums=0).lower(template(plan, number, data), data)


def test_neither_utd_nor_steps_nor_seeds_grow_the_program(plan_of):
    sizes, counts = [], []
    for utd, length, seeds in ((2, 10, 2), (20, 10, 2), (2, 50, 2), (2, 10, 7)):
        env, traces = counting()
        low = lowered(plan_of("sac", env, utd=utd, seeds=seeds, steps=400, warmup=200), 1, length)
        sizes.append(len(low.as_text()))
        counts.append(len(traces))
    assert max(sizes) < 1.05 * min(sizes), sizes
    assert len(set(counts)) == 1 and counts[0] <= 6, counts


@pytest.fixture
def optimised():
    """What users get, as these tests read the compiled text."""
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", True)


@pytest.mark.parametrize("mode", ["sequential", "vmap"])
def test_the_ring_is_written_in_place_and_nothing_leaves_the_device(plan_of, mode, optimised):
    capacity = 100_000
    plan = plan_of("sac", "probe-action", capacity=capacity, map_seeds=mode)
    with jax.debug_key_reuse(mode == "sequential"):  # a false alarm of the checker under vmap: see test_seeds
        program = lowered(plan, 1).compile()
    text, memory = program.as_text(), program.memory_analysis()
    shape = f"f32[{plan.seeds},{capacity},7]"
    ring = plan.seeds * capacity * 7 * 4
    assert shape in text
    assert not re.findall(rf"= {re.escape(shape)}\S* (?:copy|select|concatenate|scatter|pad)\(", text)
    assert memory.alias_size_in_bytes >= ring
    assert memory.temp_size_in_bytes < ring / 10
    assert not re.findall(r"\b(?:infeed|outfeed|send|recv)\(|callback", text)


def warmup_only(builder):
    return builder.online(builder.config("sac"), warmup=20)[:1]


def rows_of(outcome, plan):
    rows = replay.unpack(outcome.carry.ring.rows[:, :20], plan.task.spec.obs_size, plan.task.spec.action_size)
    return jax.tree.map(np.asarray, rows)


def test_a_truncated_row_bootstraps_from_its_true_final_observation(plan_of, execute):
    clock = Probe(Spec("clock", 1, 1, horizon=5), 100, lambda time, action: time * 1.0)
    plan = plan_of(warmup_only, TimeLimit(clock, 5), None, num_envs=2, reward_scale=10.0, reward_bias=-5.0)
    rows = rows_of(execute(plan), plan)
    time = np.broadcast_to(np.repeat(np.arange(10) % 5, 2), (2, 20))  # both copies, row by row
    np.testing.assert_allclose(rows.obs[..., 0], time / 100)
    np.testing.assert_allclose(rows.next_obs[..., 0], (time + 1) / 100)
    assert (rows.mask == 1).all()
    np.testing.assert_array_equal(rows.last, time == 4)
    np.testing.assert_allclose(rows.reward, time * 10.0 - 5.0)  # scaled and biased once
    assert (np.abs(rows.action) < 1).all() and len(np.unique(rows.action)) == 40


def test_a_terminated_row_does_not_bootstrap(plan_of, execute, probe_data):
    plan = plan_of(warmup_only, "probe-termination", None, reward_scale=10.0, reward_bias=-5.0)
    outcome = execute(plan)
    rows = rows_of(outcome, plan)
    time = np.broadcast_to(np.arange(20) % 5, (2, 20))
    np.testing.assert_array_equal(rows.mask, time != 4)
    np.testing.assert_allclose(rows.next_obs[..., 0], (time + 1) / 5)
    assert (rows.reward == 5).all()
    assert [row["return"] for row in outcome.rows if row["kind"] == "eval"] == [[5.0, 5.0]] * 2  # raw
    log = [row for row in outcome.rows if row["kind"] == "train"]
    assert all(row["rollout/return"] == [5.0, 5.0] and row["rollout/length"] == [5.0, 5.0] for row in log)
    offline = upload(dataclasses.replace(plan, dataset=probe_data("probe-termination")))
    np.testing.assert_array_equal(offline[:, -4], np.full(40, 5.0))
    np.testing.assert_array_equal(offline[:, -3], np.arange(40) % 5 != 4)
