"""One step of an environment as a row of D4RL's layout. Knows no behaviour and no file."""

from typing import Any

import jax

from fastrl.types import Step


def columns(
    env: Any, state: Any, obs: jax.Array, action: jax.Array, step: Step, timeout: jax.Array
) -> dict[str, jax.Array]:
    """The row by key of the file: what `step` made of a state, its obs [O] and an action [A] in [-1, 1].

    `infos/qpos` and `infos/qvel`, before the step, where the environment under the time limit has physics.
    """
    row = {
        "observations": obs,
        "actions": action,
        "rewards": step.reward,
        "terminals": step.terminated,
        "timeouts": timeout,
        "next_observations": step.obs,
    }
    if hasattr(env.env, "physics"):
        row["infos/qpos"], row["infos/qvel"] = env.physics(state)
    return row
