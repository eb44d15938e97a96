"""Online Monte-Carlo returns against a plain Python simulation of several environments."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fastrl.replay import episodes
from fastrl.replay import ring as replay

SEEDS, HORIZON, DISCOUNT = 2, 6, 0.9
UNKNOWN = -77.0


def push(playing, reward, mask, done, failure):
    return episodes.push(playing, reward, mask, done, DISCOUNT, failure)


push = jax.jit(push, static_argnums=4)
insert, set_returns = jax.jit(replay.insert), jax.jit(replay.set_returns)
advance = jax.jit(replay.advance, static_argnums=1)
sample_finished = jax.jit(replay.sample_finished, static_argnums=3)


def keys() -> jax.Array:
    return jax.vmap(lambda i: jax.random.fold_in(jax.random.key(5), i))(jnp.arange(SEEDS))


class Model:
    """One seed: every row ever written, as [id, reward, return or None]."""

    def __init__(self, lanes: int, prefilled: int) -> None:
        self.rows = [[float(i), 0.0, UNKNOWN] for i in range(prefilled)]
        self.open: list[list[int]] = [[] for _ in range(lanes)]

    def step(self, reward: np.ndarray, done: np.ndarray, failure: float | None) -> None:
        for lane, mine in enumerate(self.open):
            mine.append(len(self.rows))
            self.rows.append([float(len(self.rows)), float(reward[lane]), None])
        for lane, mine in enumerate(self.open):
            if not done[lane]:
                continue
            value = 0.0
            failed = failure is not None and all(self.rows[i][1] == failure for i in mine)
            for i in reversed(mine):
                value = self.rows[i][1] + DISCOUNT * value
                self.rows[i][2] = failure / (1 - DISCOUNT) if failed else value
            mine.clear()


def played(lanes, capacity, prefilled, failure, together, steps=30):
    """The ring and the models after playing at random, with the ring's rows checked on the way."""
    rng = np.random.default_rng(lanes)
    ring = replay.create(SEEDS, capacity, 1, 1)
    models = [Model(lanes, prefilled) for _ in range(SEEDS)]
    playing = jax.tree.map(lambda x: jnp.zeros((SEEDS, *x.shape), x.dtype), episodes.start(lanes, HORIZON))
    if prefilled:
        rows = np.zeros((SEEDS, prefilled, replay.width(1, 1)), "f")
        rows[..., 0], rows[..., replay.MC_RETURN] = np.arange(prefilled), UNKNOWN
        ring = advance(insert(ring, rows), prefilled)
    for _ in range(steps):
        number = len(models[0].rows) + np.arange(lanes)
        reward = rng.choice([-1.0, 2.0], (SEEDS, lanes), p=[0.8, 0.2]).astype("f")
        terminated = rng.random((SEEDS, lanes)) < 0.15
        truncated = np.asarray(playing.length) == HORIZON - 1
        rows = np.zeros((SEEDS, lanes, replay.width(1, 1)), "f")
        rows[..., 0], rows[..., -4], rows[..., -3] = number, reward, 1 - terminated
        playing, returns, age = push(playing, reward, rows[..., -3], jnp.array(terminated | truncated), failure)
        if together:
            ring = set_returns(insert(ring, rows), returns, age)
        else:
            for s in range(SEEDS):
                ring = insert(ring, rows[s : s + 1], jnp.int32(s))
                ring = set_returns(ring, returns[s : s + 1], age[s : s + 1], jnp.int32(s))
        ring = advance(ring, lanes)
        for s, model in enumerate(models):
            model.step(reward[s], terminated[s] | truncated[s], failure)
            compare(np.asarray(ring.rows[s]), int(ring.size), model)
    return ring, playing, models


def compare(rows: np.ndarray, size: int, model: Model) -> None:
    """Every row in the ring holds its own return, 0 while its episode is open."""
    want = {row[0]: row[2] for row in model.rows[-size:]}
    assert set(rows[:size, 0]) == set(want)
    for number, value in zip(rows[:size, 0], rows[:size, replay.MC_RETURN]):
        np.testing.assert_allclose(value, want[number] or 0.0, rtol=1e-5)


@pytest.mark.parametrize(
    ("lanes", "capacity", "prefilled", "failure", "together"),
    [
        (1, 100, 0, None, True),  # never wraps
        (1, 9, 0, -1.0, False),  # wraps, not much longer than an episode
        (3, 20, 0, None, False),  # wraps, and the lanes do not divide the ring
        (3, 41, 11, -1.0, True),  # prefilled rows, overwritten bit by bit
        (3, 200, 11, None, True),  # prefilled rows that stay
        (2, 7, 0, None, True),  # shorter than an episode: its oldest rows are gone at its end
    ],
)
def test_returns_and_samples_agree_with_a_simulation(lanes, capacity, prefilled, failure, together) -> None:
    ring, playing, models = played(lanes, capacity, prefilled, failure, together)
    checked = 0
    drawn = np.asarray(sample_finished(ring, playing.length, keys(), 4000))
    for s, model in enumerate(models):
        own = keys()[s][None]
        alone = sample_finished(ring, playing.length[s : s + 1], own, 4000, jnp.int32(s))
        np.testing.assert_array_equal(alone[0], drawn[s])
        finished = {r[0] for r in model.rows[-int(ring.size) :] if r[2] is not None}
        if finished:
            checked += 1
            values, counts = np.unique(drawn[s, :, 0], return_counts=True)
            assert set(values) == finished  # all of them, and none of the open ones
            assert abs(counts / 4000 - 1 / len(finished)).max() < 6 * (4000 * len(finished)) ** -0.5
    assert checked


def test_leading_axes_are_those_of_vmap() -> None:
    rng = np.random.default_rng(0)
    playing = episodes.OpenEpisodes(
        jnp.array(rng.normal(size=(SEEDS, 3, HORIZON)), jnp.float32),
        jnp.array(rng.integers(0, HORIZON, (SEEDS, 3)), jnp.int32),
    )
    reward = jnp.array(rng.normal(size=(SEEDS, 3)), jnp.float32)
    done = jnp.array(rng.random((SEEDS, 3)) < 0.5)
    step = lambda p, r, d: episodes.push(p, r, jnp.ones_like(r), d, 0.99)
    both = jax.jit(lambda *given: (step(*given), jax.vmap(step)(*given)))
    jax.tree.map(np.testing.assert_array_equal, *both(playing, reward, done))


def test_a_row_of_mask_zero_ends_its_trajectory_as_in_a_dataset() -> None:
    playing = episodes.start(1, 3)
    for mask in (1.0, 0.0):
        playing, returns, age = push(playing, jnp.ones(1), jnp.full(1, mask), jnp.zeros(1, bool), None)
    np.testing.assert_array_equal(age, [[1, 0, -1]])
    np.testing.assert_allclose(returns, [[1.9, 1.0, 0.0]], rtol=1e-6)
    assert int(playing.length[0]) == 0
