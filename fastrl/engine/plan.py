"""A run, resolved: its phases and what they share. Plain Python, nothing traced yet."""

import dataclasses

from fastrl.data.datasets import Dataset
from fastrl.engine.phase import Phase
from fastrl.engine.rollout import Task
from fastrl.types import Environment, State


@dataclasses.dataclass(frozen=True)
class Plan:
    """What the phases are and what they share."""

    phases: tuple[Phase, ...]
    task: Task
    env: Environment | None  # for evaluation; None evaluates nothing
    dataset: Dataset | None
    seeds: int
    seed: int
    capacity: int  # rows of the ring of each seed
    eval_every: int  # steps
    eval_episodes: int
    chunk: int
    checkpoint_minutes: float
    side_by_side: bool
    freeze: bool  # a seed whose numbers stop being finite, instead of ending the run
    start: State | None  # agents [S] to start from

    def iterations(self, phase: Phase) -> int:
        """Steps of the scan: environments step together, gradients one by one."""
        return phase.steps // self.task.num_envs if phase.online else phase.steps
