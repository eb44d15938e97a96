"""MuJoCo models for MJX: loading, solver settings and a small state. Knows no task.

Models are Gymnasium's own XML, stepped as C MuJoCo steps them (tests compare each step with C). Only
the solver's limits differ: fewer iterations than the XML allows, never fewer than C needs.
"""

import dataclasses
import importlib.resources
import xml.etree.ElementTree as ET
from typing import Any

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from jax import lax
from mujoco import mjx

ITERATIONS = 8
LINE_SEARCH_ITERATIONS = 10


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
        self.frame_skip = frame_skip
        self.qpos0 = np.array(model.qpos0)
        self.timestep = float(model.opt.timestep)  # s
        self.control_range = np.array(model.actuator_ctrlrange)

    def start(self, qpos: jax.Array, qvel: jax.Array) -> Physics:
        """A state without history: the solver starts from the unconstrained acceleration.

        C runs a forward pass at reset whose acceleration becomes the first warm start. The solver
        converges to the same acceleration from either (a test compares), so none is run here.
        """
        dtype = jnp.result_type(float)
        return Physics(qpos.astype(dtype), qvel.astype(dtype), jnp.zeros(qvel.shape, dtype))

    def step(self, state: Physics, control: jax.Array) -> Physics:
        """`frame_skip` physics steps with `control` [A] held."""

        def body(_: int, state: Physics) -> Physics:
            data: Any = self._blank.replace(
                qpos=state.qpos, qvel=state.qvel, qacc_warmstart=state.warmstart, ctrl=control
            )
            data = mjx.step(self.model, data)
            return Physics(data.qpos, data.qvel, data.qacc_warmstart)

        return lax.fori_loop(0, self.frame_skip, body, state)
