"""Gymnasium's Ant (`-v5`, `-v4`): observation, reward and termination.

The robot is in `fastrl.envs.legged`, the time limit in `fastrl.envs.wrappers`.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from fastrl.envs.legged import Legged
from fastrl.envs.locomotion import Backend, Version, backend_of, checked, general
from fastrl.envs.models import gymnasium_model
from fastrl.envs.simulator import Physics
from fastrl.types import Key, Spec, Step

CONTACT_CAP = 8
FRAME_SKIP = 5
CONTROL_COST = 0.5
CONTACT_COST = 5e-4  # of the squared, clipped contact forces; v5 only
HEALTHY_HEIGHT = (0.2, 1.0)  # m
RESET_NOISE = 0.1


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class AntState:
    """The simulator's state and where the torso was when its last acceleration was computed.

    Gymnasium's velocity is that of the body's position, which lags qpos by one integration stage.
    """

    physics: Physics
    torso: jax.Array  # [2], m


def ant(version: Version = "v5", backend: Backend = "native") -> "Ant":
    """Gymnasium's Ant-v5, or -v4 without contact forces."""
    model = gymnasium_model("ant.xml", CONTACT_CAP)
    forces = checked(version) == "v5"
    spec = Spec(
        name="ant",
        obs_size=model.nq - 2 + model.nv + forces * 6 * (model.nbody - 1),
        action_size=model.nu,
        horizon=1000,
        domain="locomotion",
        backend=backend_of(backend),
    )
    if backend == "native":
        return Ant(Legged(model, FRAME_SKIP), spec, forces)
    return Ant(general(backend, model, FRAME_SKIP, CONTACT_CAP, forces), spec, forces)


@dataclasses.dataclass(frozen=True, eq=False)
class Ant:
    """A four-legged robot rewarded for velocity along x."""

    simulator: Any  # a `Legged` or one of MJX's, which all have contact forces
    spec: Spec
    forces: bool  # observed and paid for (v5)

    def reset(self, key: Key) -> tuple[AntState, jax.Array]:
        """The rest position with uniform noise on qpos and normal noise on qvel."""
        key_qpos, key_qvel = jax.random.split(key)
        qpos0 = jnp.asarray(self.simulator.qpos0, float)
        qpos = qpos0 + jax.random.uniform(key_qpos, qpos0.shape, minval=-RESET_NOISE, maxval=RESET_NOISE)
        return self.from_physics(qpos, RESET_NOISE * jax.random.normal(key_qvel, (self.simulator.mj_model.nv,)))

    def step(self, key: Key, state: AntState, action: jax.Array) -> tuple[AntState, Step]:
        """Five physics steps; terminates when the torso leaves its range of heights."""
        del key
        after, evaluated = self.simulator.step(state.physics, action)
        seconds = self.simulator.timestep * FRAME_SKIP
        torso = evaluated.qpos[:2]
        velocity = (torso[0] - state.torso[0]) / seconds
        healthy = (HEALTHY_HEIGHT[0] <= after.qpos[2]) & (after.qpos[2] <= HEALTHY_HEIGHT[1])
        healthy &= jnp.isfinite(after.qpos).all() & jnp.isfinite(after.qvel).all()
        reward = velocity - CONTROL_COST * jnp.sum(jnp.square(action))
        if not self.forces:
            return AntState(after, torso), Step(self._observe(after), reward + 1.0, ~healthy, jnp.bool_(False))
        forces = jnp.clip(self.simulator.external_forces(evaluated, action), -1.0, 1.0)
        reward += healthy - CONTACT_COST * jnp.sum(jnp.square(forces))
        obs = jnp.concatenate([self._observe(after), forces[1:].ravel()])
        return AntState(after, torso), Step(obs, reward, ~healthy, jnp.bool_(False))

    def from_physics(self, qpos: jax.Array, qvel: jax.Array) -> tuple[AntState, jax.Array]:
        """The state and observation at qpos [15], qvel [14]; contact forces are observed as 0 until a step."""
        physics = self.simulator.start(jnp.asarray(qpos), jnp.asarray(qvel))
        obs = self._observe(physics)
        return AntState(physics, physics.qpos[:2]), jnp.pad(obs, (0, self.spec.obs_size - obs.size))

    def physics(self, state: AntState) -> tuple[jax.Array, jax.Array]:
        """(qpos [15], qvel [14])."""
        return state.physics.qpos, state.physics.qvel

    def _observe(self, state: Physics) -> jax.Array:
        return jnp.concatenate([state.qpos[2:], state.qvel])
