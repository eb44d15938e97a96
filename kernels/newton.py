"""MuJoCo's constraint solve (`fastrl.envs.constraints`) as one kernel for accelerators: Newton with a line search.

On an accelerator every kernel costs a launch, and a solve in plain operations is 10 to 17 of them in each of its 1 to
16 rounds. Here a solve is one launch. A system's R rows lie along the lanes of vectors, so that a Jacobian [R, V] is V
vectors; what is summed over rows is a scalar, and V x V matrices are written out in scalars. A GPU's block solves one
system, a TPU's eight, one in each sublane. This file has the mathematics, which is the same for both, and the entry.

The kernel has no derivative: nobody differentiates through the physics.
"""

import importlib
import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from fastrl.kernels import device
from fastrl.kernels.batching import one_launch

ROUNDS = 16
"""Play needs 1 to 5, robots that are set into the ground up to 9: after each the active rows are known better."""

LENGTHS = 2.0 ** np.arange(-5, 3)
"""Step lengths that the line search looks at. Exact search in its place changes the mean number of rounds by 0.03."""

Solver = Callable[..., tuple[jax.Array, jax.Array]]
"""Solves B systems: the arguments and results of `newton`, all with one leading axis [B]."""


class Memory(NamedTuple):
    """How a kernel reads its systems, and what it sums.

    A vector has the rows along lanes. A scalar is one number, or one of each system of the block.
    """

    size: int  # V
    jacobian: Callable[[int], jax.Array]  # column v: a vector
    weight: Callable[[], jax.Array]  # a vector
    reference: Callable[[], jax.Array]  # a vector
    inertia: Callable[[int, int], jax.Array]  # entry i, j of the lower triangle: a scalar
    force: Callable[[int], jax.Array]  # a scalar
    start: Callable[[int], jax.Array]  # a scalar
    total: Callable[[jax.Array], jax.Array]  # the sum of a vector: a scalar
    all: Callable[[jax.Array], jax.Array]  # of a bool scalar: whether it is true of every system, []


def newton(
    inertia: jax.Array,
    jacobian: jax.Array,
    force: jax.Array,
    weight: jax.Array,
    reference: jax.Array,
    start: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """(acceleration [..., V], each row's force [..., R]) as `fastrl.envs.constraints.solve` finds them, in float32.

    All of `inertia` [..., V, V], `jacobian` [..., R, V], `force` [..., V], `weight` [..., R], `reference` [..., R] and
    `start` [..., V] have the same leading axes. Under `jax.vmap`, nested or not, all systems are one launch. It has no
    derivative.
    """
    batch, size, rows = force.shape[:-1], force.shape[-1], weight.shape[-1]
    single = (inertia, jacobian, force, weight, reference, start)
    flat = [x.reshape(math.prod(batch), *x.shape[len(batch) :]) for x in single]
    acceleration, forces = _many(*flat)
    return acceleration.reshape(*batch, size), forces.reshape(*batch, rows)


def wanted(dtype: jnp.dtype) -> bool:
    """Whether the device that is traced for runs the kernel: a TPU or a new NVIDIA GPU, in float32."""
    return device.wanted(dtype, "gpu", "tpu")


@one_launch
def _many(*systems: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The same with exactly one leading axis."""
    name = "newton_tpu" if jax.default_backend() == "tpu" else "newton_gpu"
    solve: Solver = importlib.import_module(f"fastrl.kernels.{name}").solve  # each brings Pallas for its device alone
    return solve(*systems)


def rounds(memory: Memory) -> tuple[list[jax.Array], jax.Array]:
    """(the V accelerations, the rows' forces): Newton's rounds until every system of the block is settled.

    A system that is settled moves no more while others go on.
    """
    size, weight = range(memory.size), memory.weight
    along = lambda vector: sum(memory.jacobian(v) * vector[v] for v in size)

    def going(state: tuple) -> jax.Array:
        _, _, number, settled = state
        return (number < ROUNDS) & ~memory.all(settled > 0)

    def newton(state: tuple) -> tuple:
        acceleration, residual, number, before = state
        direction, downhill, pull = _direction(memory, acceleration, residual)
        moved = along(direction)
        fall = sum(a * b for a, b in zip(direction, downhill))
        slope = -fall - memory.total(pull * residual * moved)
        curvature = fall - memory.total(pull * moved * moved)
        changed = ((residual + moved < 0) != (residual < 0)) & (weight() != 0)
        settled = memory.total(jnp.where(changed, 1.0, 0.0)) == 0
        length = jnp.where(settled, 1.0, _length(memory.total, slope, curvature, residual, moved, weight()))
        length = jnp.where(before > 0, 0.0, length)
        acceleration = [a + length * d for a, d in zip(acceleration, direction)]
        return acceleration, residual + length * moved, number + 1, jnp.where(settled, 1.0, before)

    start = [memory.start(v) for v in size]
    residual = along(start) - memory.reference()
    begin = (start, residual, jnp.int32(0), jnp.zeros_like(start[0]))
    acceleration, residual, _, _ = lax.while_loop(going, newton, begin)
    return acceleration, jnp.where(residual < 0, -weight() * residual, 0.0)


def _direction(
    memory: Memory, acceleration: list[jax.Array], residual: jax.Array
) -> tuple[list[jax.Array], list[jax.Array], jax.Array]:
    """(Newton's whole step, minus the cost's gradient, the active rows' weights)."""
    size = range(memory.size)
    inertia = lambda i, j: memory.inertia(max(i, j), min(i, j))
    jacobian = [memory.jacobian(v) for v in size]
    pull = jnp.where(residual < 0, memory.weight(), 0.0)
    forces = pull * residual
    downhill, matrix = [], {}
    for i in size:
        momentum = sum(inertia(i, j) * acceleration[j] for j in size)
        downhill.append(memory.force(i) - momentum - memory.total(jacobian[i] * forces))
        pulled = jacobian[i] * pull
        for j in range(i + 1):
            matrix[i, j] = inertia(i, j) + memory.total(pulled * jacobian[j])
    return substituted(matrix, downhill), downhill, pull


def _length(
    total: Callable[[jax.Array], jax.Array],
    slope: jax.Array,
    curvature: jax.Array,
    residual: jax.Array,
    along: jax.Array,
    weight: jax.Array,
) -> jax.Array:
    """As `fastrl.envs.constraints.line_search`, the lengths written out."""
    force = weight * along
    low, high = jnp.zeros_like(slope), jnp.full_like(slope, 2 * LENGTHS[-1])
    for length in LENGTHS[::-1].tolist():
        rising = slope + length * curvature + total(force * jnp.minimum(residual + along * length, 0.0)) > 0
        low, high = jnp.where(rising, low, jnp.maximum(low, length)), jnp.where(rising, length, high)
    pull = jnp.where(residual + 0.5 * (low + high) * along < 0, force, 0.0)
    slope, curvature = slope + total(pull * residual), curvature + total(pull * along)
    least = jnp.where(curvature > 0, -slope / jnp.where(curvature > 0, curvature, 1.0), 0.0)
    return jnp.minimum(jnp.maximum(least, low), jnp.maximum(low, high))


def substituted(
    matrix: Mapping[tuple[int, int], jax.Array] | jax.Array, right: Sequence[jax.Array] | jax.Array
) -> list[jax.Array]:
    """Solves `matrix` x = `right`, symmetric and positive definite, by Cholesky written out: the entries of x.

    Only the lower triangle is read. The entries may be scalars or arrays of any one shape.
    """
    size = len(right)
    lower: list[list[jax.Array]] = [[] for _ in range(size)]
    inverse: list[jax.Array] = []
    for j in range(size):
        inverse.append(lax.rsqrt(matrix[j, j] - sum(x * x for x in lower[j])))
        for i in range(j + 1, size):
            lower[i].append((matrix[i, j] - sum(a * b for a, b in zip(lower[i], lower[j]))) * inverse[j])
    y: list[jax.Array] = []
    for i in range(size):
        y.append((right[i] - sum(a * b for a, b in zip(lower[i], y))) * inverse[i])
    x = y
    for i in reversed(range(size)):
        x[i] = (y[i] - sum(lower[k][i] * x[k] for k in range(i + 1, size))) * inverse[i]
    return x
