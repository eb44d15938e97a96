"""MuJoCo models stepped by MJX's Warp implementation, in float32, on an NVIDIA GPU.

No such GPU has run it yet: Warp also compiles its kernels for a CPU, on which tests and benchmarks/parity_warp.py
compare each step with C. A user is refused a CPU, for which the native physics is written.
"""

import dataclasses
import importlib.util
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import mujoco

from fastrl.envs import simulator
from fastrl.envs.simulator import Physics
from fastrl.errors import UserError
from fastrl.kernels.batching import one_launch

CONTACTS_A_PAIR = 2
"""Contacts that two of our geoms (planes, spheres, capsules) have at most."""


def on_gpu(model: mujoco.MjModel, frame_skip: int, forces: bool = False) -> "Simulator":
    """The simulator, with contact forces or without, where it can run.

    Raises:
        UserError: jax has no NVIDIA GPU here, or warp-lang is not installed.
    """
    if jax.default_backend() != "gpu" or "rocm" in jax.devices()[0].client.platform_version:
        raise UserError(
            f"--env-option backend=warp needs an NVIDIA GPU and jax runs on {jax.devices()[0].device_kind} here; "
            "leave it out for the native physics"
        )
    if importlib.util.find_spec("warp") is None:
        raise UserError("--env-option backend=warp needs warp-lang: pip install 'fastrl[warp]'")
    return Simulator(model, frame_skip, forces)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Evaluated:
    """What tasks read of the state that a step evaluated last, as C's data hold it after a step."""

    qpos: jax.Array  # [3], m, where the first body is
    forces: jax.Array  # [bodies, 6], the contact torque and force on every body


class Simulator(simulator.Simulator):
    """Stepped by Warp's own integrators: one call a physics step of all copies together.

    There is room for every contact that the geoms can make at once (`room`). Should a step end with more all the
    same, the state becomes NaN, which ends a run, rather than wrong.
    """

    def __init__(self, model: mujoco.MjModel, frame_skip: int, forces: bool = False) -> None:
        """Puts the model on the device, with contact forces or without; the first step compiles the kernels."""
        super().__init__(model, frame_skip)
        import warp

        warp.config.log_level = warp.LOG_WARNING  # it names every kernel that it loads
        from fastrl.envs import warp_contact
        from fastrl.envs.mjx import mjx  # imported there without its noise

        warp_contact.correct()
        modes = warp.JaxCallableGraphMode
        staged = jax.default_backend() == "gpu"  # in a scan the arrays move, and WARP would capture every step anew
        put = mjx.put_model(model, impl="warp", graph_mode=modes.WARP_STAGED if staged else modes.JAX)
        # Its kernels would print at a solver's limit.
        options = put.opt._impl.replace(warn_overflow=0, run_rne_postconstraint=forces)
        self.model = put.replace(opt=put.opt.replace(_impl=options))
        self._mjx = mjx
        self.contacts, self.rows = room(model)
        self._acceleration = folded(lambda *a: self._run(mjx.forward, 1, *a)["qacc"])
        self._stepped = folded(lambda *a: self._run(mjx.step, frame_skip, *a))
        self._once = folded(lambda *a: self._run(mjx.step, 1, *a))

    def acceleration(self, state: Physics, control: jax.Array) -> jax.Array:
        """As C's `qacc`; NaN where a contact may have been lost."""
        return self._acceleration(state, control)  # type: ignore[no-any-return]

    def external_forces(self, evaluated: Evaluated, control: jax.Array) -> jax.Array:
        """The contact torque and force on every body [bodies, 6] (`cfrc_ext` after `mj_rnePostConstraint`)."""
        del control
        return evaluated.forces

    def euler(self, state: Physics, control: jax.Array) -> tuple[Physics, Physics]:
        """As `mjx.step`, by the model's own integrator."""
        after = self._once(state, control)
        return Physics(after["qpos"], after["qvel"], after["qacc"]), state

    def _steps(self, state: Physics, control: jax.Array) -> tuple[Physics, Any]:
        after = self._stepped(state, control)
        return Physics(after["qpos"], after["qvel"], after["qacc"]), Evaluated(after["place"], after["forces"])

    def _run(self, function: Any, times: int, states: Physics, controls: jax.Array) -> dict[str, jax.Array]:
        """`mjx.forward` or `mjx.step` of states [N, ...] under controls [N, A]: what is read of its result.

        What Warp computes with stays in place from step to step: a blank one a step would be copied each time.
        """
        contacts = len(controls) * self.contacts
        with jax.ensure_compile_time_eval():
            blank = self._mjx.make_data(self.mj_model, impl="warp", naconmax=contacts, njmax=self.rows)

        def once(carry: Any) -> Any:
            data, lost = carry
            data = function(self.model, data)
            inner = data._impl
            lost |= jnp.maximum(inner.nacon, inner.ncollision).max() > contacts
            return data, lost | (inner.nefc.max() > self.rows)

        def one(state: Physics, control: jax.Array) -> dict[str, jax.Array]:
            given = state.qpos, state.qvel, state.warmstart, control
            qpos, qvel, warm, ctrl = (x.astype(jnp.float32) for x in given)
            data = blank.replace(qpos=qpos, qvel=qvel, qacc_warmstart=warm, ctrl=ctrl)
            data, lost = jax.lax.fori_loop(0, times, lambda _, carry: once(carry), (data, jnp.bool_(False)))
            names = {"qpos": data.qpos, "qvel": data.qvel, "qacc": data.qacc}
            names |= {"place": data.xpos[1], "forces": data._impl.cfrc_ext}
            return {name: jnp.where(lost, jnp.nan, x).astype(control.dtype) for name, x in names.items()}

        with jax.numpy_rank_promotion("allow"):  # MJX's own code promotes ranks
            return jax.vmap(one)(states, controls)


def room(model: mujoco.MjModel) -> tuple[int, int]:
    """(contacts, rows of the constraint Jacobian) of one copy that no state exceeds."""
    pairs = 0
    for a in range(model.ngeom):
        for b in range(a):
            kinds = model.geom_contype[[a, b]], model.geom_conaffinity[[b, a]]
            together = model.geom_bodyid[a] == model.geom_bodyid[b]
            pairs += bool((kinds[0] & kinds[1]).any()) and not together
    contacts = CONTACTS_A_PAIR * (pairs + model.npair)
    edges = 2 * (int(model.geom_condim.max()) - 1)
    return contacts, edges * contacts + int(model.jnt_limited.sum())


def folded(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of many copies [N, ...] as one of a single copy, of which `vmap`, nested or not, makes one call."""
    many = one_launch(function)
    return lambda *args: jax.tree.map(lambda x: x[0], many(*jax.tree.map(lambda x: x[None], args)))
