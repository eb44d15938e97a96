import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fastrl.envs.antmaze import MAZES
from fastrl.envs.heading import Heading

LARGE = [
    "############",
    "#....#.....#",
    "#.##.#.#.#.#",
    "#......#...#",
    "#.####.###.#",
    "#..#.#.....#",
    "##.#.#.#.###",
    "#..#...#...#",
    "############",
]


def around(cell):
    return [(cell[0] + row, cell[1] + column) for row, column in ((0, 1), (0, -1), (1, 0), (-1, 0))]


def steps_between(rows):
    """{(cell, goal): cells of way}, by relaxing until nothing changes."""
    free = [(i, j) for i, row in enumerate(rows) for j, letter in enumerate(row) if letter == "."]
    far = len(free)
    steps = {(a, b): 0 if a == b else far for a in free for b in free}
    for _ in free:
        for a, b in steps:
            steps[a, b] = min([steps[a, b], *(1 + steps[n, b] for n in around(a) if (n, b) in steps)])
    return free, steps


def meets(position, direction, low):
    """Whether the ray passes through the square of 1 m whose lowest corner is `low`."""
    sides = np.sort((np.array([low, low + 1]) - position) / np.where(direction == 0, 1e-12, direction), 0)
    return sides[0].max() <= sides[1].min() + 1e-4 and sides[1].min() > 0


@pytest.fixture(scope="module")
def towards():
    way = Heading.of(MAZES["large"]).towards
    return jax.jit(lambda seeds, *rows: jax.vmap(lambda seed, *row: way(jax.random.key(seed), *row))(seeds, *rows))


def test_every_direction_is_along_a_shortest_path(towards):
    free, steps = steps_between(LARGE)
    assert [list(cell) for cell in free] == MAZES["large"].free.tolist()
    random = np.random.default_rng(0)
    pairs = [(a, b) for a in range(len(free)) for b in range(len(free))]
    centre = {cell: 4.0 * (np.array(cell[::-1]) - 1) for cell in free}
    places = np.array([centre[free[a]] + random.uniform(-1.9, 1.9, 2) for a, _ in pairs])
    goals = np.array([centre[free[b]] + random.uniform(0, 1.5, 2) for _, b in pairs])
    ends = jnp.array([b for _, b in pairs])
    directions = np.array(towards(jnp.arange(len(pairs)), jnp.array(places), ends, jnp.array(goals)))
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1, atol=1e-5)
    straight = 0
    for (a, b), place, goal, direction in zip(pairs, places, goals, directions):
        cell, end = free[a], free[b]
        if steps[cell, end] <= 1:
            straight += 1
            np.testing.assert_allclose(direction, (goal - place) / np.linalg.norm(goal - place), atol=1e-4)
            continue
        nearer = [n for n in around(cell) if steps.get((n, end), 99) == steps[cell, end] - 1]
        assert any(meets(place, direction, centre[n]) for n in nearer), (cell, end)
    assert straight > 100


def test_the_point_ahead_is_drawn_anew_every_step(towards):
    same = (jnp.zeros((500, 2)), jnp.full(500, 45), jnp.array([[32.0, 24.0]] * 500))
    directions = np.array(towards(jnp.arange(500), *same))
    down = directions[:, 1] > directions[:, 0]
    assert down.all() or not down.any(), "always the same next cell"
    slope = np.sort(directions, 1)[:, 0] / np.sort(directions, 1)[:, 1]
    assert 0 <= slope.min() < 0.01 and 0.2 < slope.max() <= 0.25, "U(0, 1) over 4 + U(0, 1)"
    np.testing.assert_array_equal(towards(jnp.arange(500), *same), directions)
