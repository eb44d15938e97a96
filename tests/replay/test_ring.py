"""The ring against a plain Python model, its samples, and the proof that it is never copied."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from fastrl.data.datasets import Dataset
from fastrl.replay import episodes
from fastrl.replay import ring as replay
from fastrl.types import Transition, UserError

SEEDS, CAPACITY, OBS, ACTION = 3, 7, 1, 1
WIDTH = replay.width(OBS, ACTION)
insert = jax.jit(replay.insert)
advance = jax.jit(replay.advance, static_argnums=1)
sample = jax.jit(replay.sample, static_argnums=2)


def keys_of(seed: int, count: int) -> jax.Array:
    return jax.vmap(lambda i: jax.random.fold_in(jax.random.key(seed), i))(jnp.arange(count))


def numbered(start: int, seeds: int, count: int) -> np.ndarray:
    """Rows whose every column says which row and which seed it is."""
    row = np.arange(start, start + count)[None, :, None] + 1000 * np.arange(1, seeds + 1)[:, None, None]
    return np.broadcast_to(row, (seeds, count, WIDTH)).astype(np.float32)


def filled(count: int) -> replay.Ring:
    ring = replay.create(SEEDS, CAPACITY, OBS, ACTION)
    for i in range(count):
        ring = advance(insert(ring, numbered(i, SEEDS, 1)), 1)
    return ring


@pytest.mark.parametrize("lead", [(), (5,), (2, 3)])
def test_pack_and_unpack_are_inverse(lead: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    shapes = {"obs": (4,), "action": (2,), "reward": (), "mask": (), "next_obs": (4,), "mc_return": (), "last": ()}
    fields = {k: jnp.array(rng.normal(size=lead + s), jnp.float32) for k, s in shapes.items()}
    rows = replay.pack(Transition(**fields))
    assert rows.shape == (*lead, replay.width(4, 2))
    np.testing.assert_array_equal(rows[..., replay.MC_RETURN], fields["mc_return"])
    back = replay.unpack(rows, 4, 2)
    for name, value in fields.items():
        np.testing.assert_array_equal(getattr(back, name), value, err_msg=name)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.lists(st.tuples(st.sampled_from([1, 3, CAPACITY]), st.booleans()), min_size=1, max_size=9))
def test_holds_and_samples_what_a_deque_would(steps: list[tuple[int, bool]]) -> None:
    ring, model = replay.create(SEEDS, CAPACITY, OBS, ACTION), np.zeros((SEEDS, 0, WIDTH), np.float32)
    total = 0
    for count, together in steps:
        rows = numbered(total, SEEDS, count)
        if together:
            ring = insert(ring, rows)
        else:  # one seed after another, at the same pointer
            for seed in range(SEEDS):
                ring = insert(ring, rows[seed : seed + 1], jnp.int32(seed))
        ring = advance(ring, count)
        total += count
        model = np.concatenate([model, rows], axis=1)[:, -CAPACITY:]
        assert int(ring.size) == model.shape[1]
        assert int(ring.pointer) == total % CAPACITY
        for seed in range(SEEDS):
            written = set(np.asarray(ring.rows)[seed, : int(ring.size), 0])
            assert written == set(model[seed, :, 0])
    drawn = np.asarray(sample(ring, keys_of(total, SEEDS), 64))
    for seed in range(SEEDS):
        assert set(drawn[seed, :, 0]) <= set(model[seed, :, 0])
        assert (drawn[seed] == drawn[seed, :, :1]).all()  # whole rows of this seed


@pytest.mark.parametrize("written", [4, 11])
def test_samples_are_uniform_over_written_rows(written: int) -> None:
    ring = filled(written)
    drawn = np.asarray(sample(ring, keys_of(1, SEEDS), 20_000))[..., 0] % 1000
    for seed in range(SEEDS):
        values, counts = np.unique(drawn[seed], return_counts=True)
        assert list(values) == list(range(max(0, written - CAPACITY), written))
        assert stats.chisquare(counts).pvalue > 1e-3


def test_a_seed_draws_the_same_rows_alone_and_among_others() -> None:
    ring = filled(9)
    together = sample(ring, keys_of(2, SEEDS), 16)
    for seed in range(SEEDS):
        alone = sample(ring, keys_of(2, SEEDS)[seed][None], 16, jnp.int32(seed))
        np.testing.assert_array_equal(alone[0], together[seed])
    assert (together[0] % 1000 != together[1] % 1000).any()


def test_take_draws_every_row_of_a_dataset() -> None:
    rows = jnp.array(numbered(0, 1, 5)[0])
    drawn = replay.take(rows, jax.random.key(0), 10_000)
    values, counts = np.unique(np.asarray(drawn[:, 0]), return_counts=True)
    assert list(values) == [1000, 1001, 1002, 1003, 1004]
    assert stats.chisquare(counts).pvalue > 1e-3


def test_more_rows_than_fit_are_refused() -> None:
    ring = replay.create(SEEDS, CAPACITY, OBS, ACTION)
    with pytest.raises(UserError, match="8 rows do not fit a replay of 7; raise the capacity"):
        replay.insert(ring, numbered(0, SEEDS, 8))


def test_reward_is_transformed_exactly_once() -> None:
    reward = np.array([0, 0, 1, 0, 0], np.float32)
    obs = np.arange(6, dtype=np.float32)[:, None]
    mask = np.array([1, 1, 0, 1, 1], np.float32)
    dataset = Dataset.from_arrays(obs[:-1], np.zeros((5, 1)), reward, mask, obs[1:])
    rows = replay.pack_dataset(dataset, scale=10, bias=-5, discount=0.5, failure=-5)
    assert isinstance(rows, jax.Array) and rows.dtype == jnp.float32
    back = replay.unpack(rows, 1, 1)
    np.testing.assert_array_equal(back.reward, [-5, -5, 5, -5, -5])
    np.testing.assert_array_equal(back.mc_return, [-6.25, -2.5, 5, -10, -10])
    np.testing.assert_array_equal(back.mask, mask)
    np.testing.assert_array_equal(back.next_obs - back.obs, np.ones((5, 1)))
    np.testing.assert_array_equal(dataset.reward, reward)  # the dataset keeps the raw rewards


State = tuple[replay.Ring, episodes.OpenEpisodes, jax.Array]


def step(lanes: int, keys: jax.Array, first: jax.Array, state: State) -> State:
    """What the engine's scan does to the ring in one step, with the next rows fed by the last."""
    ring, playing, feed = state
    rows = jnp.broadcast_to(feed[:, None, None], (len(feed), lanes, ring.rows.shape[2]))
    ring = replay.insert(ring, rows, first)
    reward = rows[..., 0]
    playing, value, age = episodes.push(playing, reward, reward * 0 + 1, reward > 0.9, 0.99)
    ring = replay.advance(replay.set_returns(ring, value, age, first), lanes)
    finished_keys, all_keys = (jax.vmap(jax.random.fold_in, (0, None))(keys, i) for i in (0, 1))
    finished = replay.sample_finished(ring, playing.length, finished_keys, 64, first)
    drawn = replay.sample(ring, all_keys, 64, first)
    return ring, playing, feed * 0.5 + drawn.mean((1, 2)) + finished.mean((1, 2))


def scan(lanes: int, keys: jax.Array, first: jax.Array, state: State) -> State:
    def body(carry: tuple[jax.Array, State], _: None) -> tuple[tuple[jax.Array, State], None]:
        i, state = carry
        now = jax.vmap(jax.random.fold_in, (0, None))(keys, i)
        return (i + 1, step(lanes, now, first, state)), None

    return jax.lax.scan(body, (jnp.int32(0), state), None, length=20)[0][1]


def one_by_one(lanes: int, keys: jax.Array, state: State) -> State:
    pointer, size = state[0].pointer, state[0].size

    def one(i: jax.Array, state: State) -> State:
        ring, *others = state
        ring = replay.Ring(ring.rows, pointer, size)
        mine = jax.tree.map(lambda x: jax.lax.dynamic_slice_in_dim(x, i, 1), others)
        key = jax.lax.dynamic_slice_in_dim(keys, i, 1)
        ring, *mine = scan(lanes, key, i, (ring, *mine))
        put = functools.partial(jax.lax.dynamic_update_slice_in_dim, start_index=i, axis=0)
        return (ring, *jax.tree.map(put, others, mine))

    return jax.lax.fori_loop(0, len(keys), one, state)


@pytest.mark.parametrize("lanes", [1, 3])
@pytest.mark.parametrize("together", [True, False])
def test_the_compiled_scan_never_copies_the_ring(lanes: int, together: bool) -> None:
    ring = replay.create(SEEDS, 1000, 4, 2)
    one = episodes.start(lanes, 50)
    playing = jax.tree.map(lambda x: jnp.zeros((SEEDS, *x.shape), x.dtype), one)

    def run(keys: jax.Array, state: State) -> State:
        if together:
            return scan(lanes, keys, jnp.int32(0), state)
        return one_by_one(lanes, keys, state)

    state = (ring, playing, jnp.ones(SEEDS))
    compiled = jax.jit(run, donate_argnums=1).lower(keys_of(0, SEEDS), state).compile()
    shape = ",".join(map(str, ring.rows.shape))
    made = set(re.findall(rf"= f32\[{shape}\]\S* ([a-z-]+)\(", compiled.as_text()))
    assert made & {"dynamic-update-slice", "scatter", "fusion"}  # the pattern finds the ring
    assert not {name for name in made if name.startswith("copy")}
    assert compiled.memory_analysis().temp_size_in_bytes < ring.rows.nbytes / 4
