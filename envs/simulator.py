"""A MuJoCo model stepped on the device: its state, and MuJoCo's two integrators over whoever gives the acceleration."""

import abc
import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from jax import lax
from jax.custom_batching import custom_vmap

from fastrl.envs.vectors import constant

BLOCK = 64
"""Copies that a CPU steps at once; 32 to 128 are as fast."""

_RUNGE_KUTTA = np.array([[0.0, 1 / 6], [0.5, 1 / 3], [0.5, 1 / 3], [1.0, 1 / 6]])
"""For each stage, how much of a time step it lies ahead, and its weight."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Physics:
    """All that a MuJoCo step needs of the step before; everything else is computed anew."""

    qpos: jax.Array  # [Q]
    qvel: jax.Array  # [V]
    warmstart: jax.Array  # [V], the last acceleration, where the solver starts


class Simulator(abc.ABC):
    """`start` a state, `step` it `frame_skip` times under one control."""

    def __init__(self, model: mujoco.MjModel, frame_skip: int) -> None:
        """Reads what every integrator needs of the compiled model."""
        if model.na:
            raise AssertionError("only actuators without activations are written here")
        steps = {mujoco.mjtIntegrator.mjINT_RK4: self._runge_kutta, mujoco.mjtIntegrator.mjINT_EULER: self.euler}
        self._integrate = steps[mujoco.mjtIntegrator(model.opt.integrator)]
        self.mj_model = model
        self.frame_skip = frame_skip
        self.qpos0 = np.array(model.qpos0)
        self.timestep = float(model.opt.timestep)  # s
        self._gear = np.zeros((model.nv, model.nu))
        self._gear[model.jnt_dofadr[model.actuator_trnid[:, 0]], np.arange(model.nu)] = model.actuator_gear[:, 0]

    @abc.abstractmethod
    def acceleration(self, state: Physics, control: jax.Array) -> jax.Array:
        """The acceleration [V] under a control [A], constraints included (`qacc` after `mj_forward`)."""

    @abc.abstractmethod
    def euler(self, state: Physics, control: jax.Array) -> tuple[Physics, Physics]:
        """One semi-implicit Euler step, joint damping implicit: (the state after, the state evaluated)."""

    def start(self, qpos: jax.Array, qvel: jax.Array) -> Physics:
        """A state without history: the solver starts from no acceleration.

        C runs a forward pass at reset, whose acceleration becomes the first warm start. The solver
        converges to the same acceleration from either (a test compares), so none is run here.
        """
        return Physics(jnp.asarray(qpos, float), jnp.asarray(qvel, float), jnp.zeros(qvel.shape))

    def step(self, state: Physics, control: jax.Array) -> tuple[Physics, Physics]:
        """`frame_skip` physics steps with `control` [A] held: (the state after, the state last evaluated).

        C's derived quantities (body positions, contact forces) belong to the second: the start of the last Euler
        step, or the last stage of the last Runge-Kutta step.
        """
        return _in_blocks(self._steps)(state, control)  # type: ignore[no-any-return]

    def _steps(self, state: Physics, control: jax.Array) -> tuple[Physics, Physics]:
        def physics_step(index: int, states: tuple[Physics, Physics]) -> tuple[Physics, Physics]:
            del index
            return self._integrate(states[0], control)

        return lax.fori_loop(0, self.frame_skip, physics_step, (state, state))

    def driven(self, qvel: jax.Array, control: jax.Array) -> jax.Array:
        """The force [V] of motors and of the joints' damping."""
        model, cast = self.mj_model, lambda x: constant(x, qvel.dtype)
        motors = jnp.clip(control, cast(model.actuator_ctrlrange[:, 0]), cast(model.actuator_ctrlrange[:, 1]))
        return jnp.sum(cast(self._gear) * motors[None], 1) - cast(model.dof_damping) * qvel

    def _runge_kutta(self, state: Physics, control: jax.Array) -> tuple[Physics, Physics]:
        """One Runge-Kutta step of order 4.

        Stages 2 to 4 are turns of a loop instead of three copies of the dynamics: half the program to compile, and
        twice as fast for one copy on a CPU.
        """
        ahead, weights = jnp.asarray(_RUNGE_KUTTA[1:].T * [[self.timestep], [1.0]], float)

        def stage(carry: Any, coefficients: Any) -> Any:
            evaluated, acceleration, mean_velocity, mean_acceleration = carry
            time, share = coefficients
            qpos = self._move(state.qpos, evaluated.qvel, time)
            evaluated = Physics(qpos, state.qvel + time * acceleration, acceleration)
            acceleration = self.acceleration(evaluated, control)
            mean_velocity = mean_velocity + share * evaluated.qvel
            mean_acceleration = mean_acceleration + share * acceleration
            return (evaluated, acceleration, mean_velocity, mean_acceleration), None

        first = self.acceleration(state, control)
        share = float(_RUNGE_KUTTA[0, 1])
        start = (state, first, share * state.qvel, share * first)
        (evaluated, last, velocity, acceleration), _ = lax.scan(stage, start, (ahead, weights))
        qpos = self._move(state.qpos, velocity, self.timestep)
        return Physics(qpos, state.qvel + self.timestep * acceleration, last), evaluated

    def _move(self, qpos: jax.Array, velocity: jax.Array, time: jax.Array | float) -> jax.Array:
        """The position after `time` seconds of `velocity` [V]: one free joint in front, or none."""
        if qpos.size == velocity.size:
            return qpos + time * velocity
        turned = _turn(qpos[3:7], velocity[3:6], jnp.asarray(time, qpos.dtype))
        return jnp.concatenate([qpos[:3] + time * velocity[:3], turned, qpos[7:] + time * velocity[6:]])


def _in_blocks(function: Callable[..., Any]) -> Any:
    """The function, of which many copies go in blocks on a CPU: what they compute with then stays in its cache.

    A block's solver also stops when its own copies have settled, and not the slowest of all.
    """
    blocked = custom_vmap(function)

    @blocked.def_vmap
    def many(size: int, batched: Any, *args: Any) -> tuple[Any, Any]:
        args = jax.tree.map(lambda x, b: x if b else jnp.broadcast_to(x[None], (size, *x.shape)), args, tuple(batched))
        if jax.default_backend() == "cpu" and size > BLOCK:
            found = lax.map(lambda each: function(*each), args, batch_size=BLOCK)
        else:
            found = jax.vmap(function)(*args)
        return found, jax.tree.map(lambda _: True, found)

    return blocked


def _turn(quaternion: jax.Array, velocity: jax.Array, time: jax.Array) -> jax.Array:
    """A quaternion [4] after `time` seconds of a local angular velocity [3] (`mju_quatIntegrate`)."""
    speed = jnp.sqrt(sum(x * x for x in velocity))
    still = speed == 0
    half = 0.5 * time * speed
    w, x, y, z = quaternion
    d, (a, b, c) = jnp.cos(half), velocity * (jnp.sin(half) / jnp.where(still, 1.0, speed))
    product = (
        w * d - x * a - y * b - z * c,
        w * a + x * d + y * c - z * b,
        w * b - x * c + y * d + z * a,
        w * c + x * b - y * a + z * d,
    )
    return jnp.stack(product) / jnp.sqrt(sum(x * x for x in product))
