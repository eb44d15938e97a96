"""A run, resolved: its phases and what they share. Plain Python, nothing traced yet."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from fastrl import config as configs
from fastrl.data.datasets import Dataset
from fastrl.engine import streams
from fastrl.engine.mesh import Mesh
from fastrl.engine.phase import Phase
from fastrl.engine.rollout import Task
from fastrl.loggers.names import Named
from fastrl.types import Environment, Key, State, UserError

WARMUP = "warmup"
"""The number of a row of a sweep that says how many environment steps it collects before its first update."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """What the phases are and what they share."""

    phases: tuple[Phase, ...]
    task: Task
    env: Environment | None  # for evaluation; None evaluates nothing
    dataset: Dataset | None
    seeds: int  # rows of the seed axis: seeds times the points of the sweep
    seed: int
    capacity: int  # rows of the ring of each seed
    eval_every: int  # steps
    eval_episodes: int
    eval_switch: int | None  # as eval_every, in the first tenth of the steps that learn online; None: the same
    probe_every: int  # steps between diagnostics; 0: none
    eval_sampled: bool  # whether the policy's samples are played too
    chunk: int
    checkpoint_minutes: float
    block: int | None  # seeds side by side, block after block; None: all of them
    freeze: bool  # a seed whose numbers stop being finite, instead of ending the run
    start: State | None  # agents [S] to start from
    mesh: Mesh  # the devices
    first_seed: int = 0  # number of the first one
    hang_minutes: float | None = None  # without a finished chunk, after which the process ends itself
    log: tuple[Named, ...] = ()  # loggers beside the run's own log
    points: tuple[Mapping[str, float], ...] = ({},)  # of the sweep; rows stand point by point, seed by seed

    def iterations(self, phase: Phase) -> int:
        """Steps of the scan: environments step together and `rollout` times, gradients one by one."""
        return phase.steps // self.per_iteration(phase)

    def per_iteration(self, phase: Phase) -> int:
        """Environment or gradient steps of one step of the scan."""
        return self.task.num_envs * phase.rollout if phase.online else 1

    def part(self, number: int) -> tuple[int, int]:
        """The stream of a phase, and the steps of each copy that were done on it before (`fastrl.engine.streams`)."""
        first = number
        while self.phases[number].online and first and self.phases[first - 1].online:
            first -= 1
        before = sum(self.iterations(phase) * phase.rollout for phase in self.phases[first:number])
        return first, before

    def keys(self) -> Key:
        """The keys [S] of the rows: every point of a sweep has the same seeds."""
        own = streams.seeds(self.seed, self.seeds // len(self.points), self.first_seed)
        return own if len(self.points) == 1 else own[jnp.arange(self.seeds) % len(own)]

    def numbers(self, number: int) -> dict[str, jax.Array]:
        """The numbers [S] of a phase's options, row by row."""
        phase, each = self.phases[number], self.seeds // len(self.points)
        own: dict[str, Any] = dict(configs.numbers(phase.config))
        if phase.waits:
            own[WARMUP] = float(phase.waits[0])
        rows = {name: [point.get(name, value) for point in self.points] for name, value in own.items()}
        return {name: jnp.repeat(jnp.asarray(values, jnp.float32), each) for name, values in rows.items()}


def check(plan: Plan) -> None:
    """Refuses a plan without steps."""
    if not plan.phases:
        raise UserError("nothing to run: every phase has 0 steps; raise --steps or --pretrain-steps")
