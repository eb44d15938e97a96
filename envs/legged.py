"""A torso with legs of two hinges each, written out: Ant steps as C MuJoCo steps it.

Everything is computed in the torso's frame, where the torso and all legs' hips are constants. A leg moves itself and
the torso and no other leg, so that all four legs are one array [4, ...] (fastrl.envs.arrow). Constants are read from
the compiled model; tests compare every term with C's.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from fastrl.envs.arrow import LEGS, Arrow, joined
from fastrl.envs.constraints import Softness, leaning_weight, solve
from fastrl.envs.simulator import Physics, Simulator
from fastrl.envs.vectors import (
    apply,
    axes_of,
    constant,
    cross,
    dot,
    inertia_of,
    matrix_of,
    moment_of,
    product,
    turned,
    turning,
)
from fastrl.envs.walls import KEPT, Walls
from fastrl.kernels.newton import wanted

FLOOR = np.array([0, 0, 1, 1, 2, 2, 3])
WALLS = np.repeat([0, 1, 2, 3], KEPT)
"""Which part has each contact of a leg: its fixed, upper or lower capsule (two ends on the floor), or the torso."""

EDGES = np.array([[1, 1, 0], [1, -1, 0], [1, 0, 1], [1, 0, -1]])
"""Of a friction pyramid: along the normal, the first and the second tangent (times friction)."""

_HINGE, _PLANE, _BOX = mujoco.mjtJoint.mjJNT_HINGE, mujoco.mjtGeom.mjGEOM_PLANE, mujoco.mjtGeom.mjGEOM_BOX
_SOFT = ("solref", "solimp")
_NO_DIRECTION = 1e-6  # a projected axis shorter than this has none; C then takes x


class Frames(NamedTuple):
    """Where a robot is, in its torso's frame."""

    turn: jax.Array  # [3, 3], the torso's rotation: its rows are the world's axes
    place: jax.Array  # [3], m, the torso's
    hip: jax.Array  # [4, 3, 3], rotation of the upper leg
    ankle: jax.Array  # [4, 3, 3], of the lower leg
    knee: jax.Array  # [4, 3], the ankle joint's place
    bend: jax.Array  # [4, 3], its axis


class Legged(Simulator):
    """A free torso with four legs, on a floor and maybe among walls.

    Each leg has a capsule fixed to the torso, one on a hip and one on an ankle.
    """

    def __init__(self, model: mujoco.MjModel, frame_skip: int) -> None:
        """Reads the model's constants."""
        super().__init__(model, frame_skip)
        self.bodies = _bodies(model)  # [4, 3]: the part fixed to the torso, upper and lower leg
        fixed, upper, lower = self.bodies.T
        self.hips = model.body_pos[fixed] + model.body_pos[upper]  # [4, 3], from the torso
        self.shins = model.body_pos[lower]  # [4, 3], from the hip to the ankle
        axes = model.jnt_axis[1:].reshape(LEGS, 2, 3)
        self.hip_axes, self.ankle_axes = axes[:, 0], axes[:, 1]
        self.hip_turns, self.ankle_turns = turning(axes[:, 0]), turning(axes[:, 1])
        self.torso_inertia = inertia_of(model, [1, *fixed])
        limbs = self.bodies[:, 1:]
        self.mass, self.centre = model.body_mass[limbs], model.body_ipos[limbs]
        self.inertia = model.body_inertia[limbs]
        self.principal = axes_of(model.body_iquat[limbs.ravel()]).reshape(LEGS, 2, 3, 3)
        self.armature = np.zeros((LEGS, 8, 8))
        self.armature[:, [6, 7], [6, 7]] = model.dof_armature[6:].reshape(LEGS, 2)
        self._shape(model)

    def _shape(self, model: mujoco.MjModel) -> None:
        """Capsules, the torso's sphere, and the softness of their contacts and of the joints' limits."""
        geoms = np.array([[int(np.flatnonzero(model.geom_bodyid == body)[0]) for body in leg] for leg in self.bodies])
        floor, ball = int(np.flatnonzero(model.geom_type == _PLANE)[0]), int(np.flatnonzero(model.geom_bodyid == 1)[0])
        self.axes = axes_of(model.geom_quat[geoms.ravel()])[:, :, 2].reshape(LEGS, 3, 3)
        self.half = model.geom_size[geoms, 1]
        half = self.axes * self.half[..., None]
        self.ends = model.geom_pos[geoms][:, :, None] + np.stack([half, -half], 2)  # [4, 3, 2, 3], of each body
        self.ends[:, 0] += model.body_pos[self.bodies[:, 0]][:, None]
        self.walls = Walls(model) if (model.geom_type == _BOX).any() else None
        parts = FLOOR if self.walls is None else np.concatenate([FLOOR, WALLS])
        self.upper, self.lower = np.isin(parts, (1, 2)).astype(int), (parts == 2).astype(int)
        touching = np.concatenate([geoms, np.full((LEGS, 1), ball)], 1)[:, parts]  # [4, C]
        other = np.full(len(parts), floor)
        if self.walls is not None:
            other[len(FLOOR) :] = self.walls.geom
        self.radius, self.ball = model.geom_size[touching, 0], model.geom_pos[ball]
        self.margin = model.geom_margin[touching] + model.geom_margin[other]
        self.friction = np.maximum(model.geom_friction[touching, 0], model.geom_friction[other, 0])
        weight = model.body_invweight0[model.geom_bodyid[touching], 0] + model.body_invweight0[0, 0]
        leaning = leaning_weight(weight, self.friction, model.opt.impratio)
        leaning[:, parts == 3] *= LEGS  # the torso is a quarter of every leg's rows
        edges = lambda x: np.repeat(x, len(EDGES), 1)
        mean = lambda field: edges(0.5 * (field[touching] + field[other]))
        limits = lambda x: x[1:].reshape(LEGS, 2, *x.shape[1:])
        rows = lambda contacts, joints: np.concatenate([contacts, joints], 1)
        solref, solimp = (rows(mean(getattr(model, f"geom_{n}")), limits(getattr(model, f"jnt_{n}"))) for n in _SOFT)
        inverse = rows(edges(leaning), model.dof_invweight0[6:].reshape(LEGS, 2))
        self.softness = Softness.of(solref.reshape(-1, 2), solimp.reshape(-1, 5), inverse.ravel(), self.timestep)

    def acceleration(self, state: Physics, control: jax.Array) -> jax.Array:
        """As C's `qacc`."""
        return self.forward(state, control)[0]

    def euler(self, state: Physics, control: jax.Array) -> tuple[Physics, Physics]:
        """As `mj_Euler`: from the acceleration a to a' of (M + h D) a' = M a, that is a - (M + h D)^-1 h D a."""
        acceleration, system, _, forces = self.forward(state, control)
        damping = jnp.asarray(self.timestep * self.mj_model.dof_damping, acceleration.dtype)  # none on the torso
        joints = jnp.pad(damping[6:].reshape(LEGS, 2), ((0, 0), (6, 0)))[:, None] * jnp.eye(8)[None]
        damped = dataclasses.replace(system, legs=system.legs + joints)
        slowed = damped.solve(jnp.zeros_like(forces), damping * acceleration)
        slowed = jnp.concatenate([apply(matrix_of(state.qpos[3:7]), slowed[:3]), slowed[3:]])
        qvel = state.qvel + self.timestep * (acceleration - slowed)
        return Physics(self._move(state.qpos, qvel, self.timestep), qvel, acceleration), state

    def forward(self, state: Physics, control: jax.Array) -> tuple[jax.Array, Arrow, jax.Array, jax.Array]:
        """(acceleration [V], system, force without constraints [V], each row's force [R]).

        All but the first have the torso's linear part in its own frame.
        """
        cast = lambda x: constant(x, state.qpos.dtype)
        frames = self.frames(state.qpos)
        own = lambda vector: jnp.concatenate([apply(frames.turn.T, vector[:3]), vector[3:]])
        qvel = own(state.qvel)
        legs, bias = self._legs(frames, qvel)
        force = self.driven(qvel, control) - bias
        jacobian, depth = self._rows(frames, state.qpos)
        system = Arrow(cast(self.torso_inertia), legs, jacobian)
        weight, reference = self.softness.reference(depth, system.along(qvel))
        whole = system.dense() if wanted(force.dtype) else system
        acceleration, forces = solve(whole, force, weight, reference, own(state.warmstart))
        world = jnp.concatenate([apply(frames.turn, acceleration[:3]), acceleration[3:]])
        return world, system, force, forces

    def frames(self, qpos: jax.Array) -> Frames:
        """Where everything is."""
        cast = lambda x: constant(x, qpos.dtype)
        angles = (qpos[7:] - cast(self.qpos0[7:])).reshape(LEGS, 2)
        hip, bent = turned(cast(self.hip_turns), angles[:, 0]), turned(cast(self.ankle_turns), angles[:, 1])
        ankle = product(hip, bent)
        knee = cast(self.hips) + apply(hip, cast(self.shins))
        return Frames(matrix_of(qpos[3:7]), qpos[:3], hip, ankle, knee, apply(hip, cast(self.ankle_axes)))

    def _moves(
        self, frames: Frames, points: jax.Array, directions: jax.Array, upper: np.ndarray, lower: np.ndarray
    ) -> jax.Array:
        """[4, P, D, 8]: how points [4, P, 3] move along directions [4, P, D, 3].

        `upper` and `lower` [P] say which of them move with the hip, and with the ankle.
        """
        cast = lambda x: constant(x, points.dtype)
        by_hip = cross(cast(self.hip_axes)[:, None], points - cast(self.hips)[:, None]) * cast(upper)[None, :, None]
        by_ankle = cross(frames.bend[:, None], points - frames.knee[:, None]) * cast(lower)[None, :, None]
        joints = [dot(directions, x[:, :, None])[..., None] for x in (by_hip, by_ankle)]
        return jnp.concatenate([directions, cross(points[:, :, None], directions), *joints], -1)

    def _legs(self, frames: Frames, qvel: jax.Array) -> tuple[jax.Array, jax.Array]:
        """(the legs' inertia [4, 8, 8], the bias force [14] of legs and torso, gravity among it)."""
        cast = lambda x: constant(x, qvel.dtype)
        spin, speeds = qvel[3:6], qvel[6:].reshape(LEGS, 2)
        hips, hip_axis = cast(self.hips), cast(self.hip_axes)
        first = spin[None] + hip_axis * speeds[:, :1]
        first_rate = cross(spin[None], hip_axis) * speeds[:, :1]
        second = first + frames.bend * speeds[:, 1:]
        second_rate = first_rate + cross(first, frames.bend) * speeds[:, 1:]
        swing = lambda rate, spin, arm: cross(rate, arm) + cross(spin, cross(spin, arm))
        arms = [apply(turn, cast(self.centre[:, i])) for i, turn in enumerate((frames.hip, frames.ankle))]
        rising = cast(-self.mj_model.opt.gravity[2]) * frames.turn[2]
        at_hip = rising[None] + cross(spin[None], cross(spin[None], hips))
        at_knee = at_hip + swing(first_rate, first, frames.knee - hips)
        moves = [at_hip + swing(first_rate, first, arms[0]), at_knee + swing(second_rate, second, arms[1])]
        centres = jnp.stack([hips + arms[0], frames.knee + arms[1]], 1)
        linear = self._moves(frames, centres, jnp.broadcast_to(cast(np.eye(3))[None, None], (LEGS, 2, 3, 3)), *_LIMBS)
        axes = jnp.stack([frames.hip, frames.ankle], 1)
        principal = product(axes, cast(self.principal)).swapaxes(2, 3)  # [4, 2, 3, 3]
        angular = jnp.concatenate([jnp.zeros_like(principal), principal, self._hinges(frames, principal)], -1)
        mass, inertia = cast(self.mass)[..., None], cast(self.inertia)
        spins = apply(principal, jnp.stack([first, second], 1))
        torque = inertia * apply(principal, jnp.stack([first_rate, second_rate], 1)) + cross(spins, inertia * spins)
        square = lambda rows, scale: jnp.sum(rows[..., :, None] * (rows * scale[..., None])[..., None, :], (1, 2))
        legs = square(linear, jnp.broadcast_to(mass, inertia.shape)) + square(angular, inertia) + cast(self.armature)
        bias = linear * (mass * jnp.stack(moves, 1))[..., None] + angular * torque[..., None]
        torso = cast(self.torso_inertia)
        momentum = jnp.sum(torso[:, 3:] * spin[None], 1).reshape(2, 3)
        still = jnp.sum(torso[:, :3] * rising[None], 1) + cross(spin[None], momentum).ravel()
        return legs, joined(jnp.sum(bias, (1, 2))) + jnp.pad(still, (0, 2 * LEGS))

    def _hinges(self, frames: Frames, principal: jax.Array) -> jax.Array:
        """[4, 2, 3, 2]: how hip and ankle turn the two limbs, along their principal axes."""
        hip = jnp.broadcast_to(jnp.asarray(self.hip_axes, principal.dtype)[:, None], (LEGS, 2, 3))
        bend = frames.bend[:, None] * jnp.asarray(_LIMBS[1], principal.dtype)[None, :, None]
        return jnp.stack([apply(principal, hip), apply(principal, bend)], -1)

    def contacts(self, frames: Frames) -> tuple[jax.Array, jax.Array, jax.Array]:
        """(points [4, C, 3], their normal and tangents [4, C, 3, 3], depths past the margin [4, C])."""
        cast = lambda x: constant(x, frames.turn.dtype)
        turns = jnp.stack([jnp.broadcast_to(cast(np.eye(3))[None], (LEGS, 3, 3)), frames.hip, frames.ankle], 1)
        origin = jnp.stack([jnp.zeros_like(frames.knee), cast(self.hips), frames.knee], 1)
        ends = origin[:, :, None] + apply(turns[:, :, None], cast(self.ends))
        axes = apply(turns, cast(self.axes))
        found = self._on_floor(frames, ends, axes)
        if self.walls is not None:
            sides = self._at_walls(self.walls, frames, ends, axes)
            found = tuple(jnp.concatenate([x, y], 1) for x, y in zip(found, sides))
        points, directions, gaps = found
        return points, directions, gaps - cast(self.margin)

    def _on_floor(self, frames: Frames, ends: jax.Array, axes: jax.Array) -> tuple[jax.Array, ...]:
        """Points, directions and gaps [4, 7, ...] of the capsules' ends [4, 3, 2, 3] and the torso's sphere."""
        cast = lambda x: constant(x, frames.turn.dtype)
        east, north, up = (axis[None, None] for axis in frames.turn)
        flat = axes - up * dot(axes, up)[..., None]
        length = jnp.sqrt(dot(flat, flat))[..., None]
        short = length < _NO_DIRECTION
        flat = jnp.where(short, east, flat / jnp.where(short, 1.0, length))
        ball = jnp.broadcast_to(cast(self.ball)[None, None], (LEGS, 1, 3))
        centres = jnp.concatenate([ends.reshape(LEGS, 6, 3), ball], 1)
        first = jnp.concatenate([jnp.repeat(flat, 2, 1), jnp.broadcast_to(north, (LEGS, 1, 3))], 1)
        radius = cast(self.radius[:, : len(FLOOR)])
        gap = frames.place[2] + dot(centres, up) - radius
        points = centres - (radius + 0.5 * gap)[..., None] * up
        normal = jnp.broadcast_to(up, first.shape)
        return points, jnp.stack([normal, first, cross(normal, first)], 2), gap

    def _at_walls(self, walls: Walls, frames: Frames, ends: jax.Array, axes: jax.Array) -> tuple[jax.Array, ...]:
        """The same [4, 8, ...] of the capsules and the sphere beside walls, computed in the world's frame."""
        cast = lambda x: constant(x, frames.turn.dtype)
        whole = lambda x, one: jnp.concatenate([x, jnp.broadcast_to(one, (LEGS, 1, *x.shape[2:]))], 1)
        centres = whole(jnp.sum(ends, 2) / 2, cast(self.ball)[None, None])
        half, radius = whole(cast(self.half), jnp.zeros((1, 1), ends.dtype)), cast(self.radius[:, len(FLOOR) :: KEPT])
        turn = frames.turn[None, None]
        world = frames.place[None, None] + apply(turn, centres)
        near = jax.vmap(jax.vmap(walls.contacts))(world, apply(turn, whole(axes, axes[:, :1])), half, radius)
        gaps, points, directions = (x.reshape(LEGS, len(WALLS), *x.shape[3:]) for x in near)
        return apply(frames.turn.T[None, None], points - frames.place[None, None]), product(directions, turn), gaps

    def _rows(self, frames: Frames, qpos: jax.Array) -> tuple[jax.Array, jax.Array]:
        """(Jacobian [4, R, 8], depths [4 R]) of every constraint there can be: contacts and limits."""
        cast = lambda x: constant(x, qpos.dtype)
        points, directions, depth = self.contacts(frames)
        along = self._moves(frames, points, directions, self.upper, self.lower)  # [4, C, 3, 8]
        contacts = product(cast(self._edges()), along).reshape(LEGS, -1, 8)
        low, high = (cast(x).reshape(LEGS, 2) for x in self.mj_model.jnt_range[1:].T)
        angles = qpos[7:].reshape(LEGS, 2)
        side = jnp.where(angles - low < high - angles, 1.0, -1.0)
        limits = side[..., None] * cast(np.eye(8)[6:])[None]
        past = jnp.minimum(angles - low, high - angles) - cast(self.mj_model.jnt_margin[1:]).reshape(LEGS, 2)
        depths = jnp.concatenate([jnp.repeat(depth, len(EDGES), 1), past], 1)
        return jnp.concatenate([contacts, limits], 1), depths.ravel()

    def _edges(self) -> np.ndarray:
        """[4, C, 4, 3]: the pyramids' edges along normal and tangents, friction in them."""
        friction = np.stack([np.ones_like(self.friction), self.friction, self.friction], -1)
        return EDGES[None, None] * friction[:, :, None]

    def external_forces(self, state: Physics, control: jax.Array) -> jax.Array:
        """The floor's torque and force on every body [bodies, 6] (`cfrc_ext` after `mj_rnePostConstraint`)."""
        cast = lambda x: constant(x, state.qpos.dtype)
        frames = self.frames(state.qpos)
        points, directions, _ = self.contacts(frames)
        edges = self.forward(state, control)[3].reshape(LEGS, -1)[:, :-2].reshape(LEGS, 7, len(EDGES), 1)
        parts = jnp.sum(edges * cast(self._edges()), 2)  # [4, 7, 3], along normal and tangents
        force = jnp.sum(parts[..., None] * directions, 2)
        arms = [apply(turn, cast(self.centre[:, i])) for i, turn in enumerate((frames.hip, frames.ankle))]
        limbs = jnp.stack([cast(self.hips) + arms[0], frames.knee + arms[1]], 1)
        moment = jnp.sum(cast(self.mass)[..., None] * limbs, (0, 1)) + cast(moment_of(self.torso_inertia))
        centre = moment / cast(self.torso_inertia[0, 0] + self.mass.sum())
        wrench = jnp.stack([cross(points - centre[None, None], force), force], 2)  # [4, 7, 2, 3]
        wrench = jnp.sum(wrench[..., None, :] * frames.turn[None, None, None], -1).reshape(LEGS, 7, 6)
        legs = jnp.sum(wrench[:, :6].reshape(LEGS, 3, 2, 6), 2).reshape(-1, 6)
        found = jnp.zeros((self.mj_model.nbody, 6), state.qpos.dtype).at[self.bodies.ravel()].set(legs)
        return found.at[1].set(jnp.sum(wrench[:, 6], 0))


_LIMBS = np.array([[1, 1], [0, 1]])
"""Whether the upper and the lower leg move with the hip, and with the ankle."""


def _bodies(model: mujoco.MjModel) -> np.ndarray:
    """[4, 3] bodies of each leg; fails on a model that is not written out here."""
    fixed = [body for body in range(2, model.nbody) if model.body_parentid[body] == 1]
    chains = [[one, one + 1, one + 2] for one in fixed]
    joints = [[0, 1, 1] for _ in chains]
    found = [list(model.body_jntnum[chain]) for chain in chains if chain[-1] < model.nbody]
    if len(chains) != LEGS or found != joints or (model.jnt_type[1:] != _HINGE).any() or model.nv != 14:
        raise AssertionError("a legged robot has four legs: a part fixed to its torso, one on a hip, one on an ankle")
    if (
        model.jnt_pos.any()
        or model.body_quat[1:, 1:].any()
        or model.jnt_stiffness.any()
        or model.dof_armature[:6].any()
    ):
        raise AssertionError(
            "a legged robot's joints are where its bodies begin, without springs, and its torso is free"
        )
    return np.array(chains)
