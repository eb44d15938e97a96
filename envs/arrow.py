"""The system of a robot whose limbs touch only its torso and the ground: its matrices have the shape of an arrow.

A limb's inertia, Jacobians and contacts have 8 columns, the torso's 6 and its own 2, so that four limbs are one array
[4, ...]. The limbs' 2 x 2 blocks are eliminated in closed form, which leaves 6 x 6.
"""

import dataclasses

import jax
import jax.numpy as jnp

from fastrl.envs.constraints import solve_positive

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
        across, own = blocks[:, :6, 6:], blocks[:, 6:, 6:]
        a, b, c = own[:, 0, 0], own[:, 0, 1], own[:, 1, 1]
        inverse = jnp.stack([jnp.stack([c, -b], 1), jnp.stack([-b, a], 1)], 1) / (a * c - b * b)[:, None, None]
        carried = jnp.sum(across[:, :, :, None] * inverse[:, None], 2)  # [4, 6, 2]
        legs = right[6:].reshape(LEGS, 2)
        schur = jnp.sum(blocks[:, :6, :6] - jnp.sum(carried[:, :, None] * across[:, None], 3), 0)
        root = right[:6] - jnp.sum(carried * legs[:, None], (0, 2))
        root = solve_positive(self.torso + schur, root)
        left = legs - jnp.sum(across * root[None, :, None], 1)
        return jnp.concatenate([root, jnp.sum(inverse * left[:, None], 2).ravel()])


def split(vector: jax.Array) -> jax.Array:
    """[14] to [4, 8]: each leg with the torso."""
    torso = jnp.broadcast_to(vector[None, :6], (LEGS, 6))
    return jnp.concatenate([torso, vector[6:].reshape(LEGS, 2)], 1)


def joined(legs: jax.Array) -> jax.Array:
    """[4, 8] to [14], the torso's parts added."""
    return jnp.concatenate([jnp.sum(legs[:, :6], 0), legs[:, 6:].ravel()])
