"""AntMaze's ant on a floor without walls, with a direction to walk in.

The policy that AntMaze's own data is collected with is trained here: it walks in any direction. Neither paper has this
task; D4RL's counterpart is its goal-reaching ant. Everything observed is seen from the torso, so that one way of
walking serves all directions.

Not reproduced: as fastrl.envs.antmaze.
"""

import dataclasses

import jax
import jax.numpy as jnp

from fastrl.envs.antmaze import FRAME_SKIP, RESET_NOISE, compile_ant
from fastrl.envs.legged import Legged
from fastrl.envs.simulator import Physics
from fastrl.envs.vectors import matrix_of
from fastrl.types import Key, Spec, Step

CONTROL_COST = 0.05
HEALTHY_HEIGHT = (0.2, 1.0)  # m
HEALTHY_REWARD = 0.5
TURN = 0.02
"""Probability of a new direction at every step of 0.1 s."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class WalkState:
    """The ant, and where it should go."""

    physics: Physics
    direction: jax.Array  # [2], of length 1


def walk() -> "Walk":
    """An ant paid for its speed along a direction that is drawn anew now and then."""
    spec = Spec(name="ant-walk", obs_size=29, action_size=8, horizon=500, domain="locomotion")
    return Walk(spec, Legged(compile_ant(None, "d4rl"), FRAME_SKIP))


def observe(qpos: jax.Array, qvel: jax.Array, direction: jax.Array) -> jax.Array:
    """The observation [29] of an ant at qpos [15], qvel [14] that should walk along `direction` [2], of length 1.

    Height; up, the torso's velocity and the direction in the torso's frame; its angular velocity; joints and their
    velocities.
    """
    turn = matrix_of(qpos[3:7])
    heading = jnp.concatenate([direction, jnp.zeros(1)])
    return jnp.concatenate([qpos[2:3], turn[2], qvel[:3] @ turn, heading @ turn, qvel[3:6], qpos[7:], qvel[6:]])


@dataclasses.dataclass(frozen=True, eq=False)
class Walk:
    """Reward: speed along the direction, m/s. Made by `walk`."""

    spec: Spec
    simulator: Legged

    def reset(self, key: Key) -> tuple[WalkState, jax.Array]:
        """AntMaze's start, but facing anywhere."""
        key_direction, key_facing, key_qpos, key_qvel = jax.random.split(key, 4)
        qpos = jnp.asarray(self.simulator.qpos0, float)
        qpos += jax.random.uniform(key_qpos, qpos.shape, float, -RESET_NOISE, RESET_NOISE)
        half = jax.random.uniform(key_facing, (), float, 0.0, jnp.pi)
        qpos = qpos.at[3:7].set(jnp.array([jnp.cos(half), 0.0, 0.0, jnp.sin(half)]))
        qvel = RESET_NOISE * jax.random.normal(key_qvel, (14,), float)
        return self._state(self.simulator.start(qpos, qvel), _draw(key_direction))

    def step(self, key: Key, state: WalkState, action: jax.Array) -> tuple[WalkState, Step]:
        """Five physics steps; terminates when the torso leaves its range of heights."""
        key_turn, key_direction = jax.random.split(key)
        physics, _ = self.simulator.step(state.physics, action)
        seconds = self.simulator.timestep * FRAME_SKIP
        speed = (physics.qpos[:2] - state.physics.qpos[:2]) @ state.direction / seconds
        healthy = (HEALTHY_HEIGHT[0] <= physics.qpos[2]) & (physics.qpos[2] <= HEALTHY_HEIGHT[1])
        reward = speed + HEALTHY_REWARD - CONTROL_COST * jnp.sum(jnp.square(action))
        turning = jax.random.bernoulli(key_turn, TURN)
        after, obs = self._state(physics, jnp.where(turning, _draw(key_direction), state.direction))
        return after, Step(obs, reward, ~healthy, jnp.bool_(False))

    def from_physics(self, qpos: jax.Array, qvel: jax.Array) -> tuple[WalkState, jax.Array]:
        """The state and observation at qpos [15], qvel [14]; the direction is x."""
        physics = self.simulator.start(jnp.asarray(qpos, float), jnp.asarray(qvel, float))
        return self._state(physics, jnp.array([1.0, 0.0]))

    def physics(self, state: WalkState) -> tuple[jax.Array, jax.Array]:
        """(qpos [15], qvel [14])."""
        return state.physics.qpos, state.physics.qvel

    def _state(self, physics: Physics, direction: jax.Array) -> tuple[WalkState, jax.Array]:
        return WalkState(physics, direction), observe(physics.qpos, physics.qvel, direction)


def _draw(key: Key) -> jax.Array:
    angle = jax.random.uniform(key, (), float, -jnp.pi, jnp.pi)
    return jnp.array([jnp.cos(angle), jnp.sin(angle)])
