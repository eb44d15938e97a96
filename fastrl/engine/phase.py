"""A method is a list of phases over one carry: what a phase and a carry are."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax

from fastrl.config import Options
from fastrl.engine.behaviours import Behaviour
from fastrl.engine.health import Health
from fastrl.envs.wrappers import VectorState
from fastrl.networks import normalise
from fastrl.replay.draws import Draw
from fastrl.replay.fills import Fill
from fastrl.replay.ring import Ring
from fastrl.types import Algorithm, Key, Spec, State


def keep(fresh: State, previous: State | None) -> State:
    """The entry of a phase that goes on with the agent of the phase before it."""
    return fresh if previous is None else previous


@dataclasses.dataclass(frozen=True)
class Phase:
    """Pre-training, re-evaluation, alignment, warm-up and fine-tuning differ in these fields only."""

    name: str
    config: Options  # the algorithm's
    spec: Spec
    steps: int  # gradient steps offline; environment steps of one seed online
    behaviour: Behaviour | None = None  # what acts; None: the phase is offline, no environment is stepped
    updates: int = 0  # calls of algorithm.update per step of the scan; 0 collects only
    moves_policy: bool = True  # whether those move the policy: one that stays is evaluated at the phase's end alone
    draw: Draw | None = None  # the rows of an update
    utd: int = 1  # minibatches of one call
    batch_size: int = 256
    rollout: int = 1  # environment steps before the updates
    fill: Fill | None = None  # the rows of the dataset that the ring starts with
    entry: Callable[[State, State | None], State] = keep  # (fresh, previous) -> what the phase starts from
    observations: normalise.Statistics | None = None  # what the agent normalises its observations by
    waits: tuple[int, ...] = ()  # of a sweep over the warm-up: the environment steps before each value's first update

    @property
    def online(self) -> bool:
        """Whether an environment is stepped."""
        return self.behaviour is not None

    @property
    def offline_ratio(self) -> float:
        """The share of dataset rows in its minibatches, the largest where it moves."""
        if self.draw is None or not self.updates:
            return 0.0
        return self.draw.offline if self.draw.annealed is None else max(self.draw.offline, self.draw.annealed[0])

    @property
    def learns_from_data(self) -> bool:
        """Whether the dataset is needed."""
        return self.fill is not None or self.offline_ratio > 0

    def algorithm(self, numbers: Mapping[str, Any] | None = None) -> Algorithm:
        """The algorithm, with some options' numbers replaced by those of a seed."""
        known = {field.name for field in dataclasses.fields(self.config)}
        chosen = {name: value for name, value in (numbers or {}).items() if name in known}
        config = dataclasses.replace(self.config, **chosen) if chosen else self.config
        algorithm = config.build(self.spec)
        return algorithm if self.observations is None else normalise.normalised(algorithm, self.observations)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class SeedState:
    """What each seed has for itself; every leaf has the seed axis [S] in front."""

    agent: State
    numbers: dict[str, jax.Array]  # of this phase's options (`fastrl.config.numbers`)
    env: VectorState | None
    behaviour: Any  # the behaviour's memory, of each environment copy
    draw: Any  # the draw's memory
    totals: dict[str, jax.Array]  # sums since the last row of the log
    health: Health  # whether it still learns


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Carry:
    """Everything a run is, between two calls of a phase's program: the checkpoint is this, whole."""

    step: jax.Array  # int32, steps of the scan done in this phase, shared by all seeds
    keys: Key  # [S], never consumed (`fastrl.engine.streams`)
    ring: Ring | None  # explicit seed axis, one shared pointer
    seeds: SeedState
    before: State | None = None  # the agents [S] that went online, where diagnostics compare with them
