"""The system of a robot whose limbs touch only its torso and the ground: its matrices have the shape of an arrow.

A limb's inertia, Jacobians and contacts have 8 columns, the torso's 6 and its own 2, so that four limbs are one array
[4, ...]. The limbs' 2 x 2 blocks are eliminated in closed form, which leaves 6 x 6.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from fastrl.envs.constraints import Dense, solve_positive

LEGS = 4


@dataclasses.dataclass(frozen=True)
class Arrow:
    """The inertia and the rows of a legged robot, leg by leg; a vector [14] is the torso's 6, then 2 for each leg."""

    torso: jax.Array  # [6, 6], inertia of what is fixed to the torso
    legs: jax.Array  # [4, 8, 8], inertia of each leg, with the torso's columns first
    jacobian: jax.Array  # [4, R, 8]

    def momentum(self, acceleration: jax.Array) -> jax.Array:
        """M a [14]."""
        whole = joined(jnp.sum(self.legs * split(acceleration)[:, None, :], 2))
        return whole.at[:6].add(jnp.sum(self.torso * acceleration[None, :6], 1))

    def along(self, acceleration: jax.Array) -> jax.Array:
        """J a [4 R]."""
        return jnp.sum(self.jacobian * split(acceleration)[:, None, :], 2).ravel()

    def push(self, forces: jax.Array) -> jax.Array:
        """J^T f [14]."""
        return joined(jnp.sum(self.jacobian * forces.reshape(LEGS, -1, 1), 1))

    def solve(self, weight: jax.Array, right: jax.Array) -> jax.Array:
        """(M + J^T diag(weight) J)^-1 right [14]."""
        pull = self.jacobian * weight.reshape(LEGS, -1, 1)
        blocks = self.legs + jnp.sum(pull[..., :, None] * self.jacobian[..., None, :], 1)
        a, b, c = blocks[:, 6, 6], blocks[:, 6, 7], blocks[:, 7, 7]
        scale = 1 / (a * c - b * b)
        first, second = blocks[:, :6, 6], blocks[:, :6, 7]  # [4, 6], the torso with either joint
        hip, ankle = right[6::2], right[7::2]  # [4]
        by_hip = (c[:, None] * first - b[:, None] * second) * scale[:, None]
        by_ankle = (a[:, None] * second - b[:, None] * first) * scale[:, None]
        schur = by_hip[:, :, None] * first[:, None] + by_ankle[:, :, None] * second[:, None]
        root = right[:6] - summed(by_hip * hip[:, None] + by_ankle * ankle[:, None])
        root = solve_positive(self.torso + summed(blocks[:, :6, :6] - schur), root)
        hip, ankle = hip - jnp.sum(first * root[None], 1), ankle - jnp.sum(second * root[None], 1)
        joints = jnp.stack([(c * hip - b * ankle) * scale, (a * ankle - b * hip) * scale], 1)
        return jnp.concatenate([root, joints.ravel()])

    def dense(self) -> Dense:
        """The same as whole matrices [14, 14] and [4 R, 14]: a leg has zeros in the others' columns."""
        here = np.eye(LEGS, dtype=bool)[:, None, :, None]
        spread = lambda own: jnp.where(here, own[:, :, None], 0.0).reshape(-1, 2 * LEGS)  # from [4, N, 2]
        side = self.legs[:, :6, 6:].swapaxes(0, 1).reshape(6, -1)
        root = self.torso + jnp.sum(self.legs[:, :6, :6], 0)
        inertia = jnp.block([[root, side], [side.T, spread(self.legs[:, 6:, 6:])]])
        jacobian = jnp.concatenate([self.jacobian[..., :6].reshape(-1, 6), spread(self.jacobian[..., 6:])], 1)
        return Dense(inertia, jacobian)


def summed(legs: jax.Array) -> jax.Array:
    """The sum over the first axis [4, ...], written out: a compiler joins it with what follows."""
    return legs[0] + legs[1] + legs[2] + legs[3]


def split(vector: jax.Array) -> jax.Array:
    """[14] to [4, 8]: each leg with the torso."""
    torso = jnp.broadcast_to(vector[None, :6], (LEGS, 6))
    return jnp.concatenate([torso, vector[6:].reshape(LEGS, 2)], 1)


def joined(legs: jax.Array) -> jax.Array:
    """[4, 8] to [14], the torso's parts added."""
    return jnp.concatenate([summed(legs[:, :6]), legs[:, 6:].ravel()])
