"""The ball of PointMaze: one MuJoCo step among walls, written out.

Two degrees of freedom and frictionless contacts leave nothing of MuJoCo's general step but arithmetic
on 2 x 2 numbers. Written out it costs a small part of MJX's and equals C MuJoCo to rounding (tests
compare both model and steps, walls included). Constants are read from the compiled model.
"""

import dataclasses

import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from fastrl.envs.grid import Maze

NEWTON_STEPS = 4
"""Three contacts change their active set at most this often before Newton's method has converged."""

_BALL = """
<mujoco>
  <compiler inertiafromgeom="true" angle="radian"/>
  <option timestep="0.01" gravity="0 0 0" iterations="20" integrator="Euler"/>
  <default>
    <joint damping="1" limited="false"/>
    <geom friction=".5 .1 .1" density="1000" margin="0.002" condim="1" contype="2" conaffinity="1"/>
  </default>
  <worldbody>
    <geom name="ground" type="plane" size="40 40 0.25" pos="0 0 -0.1" contype="1" conaffinity="0"/>
    <body name="particle">
      <geom name="particle_geom" type="sphere" size="0.1" contype="1"/>
      <joint name="ball_x" type="slide" axis="1 0 0"/>
      <joint name="ball_y" type="slide" axis="0 1 0"/>
    </body>
    {walls}
  </worldbody>
  <actuator>
    <motor name="motor_x" joint="ball_x" ctrlrange="-1 1" ctrllimited="true" gear="100"/>
    <motor name="motor_y" joint="ball_y" ctrlrange="-1 1" ctrllimited="true" gear="100"/>
  </actuator>
</mujoco>
"""
_WALL = '<geom name="block_{}_{}" type="box" pos="{} {} 0.2" size="0.5 0.5 0.2" contype="1" conaffinity="1"/>'


def compile_ball(maze: Maze) -> mujoco.MjModel:
    """The model of the ball in `maze`: Gymnasium-Robotics' numbers, one box a wall cell."""
    cells = np.argwhere(maze.walls)
    walls = [_WALL.format(*cell, *xy) for cell, xy in zip(cells, maze.centre(cells))]
    return mujoco.MjModel.from_xml_string(_BALL.format(walls="".join(walls)))


@dataclasses.dataclass(frozen=True, eq=False)
class Ball:
    """The constants of the compiled model, in SI units, and the step."""

    walls: np.ndarray  # [R, C] bool
    mass: float
    inverse_mass: float  # as the solver's regularisation sees it
    gear: float  # N at full control
    damping: float
    timestep: float
    radius: float
    margin: float  # contacts act from this distance on
    stiffness: float  # of a contact's reference acceleration, 1/s^2
    contact_damping: float  # 1/s
    impedance: tuple[float, float, float]  # at the margin, inside, and the depth where it is reached

    @classmethod
    def of(cls, maze: Maze) -> "Ball":
        """Reads the constants of the ball in `maze`."""
        model = compile_ball(maze)
        ball = model.geom("particle_geom").id
        time, ratio = model.geom_solref[ball].tolist()
        low, high, width, _, _ = model.geom_solimp[ball].tolist()
        time = max(time, 2 * model.opt.timestep)
        return cls(
            walls=maze.walls,
            mass=float(model.body_mass[-1]),
            inverse_mass=float(model.body_invweight0[-1, 0]),
            gear=float(model.actuator_gear[0, 0]),
            damping=float(model.dof_damping[0]),
            timestep=float(model.opt.timestep),
            radius=float(model.geom_size[ball, 0]),
            margin=float(2 * model.geom_margin[ball]),
            stiffness=1 / (high * time * ratio) ** 2,
            contact_damping=2 / (high * time),
            impedance=(low, high, width),
        )

    def step(self, qpos: jax.Array, qvel: jax.Array, control: jax.Array) -> tuple[jax.Array, jax.Array]:
        """(qpos, qvel) [2] one time step on, under a control [2] that is clipped to [-1, 1]."""
        force = self.gear * jnp.clip(control, -1.0, 1.0) - self.damping * qvel
        acceleration = self._constrain(qpos, qvel, force / self.mass)
        effective = self.mass + self.timestep * self.damping  # damping is integrated implicitly
        qvel = qvel + self.timestep * self.mass / effective * acceleration
        return qpos + self.timestep * qvel, qvel

    def _constrain(self, qpos: jax.Array, qvel: jax.Array, free: jax.Array) -> jax.Array:
        """The acceleration [2] nearest to `free` under soft walls, by Newton's method.

        Minimises m/2 |a - free|^2 + 1/2 sum_i weight_i min(0, away_i . a - reference_i)^2.
        """
        away, depth, touching = self._contacts(qpos)
        low, high, width = self.impedance
        depth = jnp.where(touching, depth, 0.0)
        x = jnp.clip(-depth / width, 0.0, 1.0)
        curve = jnp.where(x <= 0.5, 2 * x * x, 1 - 2 * (1 - x) * (1 - x))
        impedance = low + curve * (high - low)
        weight = touching * impedance / ((1 - impedance) * self.inverse_mass)
        approach = jnp.sum(away * qvel[None], 1)
        reference = -self.contact_damping * approach - self.stiffness * impedance * depth
        acceleration = free
        for _ in range(NEWTON_STEPS):
            active = jnp.where(jnp.sum(away * acceleration[None], 1) < reference, weight, 0.0)
            acceleration = self._minimise(active[:, None] * away, away, reference, free)
        return acceleration

    def _minimise(self, pull: jax.Array, away: jax.Array, reference: jax.Array, free: jax.Array) -> jax.Array:
        """Solves (m I + pull^T away) a = m free + pull^T reference, all of 2 x 2."""
        x, y = self.mass * free + jnp.sum(pull * reference[:, None], 0)
        xx, xy = jnp.sum(pull[:, 0] * away[:, 0]), jnp.sum(pull[:, 0] * away[:, 1])
        yy = jnp.sum(pull[:, 1] * away[:, 1])
        xx, yy = xx + self.mass, yy + self.mass
        return jnp.stack([yy * x - xy * y, xx * y - xy * x]) / (xx * yy - xy * xy)

    def _contacts(self, qpos: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        """What the three cells next to the ball's quadrant do to it.

        Returns unit vectors away from them [3, 2], distances past the margin [3], negative inside,
        and which of them are touched walls [3].

        No other cell can touch: radius and margin are less than half a cell. A centre on or in a
        wall's own box is pushed along z, where nothing moves.
        """
        rows, columns = self.walls.shape
        column, row = jnp.floor(qpos[0] + columns / 2), jnp.floor(rows / 2 - qpos[1])
        local = qpos - jnp.stack([column + 0.5 - columns / 2, rows / 2 - (row + 0.5)])
        side = jnp.where(local >= 0, 1, -1)
        near = np.array([[1, 0], [0, 1], [1, 1]])
        vector = (0.5 * side - local)[None] * near
        distance = jnp.sqrt(jnp.sum(jnp.square(vector), 1))
        wall = jnp.asarray(self.walls)[
            row.astype(jnp.int32) - side[1] * near[:, 1],
            column.astype(jnp.int32) + side[0] * near[:, 0],
        ]
        depth = distance - self.radius - self.margin
        distance = jnp.maximum(distance, 1e-15)
        touching = wall & (depth < 0) & (distance > 1e-15)
        return -vector / distance[:, None], depth, touching
