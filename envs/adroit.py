"""The binary tasks of the Adroit hand (Nakamoto et al., Cal-QL), as Gymnasium environments: the simulator's side.

They are Gymnasium-Robotics' sparse tasks with another reward, and an episode that ends at the first success. A worker
process loads this file, so it imports neither jax nor fastrl. Sizes and horizons are in `fastrl.envs.robotics`.
"""

import contextlib
import io
from typing import Any

import gymnasium
import mujoco

with contextlib.redirect_stderr(io.StringIO()):  # it prints a notice on dense rewards, which are not used here
    import gymnasium_robotics

gymnasium.register_envs(gymnasium_robotics)


class Binary(gymnasium.Wrapper):
    """Reward 0 at a success, which ends the episode, else -1."""

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """One step of 10 ms; `info["goal_achieved"]` is the success."""
        obs, _, _, truncated, info = self.env.step(action)
        success = bool(info["success"])
        return obs, float(success) - 1.0, success, truncated, {**info, "goal_achieved": success}


def make(task: str) -> gymnasium.Env:
    """`task`: pen, door or relocate. Without a time limit."""
    name = f"AdroitHand{task.capitalize()}Sparse-v1"
    env = gymnasium.make(name, max_episode_steps=-1, disable_env_checker=True)
    model: Any = env.unwrapped.model  # type: ignore[attr-defined]
    # MuJoCo has since begun to add the margins of two geoms (3.5) and to collide otherwise (3.3, 3.8): undone, as the
    # demonstrations were made without.
    model.geom_margin[:] *= 0.5
    model.opt.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_NATIVECCD) | int(mujoco.mjtDisableBit.mjDSBL_MULTICCD)
    return Binary(env)
