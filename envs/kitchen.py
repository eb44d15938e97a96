"""D4RL's kitchen (Gupta et al. 2019; Fu et al. 2020) on Gymnasium-Robotics' model: the simulator's side.

Observation, noise and reward are those of the environment that WSRL and Cal-QL ran, the physics that of D4RL. A worker
process loads this file, so it imports neither jax nor fastrl. Sizes and horizons are in `fastrl.envs.robotics`.
"""

import contextlib
import io
from typing import Any

import gymnasium
import mujoco
import numpy as np

with contextlib.redirect_stderr(io.StringIO()):  # it prints a notice on dense rewards, which are not used here
    import gymnasium_robotics
    from gymnasium_robotics.envs.franka_kitchen import franka_env
    from gymnasium_robotics.envs.franka_kitchen.kitchen_env import OBS_ELEMENT_GOALS, OBS_ELEMENT_INDICES

gymnasium.register_envs(gymnasium_robotics)

SUBTASKS = {
    "complete": ("microwave", "kettle", "light switch", "slide cabinet"),
    "partial": ("microwave", "kettle", "light switch", "slide cabinet"),
    "mixed": ("microwave", "kettle", "bottom burner", "light switch"),
}
CLOSE = 0.3
"""A subtask is done when its joints are nearer than this to their goal, as observed."""
ROBOT_NOISE = 0.1
"""Half-width of the noise on the robot's joints, in Gymnasium-Robotics' amplitudes: 0.01."""
OBJECT_NOISE = np.repeat([5e-4, 5e-5, 5e-4, 1e-2, 5e-4, 1e-2, 5e-4], [2, 6, 3, 3, 3, 3, 1])
"""Half-width of the uniform noise on each of the 21 coordinates of objects."""
ROBOT = 9
"""Joints of the arm and its fingers, the first of qpos and qvel."""


class Kitchen(gymnasium.Env):
    """Observes the joints of the robot [9] and of the objects [21], with noise, and the goal [30].

    The reward is how many of four subtasks have been done so far; the episode ends when all have.
    """

    def __init__(self, task: str):
        # With MuJoCo 3.12 and later its way of finding the joints fails; the robot's are the first nine.
        franka_env.robot_get_obs = lambda model, data, names: (data.qpos[:ROBOT].copy(), data.qvel[:ROBOT].copy())
        self.subtasks = SUBTASKS[task]
        self.simulator = gymnasium.make(
            "FrankaKitchen-v1",
            max_episode_steps=-1,
            disable_env_checker=True,
            tasks_to_complete=list(self.subtasks),
            terminate_on_tasks_completed=False,
            robot_noise_ratio=ROBOT_NOISE,
            object_noise_ratio=0.0,
        )
        _as_d4rl(self.simulator.unwrapped.model)  # type: ignore[attr-defined]
        self.goal = np.zeros(30)
        for name in self.subtasks:
            self.goal[OBS_ELEMENT_INDICES[name]] = OBS_ELEMENT_GOALS[name]
        self.done: set[str] = set()
        self.noise = np.random.default_rng()
        self.observation_space = gymnasium.spaces.Box(-8.0, 8.0, (60,), np.float64)
        self.action_space = self.simulator.action_space

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[np.ndarray, dict[str, Any]]:
        """The fixed start; only the noise depends on the seed."""
        shown, _ = self.simulator.reset(seed=seed)
        if seed is not None:
            self.noise = np.random.default_rng([1, seed])
        self.done = set()
        return self._observe(shown), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """80 ms with joint velocities `action` [9] in [-1, 1]."""
        shown = self.simulator.step(action)[0]
        obs = self._observe(shown)
        for name in self.subtasks:
            joints = OBS_ELEMENT_INDICES[name]
            if np.linalg.norm(obs[joints] - self.goal[joints]) < CLOSE:
                self.done.add(name)
        return obs, float(len(self.done)), len(self.done) == len(self.subtasks), False, {"done": sorted(self.done)}

    def _observe(self, shown: dict[str, Any]) -> np.ndarray:
        everything = shown["observation"]  # positions and velocities of the robot, then of the objects
        objects = everything[2 * ROBOT :][:21] + OBJECT_NOISE * self.noise.uniform(-1.0, 1.0, 21)
        return np.concatenate([everything[:ROBOT], objects, self.goal])


def _as_d4rl(model: Any) -> None:
    """Takes back what differs from D4RL: a base that collides, and contacts as MuJoCo has made them since 3.3."""
    model.geom_contype[1] = model.geom_conaffinity[1] = 0
    model.geom_margin[:] *= 0.5
    model.opt.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_NATIVECCD) | int(mujoco.mjtDisableBit.mjDSBL_MULTICCD)


def make(task: str) -> Kitchen:
    """`task`: complete, partial or mixed. Without a time limit."""
    return Kitchen(task)
