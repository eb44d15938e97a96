"""The soft constraints' solver beside NumPy: its linear algebra, its line search, and the minimum itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fastrl.envs import constraints

ROWS, SIZE = 20, 5


@pytest.fixture
def problem():
    """A random one, with rows that are always active, never, and redundant."""
    random = np.random.default_rng(3)
    half = random.normal(size=(SIZE, SIZE))
    jacobian = random.normal(size=(ROWS, SIZE))
    jacobian[1] = jacobian[0]
    weight = random.uniform(1, 50, ROWS)
    weight[5:8] = 0
    inertia = half @ half.T + np.eye(SIZE)
    return inertia, 9 * random.normal(size=SIZE), jacobian, weight, random.normal(size=ROWS)


def cost(problem, acceleration):
    """What MuJoCo minimises, up to a constant."""
    inertia, force, jacobian, weight, reference = problem
    residual = np.minimum(jacobian @ acceleration - reference, 0)
    return 0.5 * acceleration @ inertia @ acceleration - force @ acceleration + 0.5 * weight @ residual**2


def gradient(problem, acceleration):
    inertia, force, jacobian, weight, reference = problem
    return inertia @ acceleration - force + jacobian.T @ (weight * np.minimum(jacobian @ acceleration - reference, 0))


def test_a_system_is_solved_as_numpy_solves_it(problem):
    matrix, right = problem[:2]
    with jax.enable_x64(True):
        np.testing.assert_allclose(
            constraints.solve_positive(matrix, right), np.linalg.solve(matrix, right), rtol=1e-12
        )


def test_the_acceleration_is_the_minimum(problem):
    with jax.enable_x64(True):
        inertia, force, jacobian, weight, reference = problem
        solve = jax.jit(lambda *rows: constraints.solve(constraints.Dense(inertia, jacobian), *rows))
        for start in (np.zeros(SIZE), np.full(SIZE, 9.0)):
            acceleration, forces = map(np.array, solve(force, weight, reference, start))
            np.testing.assert_allclose(gradient(problem, acceleration), 0, atol=1e-9)
            np.testing.assert_allclose(jacobian.T @ forces, inertia @ acceleration - force, atol=1e-9)
            assert (forces >= 0).all() and (forces[weight == 0] == 0).all()
    residual = problem[2] @ acceleration - problem[4]
    assert 2 < ((residual < 0) & (problem[3] > 0)).sum() < ROWS - 5, "the case is one-sided"


def test_the_line_search_comes_near_the_least_cost(problem):
    inertia, force, jacobian, weight, reference = problem
    random = np.random.default_rng(0)
    with jax.enable_x64(True):
        search = jax.jit(constraints.line_search)
        left = []
        for _ in range(30):
            at = 3 * random.normal(size=SIZE)
            direction = -random.uniform(0.1, 20) * np.linalg.solve(inertia, gradient(problem, at))
            slope, curvature = direction @ (inertia @ at - force), direction @ inertia @ direction
            length = float(search(slope, curvature, jacobian @ at - reference, jacobian @ direction, weight))
            assert length > 0 and cost(problem, at + length * direction) < cost(problem, at)
            left.append(
                abs(direction @ gradient(problem, at + length * direction) / (direction @ gradient(problem, at)))
            )
        assert np.median(left) < 0.2 and max(left) < 0.9
        none = search(-2.0, 4.0, np.ones(3), np.ones(3), np.zeros(3))
        np.testing.assert_allclose(none, 0.5)  # without rows: the quadratic's own minimum
        assert np.isfinite(search(0.0, 0.0, jnp.ones(3), jnp.zeros(3), jnp.ones(3)))  # without a direction


@pytest.mark.parametrize("depth", [-0.02, -0.004, 0.0, 0.3])
def test_a_rows_softness_is_mujocos_formula(depth):
    solref, solimp = np.array([[0.03, 0.8]]), np.array([[0.3, 0.9, 0.01, 0.5, 2.0]])
    row = constraints.Softness.of(solref, solimp, np.array([0.7]), timestep=0.002)
    with jax.enable_x64(True):
        weight, reference = (float(x[0]) for x in row.reference(jnp.array([depth]), jnp.array([0.25])))
    x = min(abs(depth) / 0.01, 1)
    impedance = 0.3 + 0.6 * (2 * x**2 if x < 0.5 else 1 - 2 * (1 - x) ** 2)
    stiffness, damping = 1 / (0.9 * 0.03 * 0.8) ** 2, 2 / (0.9 * 0.03)
    assert weight == pytest.approx(impedance / (1 - impedance) / 0.7 if depth < 0 else 0)
    assert reference == pytest.approx(-damping * 0.25 - stiffness * impedance * depth)
    stiff = constraints.Softness.of(solref, solimp, np.array([0.7]), timestep=0.02)
    assert stiff.damping[0] == pytest.approx(2 / (0.9 * 0.04))  # never faster than two time steps


@pytest.mark.parametrize(
    ("solref", "solimp"), [([-5.0, 1.0], [0.9, 0.95, 0.001, 0.5, 2]), ([0.02, 1], [0.9, 0.95, 0.001, 0.5, 3])]
)
def test_what_is_not_written_is_refused(solref, solimp):
    with pytest.raises(AssertionError, match="written here"):
        constraints.Softness.of(np.array([solref]), np.array([solimp]), np.ones(1), 0.01)
