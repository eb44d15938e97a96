"""Gymnasium's planar locomotion tasks (`-v5`, `-v4`): observation, reward, termination. A task is a row.

The robots are in `fastrl.envs.planar`, the time limit in `fastrl.envs.wrappers`.
"""

import dataclasses
import math
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import mujoco

from fastrl.envs.models import gymnasium_model
from fastrl.envs.planar import Planar
from fastrl.envs.simulator import Physics, Simulator
from fastrl.errors import unknown
from fastrl.types import Key, Spec, Step

Version = Literal["v4", "v5"]
Backend = Literal["native", "mjx", "warp"]
_ANY = (-math.inf, math.inf)


@dataclasses.dataclass(frozen=True)
class Task:
    """A row of Gymnasium's definitions: planar robots with the root at qpos (x, z, pitch)."""

    name: str
    file: str
    contact_cap: int  # deepest contacts that MJX keeps, per contact dimension
    contacts: int  # slots that it makes of that cap
    frame_skip: int
    control_cost: float
    reset_noise: float  # uniform on qpos and qvel, or the standard deviation of qvel
    normal_velocity: bool = False  # at reset, else uniform
    healthy_reward: float = 0.0
    healthy_height: tuple[float, float] = _ANY  # m
    healthy_angle: tuple[float, float] = _ANY  # rad
    healthy_state: float = math.inf  # bound on every other coordinate
    max_velocity: float = math.inf  # observed velocities are clipped to +- this
    reward_fallen: bool = False  # the healthy reward is paid for the last step too, as up to v4


HALFCHEETAH = Task(
    name="halfcheetah",
    file="half_cheetah.xml",
    contact_cap=8,
    contacts=8,
    frame_skip=5,
    control_cost=0.1,
    reset_noise=0.1,
    normal_velocity=True,
)
HOPPER = Task(
    name="hopper",
    file="hopper.xml",
    contact_cap=6,
    contacts=9,
    frame_skip=4,
    control_cost=1e-3,
    reset_noise=5e-3,
    healthy_reward=1.0,
    healthy_height=(0.7, math.inf),
    healthy_angle=(-0.2, 0.2),
    healthy_state=100.0,
    max_velocity=10.0,
)
WALKER2D = Task(
    name="walker2d",
    file="walker2d_v5.xml",
    contact_cap=10,
    contacts=10,
    frame_skip=4,
    control_cost=1e-3,
    reset_noise=5e-3,
    healthy_reward=1.0,
    healthy_height=(0.8, 2.0),
    healthy_angle=(-1.0, 1.0),
    max_velocity=10.0,
)


def halfcheetah(version: Version = "v5", backend: Backend = "native") -> "Locomotion":
    """Gymnasium's HalfCheetah-v5; its v4 is the same task."""
    checked(version)
    return Locomotion.of(HALFCHEETAH, backend)


def hopper(version: Version = "v5", backend: Backend = "native") -> "Locomotion":
    """Gymnasium's Hopper-v5 or -v4."""
    return Locomotion.of(dataclasses.replace(HOPPER, reward_fallen=checked(version) == "v4"), backend)


def walker2d(version: Version = "v5", backend: Backend = "native") -> "Locomotion":
    """Gymnasium's Walker2d-v5 or -v4, which has another model."""
    if checked(version) == "v5":
        return Locomotion.of(WALKER2D, backend)
    return Locomotion.of(dataclasses.replace(WALKER2D, file="walker2d.xml", reward_fallen=True), backend)


def checked(version: str) -> str:
    """A version of Gymnasium's tasks that is known here."""
    if version not in get_args(Version):
        raise unknown("version", version, get_args(Version))
    return version


def backend_of(backend: str) -> str:
    """What a spec calls a backend of Gymnasium's tasks that is known here."""
    if backend not in get_args(Backend):
        raise unknown("backend", backend, get_args(Backend))
    return "jax" if backend == "native" else backend


def general(backend: str, model: mujoco.MjModel, frame_skip: int, contacts: int, forces: bool = False) -> Any:
    """A simulator of any model: MJX's own with `contacts` slots, or its Warp implementation (with contact `forces`)."""
    if backend == "warp":
        from fastrl.envs import warp

        return warp.on_gpu(model, frame_skip, forces)
    from fastrl.envs import mjx  # takes a while to import

    return mjx.Simulator(model, frame_skip, contacts)


@dataclasses.dataclass(frozen=True, eq=False)
class Locomotion:
    """A planar robot rewarded for forward velocity."""

    task: Task
    simulator: Simulator
    spec: Spec

    @classmethod
    def of(cls, task: Task, backend: str) -> "Locomotion":
        """Loads the task's model for a simulator: the robot written out, or one of MJX's general ones."""
        model = gymnasium_model(task.file, task.contact_cap)
        low, high = model.actuator_ctrlrange.T
        spec = Spec(
            name=task.name,
            obs_size=model.nq - 1 + model.nv,
            action_size=model.nu,
            horizon=1000,
            domain="locomotion",
            backend=backend_of(backend),
            action_low=tuple(low.tolist()),
            action_high=tuple(high.tolist()),
        )
        if backend == "native":
            return cls(task, Planar(model, task.frame_skip), spec)
        return cls(task, general(backend, model, task.frame_skip, task.contacts), spec)

    def reset(self, key: Key) -> tuple[Physics, jax.Array]:
        """The rest position with uniform noise on qpos, uniform or normal noise on qvel."""
        key_qpos, key_qvel = jax.random.split(key)
        qpos0 = jnp.asarray(self.simulator.qpos0, float)
        noise = self.task.reset_noise
        qpos = qpos0 + jax.random.uniform(key_qpos, qpos0.shape, minval=-noise, maxval=noise)
        shape = (self.simulator.mj_model.nv,)
        if self.task.normal_velocity:
            return self.from_physics(qpos, noise * jax.random.normal(key_qvel, shape))
        return self.from_physics(qpos, jax.random.uniform(key_qvel, shape, minval=-noise, maxval=noise))

    def step(self, key: Key, state: Physics, action: jax.Array) -> tuple[Physics, Step]:
        """`frame_skip` physics steps; terminates when unhealthy."""
        del key
        after, _ = self.simulator.step(state, action)
        seconds = self.simulator.timestep * self.task.frame_skip
        velocity = (after.qpos[0] - state.qpos[0]) / seconds
        healthy = self._healthy(after)
        reward = velocity + (healthy | self.task.reward_fallen) * self.task.healthy_reward
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
