"""MuJoCo models for MJX: loading, solver settings, a small state and its step.

Models are Gymnasium's own XML, stepped as C MuJoCo steps them (tests compare each step with C). Only
the solver's limits differ: fewer iterations than the XML allows, never fewer than C needs.
"""

import contextlib
import dataclasses
import importlib.resources
import io
import xml.etree.ElementTree as ET
from typing import Any

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from jax import lax

with contextlib.redirect_stdout(io.StringIO()):  # it prints that its optional backend is missing
    from mujoco import mjx
    from mujoco.mjx._src import forward as mjx_forward
    from mujoco.mjx._src import math, smooth

from fastrl.envs.contact import corrected_contacts

ITERATIONS = 8
LINE_SEARCH_ITERATIONS = 10

_RUNGE_KUTTA = np.array([[0.0, 1 / 6], [0.5, 1 / 3], [0.5, 1 / 3], [1.0, 1 / 6]])
"""For each stage, how much of a time step it lies ahead, and its weight."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Physics:
    """All that a MuJoCo step needs of the step before; everything else is computed anew."""

    qpos: jax.Array  # [Q]
    qvel: jax.Array  # [V]
    warmstart: jax.Array  # [V], the last acceleration, where the solver starts


def gymnasium_model(file: str, max_contact_points: int) -> mujoco.MjModel:
    """Gymnasium's `file` with room for `max_contact_points` contacts a group and a tuned solver."""
    assets = importlib.resources.files("gymnasium") / "envs" / "mujoco" / "assets"
    return compile_model(ET.fromstring((assets / file).read_text()), max_contact_points)


def compile_model(root: ET.Element, max_contact_points: int, max_geom_pairs: int | None = None) -> mujoco.MjModel:
    """Compiles MJCF whose only numerics are the caps on contacts and on pairs of geoms that are looked at.

    MJX reads a cap at the numeric's index, not its address, so no other numeric may come before it.
    """
    for custom in root.findall("custom"):
        root.remove(custom)
    custom = ET.SubElement(root, "custom")
    ET.SubElement(custom, "numeric", name="max_contact_points", data=str(max_contact_points))
    if max_geom_pairs is not None:
        ET.SubElement(custom, "numeric", name="max_geom_pairs", data=str(max_geom_pairs))
    compiler = root.find("compiler")
    total_mass = None if compiler is None else compiler.attrib.pop("settotalmass", None)
    model = mujoco.MjModel.from_xml_string(ET.tostring(root, encoding="unicode"))
    if total_mass is not None:  # as the compiler would do, were it not for its warning and log file
        mujoco.mj_setTotalmass(model, float(total_mass))
        mujoco.mj_setConst(model, mujoco.MjData(model))
    model.opt.iterations = ITERATIONS
    model.opt.ls_iterations = LINE_SEARCH_ITERATIONS
    return model


class Simulator:
    """A model on the device: `start` a state, `step` it `frame_skip` times under one control.

    MJX keeps the deepest `max_contact_points` contacts of each kind. Where all of them are in use one may have been
    lost, and the state becomes NaN, which ends a run, rather than wrong.
    """

    def __init__(self, model: mujoco.MjModel, frame_skip: int, contacts: int) -> None:
        """Puts the model on the device; `contacts` is how many slots it must come out with."""
        self.mj_model = model
        with corrected_contacts():
            self.model = mjx.put_model(model)
            self._blank = mjx.make_data(self.model)
        if self._blank._impl.ncon != contacts:
            raise AssertionError(f"MJX has {self._blank._impl.ncon} contact slots, not {contacts}")
        if model.na:
            raise AssertionError("only actuators without activations are written here")
        steps = {mujoco.mjtIntegrator.mjINT_RK4: self._runge_kutta, mujoco.mjtIntegrator.mjINT_EULER: self._euler}
        self._integrate = steps[mujoco.mjtIntegrator(model.opt.integrator)]
        self.frame_skip = frame_skip
        self.qpos0 = np.array(model.qpos0)
        self.timestep = float(model.opt.timestep)  # s
        self._groups = _full_groups(self._blank._impl.contact.dim, int(model.numeric_data[0]))

    def start(self, qpos: jax.Array, qvel: jax.Array) -> Physics:
        """A state without history: the solver starts from the unconstrained acceleration.

        C runs a forward pass at reset, whose acceleration becomes the first warm start. The solver
        converges to the same acceleration from either (a test compares), so none is run here.
        """
        return Physics(jnp.asarray(qpos, float), jnp.asarray(qvel, float), jnp.zeros(qvel.shape))

    def step(self, state: Physics, control: jax.Array) -> tuple[Physics, Physics]:
        """`frame_skip` physics steps with `control` [A] held: (the state after, the state last evaluated).

        C's derived quantities (body positions, contact forces) belong to the second: the start of the last Euler
        step, or the last stage of the last Runge-Kutta step.
        """

        def physics_step(index: int, states: tuple[Physics, Physics]) -> tuple[Physics, Physics]:
            del index
            return self._integrate(states[0], control)

        return lax.fori_loop(0, self.frame_skip, physics_step, (state, state))

    def forward(self, state: Physics, control: jax.Array) -> mjx.Data:
        """Everything that MuJoCo derives from a state (`mj_forward`)."""
        data = self._blank.replace(qpos=state.qpos, qvel=state.qvel, qacc_warmstart=state.warmstart, ctrl=control)
        with jax.numpy_rank_promotion("allow"), corrected_contacts():  # MJX's own code promotes ranks
            return mjx.forward(self.model, data)

    def external_forces(self, state: Physics, control: jax.Array) -> jax.Array:
        """The contact torque and force on every body [bodies, 6] (`cfrc_ext` after `mj_rnePostConstraint`)."""
        with jax.numpy_rank_promotion("allow"):
            return smooth.rne_postconstraint(self.model, self.forward(state, control))._impl.cfrc_ext

    def _euler(self, state: Physics, control: jax.Array) -> tuple[Physics, Physics]:
        """One semi-implicit Euler step, joint damping implicit."""
        data = self.forward(state, control)
        with jax.numpy_rank_promotion("allow"):
            after = mjx_forward.euler(self.model, data)
        full = self._full(data)
        return Physics(jnp.where(full, jnp.nan, after.qpos), after.qvel, data.qacc), state

    def _runge_kutta(self, state: Physics, control: jax.Array) -> tuple[Physics, Physics]:
        """One Runge-Kutta step of order 4.

        As `mjx.step`, but with stages 2 to 4 as turns of a loop instead of three copies of the
        dynamics: half the program to compile, and twice as fast for one copy on a CPU.
        """
        ahead, weights = jnp.asarray(_RUNGE_KUTTA[1:].T * [[self.timestep], [1.0]], float)

        def stage(carry: Any, coefficients: Any) -> Any:
            evaluated, acceleration, mean_velocity, mean_acceleration = carry
            time, share = coefficients
            qpos = self._move(state.qpos, evaluated.qvel, time)
            evaluated = Physics(qpos, state.qvel + time * acceleration, state.warmstart)
            acceleration = self._acceleration(evaluated, control)
            mean_velocity = mean_velocity + share * evaluated.qvel
            mean_acceleration = mean_acceleration + share * acceleration
            return (evaluated, acceleration, mean_velocity, mean_acceleration), None

        first = self._acceleration(state, control)
        share = float(_RUNGE_KUTTA[0, 1])
        start = (state, first, share * state.qvel, share * first)
        (evaluated, last, velocity, acceleration), _ = lax.scan(stage, start, (ahead, weights))
        qpos = self._move(state.qpos, velocity, self.timestep)
        return Physics(qpos, state.qvel + self.timestep * acceleration, last), evaluated

    def _acceleration(self, state: Physics, control: jax.Array) -> jax.Array:
        data = self.forward(state, control)
        return jnp.where(self._full(data), jnp.nan, data.qacc)

    def _full(self, data: mjx.Data) -> jax.Array:
        """[] bool: every slot of some kind of contact is in use."""
        contact = data._impl.contact
        used = contact.dist < contact.includemargin
        full = jnp.bool_(False)
        for slots in self._groups:
            full |= used[slots].all()
        return full

    def _move(self, qpos: jax.Array, velocity: jax.Array, time: jax.Array | float) -> jax.Array:
        """The position after `time` seconds of `velocity` [V]: one free joint in front, or none."""
        if qpos.size == velocity.size:
            return qpos + time * velocity
        turned = math.quat_integrate(qpos[3:7], velocity[3:6], jnp.asarray(time, qpos.dtype))
        return jnp.concatenate([qpos[:3] + time * velocity[:3], turned, qpos[7:] + time * velocity[6:]])


def _full_groups(dims: np.ndarray, cap: int) -> list[np.ndarray]:
    """The slots of each kind of contact (by dimension) that the cap cut."""
    groups = [np.flatnonzero(dims == dim) for dim in np.unique(dims)]
    return [slots for slots in groups if len(slots) == cap]
