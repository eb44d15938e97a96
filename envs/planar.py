"""Robots that move in the plane of x and z, written out: Hopper, Walker2d and HalfCheetah step as C MuJoCo steps them.

All hinges are parallel, so a body's angle is a sum of joint positions, and a point fixed to a body lies at

    root + sum_a R(angle_a) offset_a     over the bodies a from the root to the point's own.

Positions, and their derivatives by the joints, are therefore a constant matrix times the cosines and sines of the
bodies' angles: one product gives all of them. What MuJoCo computes body after body along the tree is a few operations
on small arrays here. Constants are read from the compiled model; tests compare every term with C's.
"""

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from jax import lax

from fastrl.envs.constraints import Dense, Softness, leaning_weight, solve, solve_positive
from fastrl.envs.simulator import Physics, Simulator
from fastrl.envs.vectors import axes_of, constant

_ROOT = (mujoco.mjtJoint.mjJNT_SLIDE, mujoco.mjtJoint.mjJNT_SLIDE, mujoco.mjtJoint.mjJNT_HINGE)
_CAPSULE, _PLANE = mujoco.mjtGeom.mjGEOM_CAPSULE, mujoco.mjtGeom.mjGEOM_PLANE


class Planar(Simulator):
    """A tree of capsules above a floor; its first three joints move the root along x, along z and about y."""

    def __init__(self, model: mujoco.MjModel, frame_skip: int) -> None:
        """Reads the model's constants."""
        super().__init__(model, frame_skip)
        _check(model)
        self.turns = _turns(model)  # [B, V]: a body's angle is a sum of joints
        offsets = _offsets(model)
        self.origin = _xz(model.body_pos[1] + model.jnt_pos[2])
        centres = _fixed(offsets, np.arange(model.nbody - 1), _xz(model.body_ipos[1:]))
        self.root_mass = np.sqrt(model.body_mass[1:])
        self.constant_inertia = self.turns.T @ np.diag(_inertia(model)) @ self.turns + np.diag(model.dof_armature)
        self.geoms = np.flatnonzero(model.geom_type == _CAPSULE)
        self.end_body, ends = _capsule_ends(model, self.geoms)
        points = np.concatenate([centres, _fixed(offsets, self.end_body, ends)])
        self.places, self.jacobians = self._linear(points)
        self.radius = np.repeat(model.geom_size[self.geoms, 0], 2)
        self.pairs = _pairs(model, self.geoms)
        self.limited = np.flatnonzero(model.jnt_limited)
        self._soften()

    def _linear(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(places [P, 2, 2B], Jacobians [P, 2, V, 2B]), linear in the cosines and sines [2B] of the bodies' angles.

        Of the centres of the B bodies, then of the capsules' ends, by their offsets [P, B, 2] along the way from the
        root; the root's own place and slides come on top.
        """
        x, z = points[..., 0], points[..., 1]
        place = np.stack([np.concatenate([x, z], 1), np.concatenate([z, -x], 1)], 1)
        by_angle = np.stack([np.stack([z, -x]), np.stack([-x, -z])])  # [xz, cos sin, P, B]: d place / d angle
        jacobian = np.einsum("dfpb,bv->pdvfb", by_angle, self.turns)
        return place, jacobian.reshape(*jacobian.shape[:3], -1)

    def _soften(self) -> None:
        """The constants of the constraints' rows: three a capsule's end, one a pair, one a limited joint.

        A pyramid's edges that lean out of the plane push straight up here: two equal rows are one of twice the weight.
        """
        model, floor = self.mj_model, int(np.flatnonzero(self.mj_model.geom_type == _PLANE)[0])
        ends = np.repeat(self.geoms, 2)
        friction = np.maximum(model.geom_friction[ends, 0], model.geom_friction[floor, 0])
        weight = model.body_invweight0[model.geom_bodyid, 0]
        leaning = leaning_weight(weight[ends] + weight[floor], friction, model.opt.impratio)
        first, second = self.pairs.T
        mean = lambda field, a, b: 0.5 * (field[a] + field[b])
        solref = [mean(model.geom_solref, ends, floor)] * 3 + [mean(model.geom_solref, first, second)]
        solimp = [mean(model.geom_solimp, ends, floor)] * 3 + [mean(model.geom_solimp, first, second)]
        inverse = [leaning / 2, leaning, leaning, weight[first] + weight[second]]
        limits = self.limited
        self.friction = friction
        self.margin = model.geom_margin[ends] + model.geom_margin[floor]
        self.pair_reach = (model.geom_size[:, 0] + model.geom_margin)[self.pairs].sum(1)
        self.softness = Softness.of(
            np.concatenate([*solref, model.jnt_solref[limits]]),
            np.concatenate([*solimp, model.jnt_solimp[limits]]),
            np.concatenate([*inverse, model.dof_invweight0[limits]]),
            self.timestep,
        )

    def acceleration(self, state: Physics, control: jax.Array) -> jax.Array:
        """As C's `qacc`."""
        return self.forward(state, control)[2]

    def euler(self, state: Physics, control: jax.Array) -> tuple[Physics, Physics]:
        """As `mj_Euler`: from the acceleration a to a' of (M + h D) a' = M a, that is a - (M + h D)^-1 h D a."""
        inertia, _, acceleration, _ = self.forward(state, control)
        damping = jnp.asarray(self.timestep * self.mj_model.dof_damping, inertia.dtype)
        slowed = solve_positive(inertia + jnp.diag(damping), damping * acceleration)
        qvel = state.qvel + self.timestep * (acceleration - slowed)
        return Physics(self._move(state.qpos, qvel, self.timestep), qvel, acceleration), state

    def forward(self, state: Physics, control: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
        """(inertia [V, V], force without constraints [V], acceleration [V], constraint force [V])."""
        inertia, force, (jacobian, weight, reference) = self.dynamics(state.qpos, state.qvel, control)
        system = Dense(inertia, jacobian)
        acceleration, forces = solve(system, force, weight, reference, state.warmstart)
        return inertia, force, acceleration, system.push(forces)

    def dynamics(
        self, qpos: jax.Array, qvel: jax.Array, control: jax.Array
    ) -> tuple[jax.Array, jax.Array, tuple[jax.Array, jax.Array, jax.Array]]:
        """(inertia [V, V], force [V], the constraints' (Jacobian [R, V], weight [R], reference [R]))."""
        model, cast = self.mj_model, lambda x: constant(x, qpos.dtype)
        moved = qpos - cast(model.qpos0)
        angle, spin = (jnp.sum(cast(self.turns) * x[None], 1) for x in (moved, qvel))
        circle = jnp.concatenate([jnp.cos(angle), jnp.sin(angle)])
        bodies, ends = len(self.root_mass), len(self.end_body)
        both = _times(np.concatenate([self.places[bodies:].reshape(2 * ends, -1), _flat(self.jacobians)]), circle)
        places = both[: 2 * ends].reshape(ends, 2) + (moved[:2] + cast(self.origin))[None]
        jacobians = both[2 * ends :].reshape(-1, 2, model.nv) + cast(np.eye(model.nv)[:2])[None]
        heavy = (jacobians[:bodies] * cast(self.root_mass)[:, None, None]).reshape(-1, model.nv)
        inertia = jnp.sum(heavy[:, :, None] * heavy[:, None, :], 0) + cast(self.constant_inertia)
        turning = _times(_flat(self.places[:bodies]), circle * jnp.tile(jnp.square(spin), 2)).reshape(bodies, 2)
        falling = (-turning - cast(_xz(model.opt.gravity))[None]) * cast(self.root_mass)[:, None]
        bias = jnp.sum(heavy * falling.reshape(-1, 1), 0)
        force = self.driven(qvel, control) - cast(model.jnt_stiffness) * (qpos - cast(model.qpos_spring)) - bias
        return inertia, force, self._rows(qpos, qvel, places, jacobians[bodies:])

    def _rows(
        self, qpos: jax.Array, qvel: jax.Array, places: jax.Array, jacobians: jax.Array
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Every constraint there can be, from the capsules' ends [P, 2] and their Jacobians [P, 2, V]."""
        cast = lambda x: constant(x, qpos.dtype)
        height, radius = places[:, 1], cast(self.radius)
        arm = -0.5 * (height + radius)  # from an end's centre down to where the contact acts
        up, turns = jacobians[:, 1], cast(self.turns[self.end_body])
        along = cast(self.friction)[:, None] * (jacobians[:, 0] + arm[:, None] * turns)
        gap = height - radius - cast(self.margin)
        parts, depths = [up, up + along, up - along], [gap, gap, gap]
        if len(self.pairs):
            apart, jacobian = self._between(places, jacobians)
            parts, depths = [*parts, jacobian], [*depths, apart]
        low, high = cast(self.mj_model.jnt_range[self.limited]).T
        below, above = qpos[self.limited] - low, high - qpos[self.limited]
        side = jnp.where(below < above, 1.0, -1.0)
        parts.append(cast(np.eye(len(qvel))[self.limited]) * side[:, None])
        depths.append(jnp.minimum(below, above) - cast(self.mj_model.jnt_margin[self.limited]))
        jacobian = jnp.concatenate(parts)
        weight, reference = self.softness.reference(jnp.concatenate(depths), jnp.sum(jacobian * qvel[None], 1))
        return jacobian, weight, reference

    def _between(self, places: jax.Array, jacobians: jax.Array) -> tuple[jax.Array, jax.Array]:
        """(distance past the margin [N], Jacobian [N, V]) of each pair of capsules that may touch.

        In a plane two segments that do not cross are nearest at an end of one of them. Where they cross, C pushes the
        capsules apart along y, in which nothing moves: no contact here.
        """
        slots = np.searchsorted(self.geoms, self.pairs)
        a, b = (places.reshape(-1, 2, 2)[slots[:, i]] for i in (0, 1))  # [N, end, xz]
        on_a = jnp.concatenate([a, _nearest(b, a)], 1)  # [N, 4, 2]
        on_b = jnp.concatenate([_nearest(a, b), b], 1)
        squared = jnp.sum(jnp.square(on_b - on_a), -1)
        best = (jnp.arange(4)[None] == jnp.argmin(squared, 1)[:, None])[..., None]
        first, second = (jnp.sum(jnp.where(best, x, 0.0), 1) for x in (on_a, on_b))
        length = jnp.sqrt(jnp.sum(jnp.square(second - first), 1))
        normal = (second - first) / jnp.maximum(length, mujoco.mjMINVAL)[:, None]
        reach = jnp.asarray(self.pair_reach, places.dtype)
        radii = jnp.asarray(self.mj_model.geom_size[self.pairs, 0], places.dtype)
        contact = first + normal * (radii[:, 0] + 0.5 * (length - radii.sum(1)))[:, None]
        ours = jacobians.reshape(-1, 2, *jacobians.shape[1:])[:, 0]
        moves = [self._at(slots[:, i], contact, (a, b)[i][:, 0], ours, normal) for i in (0, 1)]
        return jnp.where(_cross(a, b), 1.0, length - reach), moves[1] - moves[0]

    def _at(
        self, slots: np.ndarray, contact: jax.Array, end: jax.Array, jacobians: jax.Array, normal: jax.Array
    ) -> jax.Array:
        """The Jacobian [N, V], along `normal` [N, 2], of the points `contact` [N, 2] of capsules with an `end`."""
        arm = contact - end
        turned = normal[:, 0] * arm[:, 1] - normal[:, 1] * arm[:, 0]
        turns = jnp.asarray(self.turns[self.end_body[2 * slots]], contact.dtype)
        return jnp.sum(jacobians[slots] * normal[:, :, None], 1) + turned[:, None] * turns


def _times(matrix: np.ndarray, vector: jax.Array) -> jax.Array:
    """A constant [N, F] times a vector [F], in full precision on every device."""
    return jnp.dot(jnp.asarray(matrix, vector.dtype), vector, precision=lax.Precision.HIGHEST)


def _flat(array: np.ndarray) -> np.ndarray:
    """[..., F] as [N, F]."""
    return array.reshape(-1, array.shape[-1])


def _xz(vector: np.ndarray) -> np.ndarray:
    return np.asarray(vector)[..., [0, 2]]


def _check(model: mujoco.MjModel) -> None:
    """Fails on a model that is not written out here."""
    hinges, axes = model.jnt_type[3:] == _ROOT[2], model.jnt_axis[2:]
    if tuple(model.jnt_type[:3]) != _ROOT or not hinges.all() or model.njnt != model.nbody + 1:
        raise AssertionError("a planar robot has two slides and a hinge at its root, and one hinge for each other body")
    if (model.jnt_axis[:2] != np.eye(3)[[0, 2]]).any() or axes[:, [0, 2]].any() or model.body_quat[1:, 1:].any():
        raise AssertionError("a planar robot's root slides along x and z, and its hinges turn about y")


def _turns(model: mujoco.MjModel) -> np.ndarray:
    """[B, V]: how a body's angle about y depends on the joints."""
    turns = np.zeros((model.nbody, model.nv))
    for body in range(1, model.nbody):
        turns[body] = turns[model.body_parentid[body]]
        last = model.body_jntadr[body] + model.body_jntnum[body] - 1
        turns[body, last] = model.jnt_axis[last, 1]
    return turns[1:]


def _offsets(model: mujoco.MjModel) -> np.ndarray:
    """[B, B, 2]: the way from the root to each body's origin, as a sum of offsets fixed to the bodies before it."""
    offsets = np.zeros((model.nbody, model.nbody, 2))
    for body in range(1, model.nbody):
        parent, last = model.body_parentid[body], model.body_jntadr[body] + model.body_jntnum[body] - 1
        anchor = _xz(model.jnt_pos[last])
        if parent:
            offsets[body] = offsets[parent]
            offsets[body, parent] += _xz(model.body_pos[body]) + anchor
        offsets[body, body] -= anchor
    return offsets[1:, 1:]


def _fixed(offsets: np.ndarray, body: np.ndarray, place: np.ndarray) -> np.ndarray:
    """[P, B, 2]: the same to points at `place` [P, 2] of the bodies [P]."""
    way = offsets[body].copy()
    way[np.arange(len(body)), body] += place
    return way


def _inertia(model: mujoco.MjModel) -> np.ndarray:
    """[B]: of each body about y through its centre."""
    axes = axes_of(model.body_iquat[1:])
    return np.sum(np.square(axes[:, 1]) * model.body_inertia[1:], 1)


def _capsule_ends(model: mujoco.MjModel, geoms: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(body [2G], place [2G, 2]) of the centres of the capsules' two ends."""
    half = axes_of(model.geom_quat[geoms])[:, :, 2] * model.geom_size[geoms, 1:2]
    ends = model.geom_pos[geoms, None] + np.stack([half, -half], 1)
    return np.repeat(model.geom_bodyid[geoms] - 1, 2), _xz(ends).reshape(-1, 2)


def _pairs(model: mujoco.MjModel, geoms: np.ndarray) -> np.ndarray:
    """[N, 2]: capsules of the robot that may touch each other; a body's parent is not one of them."""
    found = []
    for i, a in enumerate(geoms):
        for b in geoms[i + 1 :]:
            first, second = model.geom_bodyid[[a, b]]
            apart = model.body_parentid[first] != second and model.body_parentid[second] != first != second
            meets = (
                model.geom_contype[a] & model.geom_conaffinity[b] or model.geom_contype[b] & model.geom_conaffinity[a]
            )
            if apart and meets:
                found.append((a, b))
    return np.array(found, int).reshape(-1, 2)


def _nearest(points: jax.Array, segments: jax.Array) -> jax.Array:
    """The points [N, 2, 2] of segments [N, end, 2] that are nearest to `points` [N, 2, 2]."""
    start, along = segments[:, :1], segments[:, 1:] - segments[:, :1]
    share = jnp.sum((points - start) * along, -1, keepdims=True) / jnp.sum(jnp.square(along), -1, keepdims=True)
    return start + jnp.clip(share, 0.0, 1.0) * along


def _cross(a: jax.Array, b: jax.Array) -> jax.Array:
    """[N] bool: whether the segments [N, end, 2] cross."""

    def parted(points: jax.Array, line: jax.Array) -> jax.Array:
        along, to = line[:, 1:] - line[:, :1], points - line[:, :1]
        side = along[..., 0] * to[..., 1] - along[..., 1] * to[..., 0]
        return side[:, 0] * side[:, 1] < 0

    return parted(a, b) & parted(b, a)
