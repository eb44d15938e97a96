"""Gymnasium's locomotion tasks (`-v5`) in MJX: observation, reward and termination. A task is a row.

Knows no solver setting (fastrl.envs.mjx) and no time limit (wrappers).
"""

import dataclasses

import jax
import jax.numpy as jnp

from fastrl.envs.mjx import Physics, Simulator, gymnasium_model
from fastrl.types import Key, Spec, Step


@dataclasses.dataclass(frozen=True)
class Task:
    """A row of Gymnasium's definitions: planar robots with the root at qpos (x, z, pitch)."""

    name: str
    file: str
    contact_cap: int  # deepest contacts kept, per contact dimension
    contacts: int  # slots that MJX makes of that cap
    frame_skip: int
    control_cost: float
    reset_noise: float  # uniform, on qpos and qvel
    healthy_reward: float
    healthy_height: tuple[float, float]  # m
    healthy_angle: tuple[float, float]  # rad
    healthy_state: float  # bound on every other coordinate
    max_velocity: float  # observed velocities are clipped to +- this


HOPPER = Task(
    name="hopper",
    file="hopper.xml",
    contact_cap=6,
    contacts=9,
    frame_skip=4,
    control_cost=1e-3,
    reset_noise=5e-3,
    healthy_reward=1.0,
    healthy_height=(0.7, float("inf")),
    healthy_angle=(-0.2, 0.2),
    healthy_state=100.0,
    max_velocity=10.0,
)


def hopper() -> "Locomotion":
    """Gymnasium's Hopper-v5."""
    return Locomotion.of(HOPPER)


@dataclasses.dataclass(frozen=True, eq=False)
class Locomotion:
    """A planar robot rewarded for forward velocity."""

    task: Task
    simulator: Simulator
    spec: Spec

    @classmethod
    def of(cls, task: Task) -> "Locomotion":
        """Loads the task's model."""
        model = gymnasium_model(task.file, task.contact_cap)
        low, high = model.actuator_ctrlrange.T
        spec = Spec(
            name=task.name,
            obs_size=model.nq - 1 + model.nv,
            action_size=model.nu,
            horizon=1000,
            domain="locomotion",
            backend="mjx",
            action_low=tuple(low.tolist()),
            action_high=tuple(high.tolist()),
        )
        return cls(task, Simulator(model, task.frame_skip, task.contacts), spec)

    def reset(self, key: Key) -> tuple[Physics, jax.Array]:
        """The rest position with uniform noise on qpos and qvel."""
        key_qpos, key_qvel = jax.random.split(key)
        qpos0 = jnp.asarray(self.simulator.qpos0, float)
        noise = self.task.reset_noise
        qpos = qpos0 + jax.random.uniform(key_qpos, qpos0.shape, minval=-noise, maxval=noise)
        shape = (self.simulator.model.nv,)
        return self.from_physics(qpos, jax.random.uniform(key_qvel, shape, minval=-noise, maxval=noise))

    def step(self, key: Key, state: Physics, action: jax.Array) -> tuple[Physics, Step]:
        """`frame_skip` physics steps; terminates when unhealthy."""
        del key
        after = self.simulator.step(state, action)
        seconds = self.simulator.timestep * self.task.frame_skip
        velocity = (after.qpos[0] - state.qpos[0]) / seconds
        healthy = self._healthy(after)
        reward = velocity + healthy * self.task.healthy_reward
        reward -= self.task.control_cost * jnp.sum(jnp.square(action))
        return after, Step(self._observe(after), reward, ~healthy, jnp.bool_(False))

    def from_physics(self, qpos: jax.Array, qvel: jax.Array) -> tuple[Physics, jax.Array]:
        """The state and observation at qpos [Q], qvel [V]."""
        state = self.simulator.start(jnp.asarray(qpos), jnp.asarray(qvel))
        return state, self._observe(state)

    def physics(self, state: Physics) -> tuple[jax.Array, jax.Array]:
        """(qpos [Q], qvel [V])."""
        return state.qpos, state.qvel

    def _observe(self, state: Physics) -> jax.Array:
        limit = self.task.max_velocity
        return jnp.concatenate([state.qpos[1:], jnp.clip(state.qvel, -limit, limit)])

    def _healthy(self, state: Physics) -> jax.Array:
        def between(x: jax.Array, bounds: tuple[float, float]) -> jax.Array:
            return (bounds[0] < x) & (x < bounds[1])

        bound = self.task.healthy_state
        rest = jnp.concatenate([state.qpos, state.qvel])[2:]
        return (
            between(state.qpos[1], self.task.healthy_height)
            & between(state.qpos[2], self.task.healthy_angle)
            & jnp.all(between(rest, (-bound, bound)))
        )
