"""MuJoCo models stepped by MJX, as C MuJoCo steps them (tests compare each step with C)."""

import contextlib
import io

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

with contextlib.redirect_stdout(io.StringIO()):  # it prints that its optional backend is missing
    from mujoco import mjx
    from mujoco.mjx._src import forward as mjx_forward
    from mujoco.mjx._src import smooth

from fastrl.envs import simulator
from fastrl.envs.contact import corrected_contacts
from fastrl.envs.simulator import Physics


class Simulator(simulator.Simulator):
    """Stepped by MJX's own dynamics, collisions and solver.

    MJX keeps the deepest `max_contact_points` contacts of each kind. Where all of them are in use one may have been
    lost, and the state becomes NaN, which ends a run, rather than wrong.
    """

    def __init__(self, model: mujoco.MjModel, frame_skip: int, contacts: int) -> None:
        """Puts the model on the device; `contacts` is how many slots it must come out with."""
        super().__init__(model, frame_skip)
        with corrected_contacts():
            self.model = mjx.put_model(model)
            self._blank = mjx.make_data(self.model)
        if self._blank._impl.ncon != contacts:
            raise AssertionError(f"MJX has {self._blank._impl.ncon} contact slots, not {contacts}")
        self._groups = _full_groups(self._blank._impl.contact.dim, int(model.numeric_data[0]))

    def forward(self, state: Physics, control: jax.Array) -> mjx.Data:
        """Everything that MuJoCo derives from a state (`mj_forward`)."""
        data = self._blank.replace(qpos=state.qpos, qvel=state.qvel, qacc_warmstart=state.warmstart, ctrl=control)
        with jax.numpy_rank_promotion("allow"), corrected_contacts():  # MJX's own code promotes ranks
            return mjx.forward(self.model, data)

    def external_forces(self, state: Physics, control: jax.Array) -> jax.Array:
        """The contact torque and force on every body [bodies, 6] (`cfrc_ext` after `mj_rnePostConstraint`)."""
        with jax.numpy_rank_promotion("allow"):
            return smooth.rne_postconstraint(self.model, self.forward(state, control))._impl.cfrc_ext

    def euler(self, state: Physics, control: jax.Array) -> tuple[Physics, Physics]:
        """As `mjx.step`."""
        data = self.forward(state, control)
        with jax.numpy_rank_promotion("allow"):
            after = mjx_forward.euler(self.model, data)
        full = self._full(data)
        return Physics(jnp.where(full, jnp.nan, after.qpos), after.qvel, data.qacc), state

    def acceleration(self, state: Physics, control: jax.Array) -> jax.Array:
        """As C's `qacc`; NaN where a contact may have been lost."""
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


def _full_groups(dims: np.ndarray, cap: int) -> list[np.ndarray]:
    """The slots of each kind of contact (by dimension) that the cap cut."""
    groups = [np.flatnonzero(dims == dim) for dim in np.unique(dims)]
    return [slots for slots in groups if len(slots) == cap]
