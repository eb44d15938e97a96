"""MuJoCo models for MJX: loading, solver settings and a small state. Knows no task.

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
    root = ET.fromstring((assets / file).read_text())
    return compile_model(root, max_contact_points)


def compile_model(root: ET.Element, max_contact_points: int) -> mujoco.MjModel:
    """Compiles MJCF whose only numeric is the contact cap.

    MJX reads a cap at the numeric's index, not its address, so no other numeric may come before it.
    """
    for custom in root.findall("custom"):
        root.remove(custom)
    custom = ET.SubElement(root, "custom")
    ET.SubElement(custom, "numeric", name="max_contact_points", data=str(max_contact_points))
    model = mujoco.MjModel.from_xml_string(ET.tostring(root, encoding="unicode"))
    model.opt.iterations = ITERATIONS
    model.opt.ls_iterations = LINE_SEARCH_ITERATIONS
    return model


class Simulator:
    """A model on the device: `start` a state, `step` it `frame_skip` times under one control."""

    def __init__(self, model: mujoco.MjModel, frame_skip: int, contacts: int) -> None:
        """Puts the model on the device; `contacts` is how many slots it must come out with."""
        self.model = mjx.put_model(model)
        self._blank = mjx.make_data(self.model)
        if self._blank._impl.ncon != contacts:
            raise AssertionError(f"MJX has {self._blank._impl.ncon} contact slots, not {contacts}")
        if model.opt.integrator != mujoco.mjtIntegrator.mjINT_RK4 or model.nq != model.nv or model.na:
            raise AssertionError("only RK4 on hinges and slides without activations is written here")
        self.frame_skip = frame_skip
        self.qpos0 = np.array(model.qpos0)
        self.timestep = float(model.opt.timestep)  # s

    def start(self, qpos: jax.Array, qvel: jax.Array) -> Physics:
        """A state without history: the solver starts from the unconstrained acceleration.

        C runs a forward pass at reset, whose acceleration becomes the first warm start. The solver
        converges to the same acceleration from either (a test compares), so none is run here.
        """
        return Physics(jnp.asarray(qpos, float), jnp.asarray(qvel, float), jnp.zeros(qvel.shape))

    def step(self, state: Physics, control: jax.Array) -> Physics:
        """`frame_skip` Runge-Kutta steps with `control` [A] held.

        As `mjx.step`, but with stages 2 to 4 as turns of a loop instead of three copies of the
        dynamics: half the program to compile, and twice as fast for one copy on a CPU.
        """
        ahead, weights = jnp.asarray(_RUNGE_KUTTA[1:].T * [[self.timestep], [1.0]], float)

        def physics_step(index: int, state: Physics) -> Physics:
            del index

            def stage(carry: Any, coefficients: Any) -> Any:
                velocity, acceleration, mean_velocity, mean_acceleration = carry
                time, share = coefficients
                qpos, qvel = state.qpos + time * velocity, state.qvel + time * acceleration
                acceleration = self._acceleration(qpos, qvel, state.warmstart, control)
                mean_velocity = mean_velocity + share * qvel
                mean_acceleration = mean_acceleration + share * acceleration
                return (qvel, acceleration, mean_velocity, mean_acceleration), None

            first = self._acceleration(state.qpos, state.qvel, state.warmstart, control)
            share = float(_RUNGE_KUTTA[0, 1])
            start = (state.qvel, first, share * state.qvel, share * first)
            (_, last, velocity, acceleration), _ = lax.scan(stage, start, (ahead, weights))
            return Physics(
                state.qpos + self.timestep * velocity,
                state.qvel + self.timestep * acceleration,
                last,
            )

        return lax.fori_loop(0, self.frame_skip, physics_step, state)

    def _acceleration(self, qpos: jax.Array, qvel: jax.Array, warmstart: jax.Array, control: jax.Array) -> jax.Array:
        data = self._blank.replace(qpos=qpos, qvel=qvel, qacc_warmstart=warmstart, ctrl=control)
        with jax.numpy_rank_promotion("allow"):  # MJX's own code promotes ranks
            return mjx.forward(self.model, data).qacc
