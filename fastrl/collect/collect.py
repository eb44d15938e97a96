"""Makes data sets: a player acts in an environment on the device, and its steps become rows in D4RL's layout."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from fastrl.collect.columns import rollout
from fastrl.collect.players import Player
from fastrl.envs import host, make
from fastrl.runs.progress import Progress
from fastrl.types import UserError

Arrays = dict[str, np.ndarray]


def collect(
    name: str,
    player: Player,
    *,
    steps: int,
    seed: int = 0,
    copies: int = 1,
    options: dict[str, Any] | None = None,
    progress: Progress | None = None,
) -> Arrays:
    """A long rollout in D4RL's flat layout.

    Args:
        name: an environment of `fastrl.make`.
        player: what acts, of `fastrl.collect.players` or `fastrl.collect.walkers`.
        steps: rows, of all copies together.
        seed: of every random number.
        copies: of the environment side by side. Each has an equal share of the rows, one copy after another in the
            result.
        options: of the environment.
        progress: shows how many rows are done.

    Returns:
        observations [M, O], actions [M, A] in [-1, 1], rewards [M] (raw, for the evaluation goal alone), terminals,
        timeouts [M], next_observations [M, O], and before the step infos/qpos, infos/qvel where the environment has
        physics; of scripted AntMaze also infos/goal [M, 2], where the ant was sent (`fastrl.collect.walkers.reached`).
    """
    if steps < 1:
        raise UserError(f"collect: steps is {steps}, it must be at least 1")
    if copies < 1 or steps % copies:
        raise UserError(f"collect: steps {steps} must be a multiple of the number of environments, {copies}")
    play = player(make(name, **(options or {})), copies, steps // copies, jax.random.key(seed))
    rows = rollout(play.step, play.start, steps // copies, _reporter(progress, steps, copies))
    arrays = {key: column.swapaxes(0, 1).reshape(steps, *column.shape[2:]) for key, column in rows.items()}
    host.check()
    _check_finite(name, arrays["next_observations"])
    return arrays


def _reporter(progress: Progress | None, steps: int, copies: int) -> Callable[[int], None]:
    """What shows on `progress` that every copy has done so many steps."""

    def report(done: int) -> None:
        if progress is not None and done == 0:
            progress.phase("collect", steps)
        elif progress is not None:
            progress.update(done * copies)

    return report


def _check_finite(name: str, observations: np.ndarray) -> None:
    lost = ~np.isfinite(observations).all(1)
    if lost.any():
        raise UserError(f"collect: {name} was no longer finite after row {int(lost.argmax())}; try another seed")
