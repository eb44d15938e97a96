"""MuJoCo's soft constraints: what a row asks for, and the acceleration that pays least for all of them.

MuJoCo minimises, over accelerations a [V] (its documentation, "Computation: constraint model"),

    1/2 (a - a0)^T M (a - a0) + 1/2 sum_i weight_i min(0, J_i a - reference_i)^2,    M a0 = force.

The minimum is unique, so what is computed here equals C's to rounding, whatever the way there.
"""

import dataclasses
from typing import Protocol

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from jax import lax

from fastrl.envs.vectors import constant
from fastrl.kernels import newton as kernel
from fastrl.kernels.newton import LENGTHS, ROUNDS

State = tuple[jax.Array, jax.Array, jax.Array, jax.Array, jax.Array]
"""Of the solver: acceleration, residual of each row, which are active, rounds so far, whether those were right."""


@dataclasses.dataclass(frozen=True, eq=False)
class Softness:
    """Constants of R rows, each [R]: a spring and damper with an impedance that grows with depth."""

    stiffness: np.ndarray  # 1/s^2
    damping: np.ndarray  # 1/s
    low: np.ndarray  # impedance at the surface
    high: np.ndarray  # impedance at `width` and deeper
    width: np.ndarray  # depth over which it grows
    inverse_weight: np.ndarray  # of the bodies or joint, as MuJoCo approximates it

    @classmethod
    def of(cls, solref: np.ndarray, solimp: np.ndarray, inverse_weight: np.ndarray, timestep: float) -> "Softness":
        """From MuJoCo's `solref` [R, 2] and `solimp` [R, 5]."""
        time, ratio = solref.T
        low, high, width, middle, power = solimp.T
        if (solref <= 0).any() or (middle != 0.5).any() or (power != 2).any():
            raise AssertionError("only solref above 0 and solimp's usual curve are written here")
        time = np.maximum(time, 2 * timestep)
        low, high = np.clip([low, high], mujoco.mjMINIMP, mujoco.mjMAXIMP)
        return cls(
            stiffness=1 / (high * time * ratio) ** 2,
            damping=2 / (high * time),
            low=low,
            high=high,
            width=np.maximum(mujoco.mjMINVAL, width),
            inverse_weight=inverse_weight,
        )

    def reference(self, depth: jax.Array, velocity: jax.Array) -> tuple[jax.Array, jax.Array]:
        """(weight [R], 0 where nothing touches; reference acceleration [R]).

        Depth [R] is below 0 inside, velocity [R] is that of the depth.
        """
        own = lambda x: constant(x, depth.dtype)
        x = jnp.minimum(jnp.abs(depth) / own(self.width), 1.0)
        curve = jnp.where(x < 0.5, 2 * x * x, 1 - 2 * (1 - x) * (1 - x))
        impedance = own(self.low) + curve * own(self.high - self.low)
        softness = jnp.maximum(own(self.inverse_weight) * (1 - impedance) / impedance, mujoco.mjMINVAL)
        weight = jnp.where(depth < 0, 1 / softness, 0.0)
        return weight, own(-self.damping) * velocity - own(self.stiffness) * impedance * depth


def leaning_weight(weight: np.ndarray, friction: np.ndarray, impratio: float) -> np.ndarray:
    """The inverse weight of a friction pyramid's edges, of contacts [...] whose bodies have `weight` together."""
    return (1 + friction**2) * weight * 2 * friction**2 / impratio


class System(Protocol):
    """The inertia M and the rows' Jacobian J of a robot, in whatever form is cheap for it."""

    def momentum(self, acceleration: jax.Array) -> jax.Array:
        """M a [V]."""

    def along(self, acceleration: jax.Array) -> jax.Array:
        """J a [R]."""

    def push(self, forces: jax.Array) -> jax.Array:
        """J^T f [V] of the rows' forces f [R]."""

    def solve(self, weight: jax.Array, right: jax.Array) -> jax.Array:
        """(M + J^T diag(weight) J)^-1 right [V]."""


@dataclasses.dataclass(frozen=True)
class Dense:
    """Both as matrices."""

    inertia: jax.Array  # [V, V]
    jacobian: jax.Array  # [R, V]

    def momentum(self, acceleration: jax.Array) -> jax.Array:
        """M a [V]."""
        return jnp.sum(self.inertia * acceleration[None], 1)

    def along(self, acceleration: jax.Array) -> jax.Array:
        """J a [R]."""
        return jnp.sum(self.jacobian * acceleration[None], 1)

    def push(self, forces: jax.Array) -> jax.Array:
        """J^T f [V]."""
        return jnp.sum(self.jacobian * forces[:, None], 0)

    def solve(self, weight: jax.Array, right: jax.Array) -> jax.Array:
        """(M + J^T diag(weight) J)^-1 right [V]."""
        pull = self.jacobian * weight[:, None]
        return solve_positive(self.inertia + jnp.sum(pull[:, :, None] * self.jacobian[:, None, :], 0), right)


def solve(
    system: System, force: jax.Array, weight: jax.Array, reference: jax.Array, start: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """(acceleration [V], each row's force [R]) by Newton's method with a line search, from `start` [V].

    `force` [V], `weight` and `reference` [R]. With the right rows active a whole step ends at the minimum: the loop
    stops where those that the step was computed with are those at its end. On an accelerator a dense system in float32
    is one kernel.
    """
    if isinstance(system, Dense) and kernel.wanted(force.dtype):
        return kernel.newton(system.inertia, system.jacobian, force, weight, reference, start)

    def newton(state: State) -> State:
        acceleration, residual, active, rounds, _ = state
        pull = jnp.where(active, weight, 0.0)
        downhill = force - system.momentum(acceleration) - system.push(pull * residual)
        direction = system.solve(pull, downhill)
        along = system.along(direction)
        fall = jnp.sum(direction * downhill)  # its curvature in M + J^T diag(pull) J too
        slope, curvature = -fall - jnp.sum(pull * residual * along), fall - jnp.sum(pull * along * along)
        settled = jnp.all(((residual + along < 0) == active) | (weight == 0))
        length = jnp.where(settled, 1.0, line_search(slope, curvature, residual, along, weight))
        acceleration, residual = acceleration + length * direction, residual + length * along
        return acceleration, residual, residual < 0, rounds + 1, settled

    def going(state: State) -> jax.Array:
        return ~state[4] & (state[3] < ROUNDS)

    residual = system.along(start) - reference
    begin = (start, residual, residual < 0, jnp.int32(0), jnp.bool_(False))
    acceleration, residual, active, _, _ = lax.while_loop(going, newton, begin)
    return acceleration, jnp.where(active, -weight * residual, 0.0)


def line_search(
    slope: jax.Array, curvature: jax.Array, residual: jax.Array, along: jax.Array, weight: jax.Array
) -> jax.Array:
    """A step length [] near the least cost along a direction, from one look at a few lengths.

    The cost's derivative, slope + t curvature + sum_i weight_i along_i min(0, residual_i + t along_i), is piecewise
    linear and grows. Its root lies between the last length where it is below 0 and the next; there it is taken to be
    the linear piece of the middle. More would gain nothing: Newton's last step has length 1 whatever the search.
    """
    lengths = jnp.asarray(LENGTHS, slope.dtype)
    there = jnp.minimum(residual[:, None] + along[:, None] * lengths[None], 0.0)
    slopes = slope + lengths * curvature + jnp.sum((weight * along)[:, None] * there, 0)
    low = jnp.max(jnp.where(slopes <= 0, lengths, 0.0))
    high = jnp.min(jnp.where(slopes > 0, lengths, 2 * lengths[-1]))
    pull = jnp.where(residual + 0.5 * (low + high) * along < 0, weight * along, 0.0)
    slope, curvature = slope + jnp.sum(pull * residual), curvature + jnp.sum(pull * along)
    length = jnp.where(curvature > 0, -slope / jnp.where(curvature > 0, curvature, 1.0), 0.0)
    return jnp.clip(length, low, jnp.maximum(low, high))


def solve_positive(matrix: jax.Array, right: jax.Array) -> jax.Array:
    """Solves `matrix` [V, V] x = `right` [V], symmetric and positive definite, by Cholesky written out: x [V].

    A library's call for each of many small systems costs more than their arithmetic, and stands between kernels that
    a compiler could join.
    """
    return jnp.stack(kernel.substituted(matrix, right))
