"""A method is a list of phases over one carry: what a phase and a carry are, and nothing of how they run."""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

import jax

from fastrl.engine.health import Health
from fastrl.envs.wrappers import VectorState
from fastrl.replay.episodes import OpenEpisodes
from fastrl.replay.ring import Ring
from fastrl.types import Algorithm, Key, State


def keep(fresh: State, previous: State | None) -> State:
    """The entry of a phase that goes on with the agent of the phase before it."""
    return fresh if previous is None else previous


@dataclasses.dataclass(frozen=True)
class Phase:
    """Pre-training, warm-up and fine-tuning differ in these fields only."""

    name: str
    algorithm: Algorithm
    config: Any  # the algorithm's options, for the record and for whoever loads the agent
    steps: int  # gradient steps offline; environment steps of one seed online
    behaviour: Literal["none", "policy", "random"] = "policy"  # none: offline, no environment
    updates: int = 0  # calls of algorithm.update per environment step; 0 collects only
    utd: int = 1  # minibatches of one call
    batch_size: int = 256
    offline_ratio: float = 0.0  # share of dataset rows in every minibatch; 1 is offline
    append: bool = False  # the ring starts with the whole dataset in it
    returns: bool = False  # online rows need Monte-Carlo returns: only finished episodes are sampled
    entry: Callable[[State, State | None], State] = keep  # (fresh, previous) -> what the phase starts from

    @property
    def online(self) -> bool:
        """Whether an environment is stepped."""
        return self.behaviour != "none"


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class SeedState:
    """What each seed has for itself; every leaf has the seed axis [S] in front."""

    agent: State
    env: VectorState | None
    open: OpenEpisodes | None
    totals: dict[str, jax.Array]  # sums since the last row of the log
    health: Health  # whether it still learns


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Carry:
    """Everything a run is, between two chunks: the checkpoint is this, whole."""

    step: jax.Array  # int32, steps of the scan done in this phase, shared by all seeds
    keys: Key  # [S], never consumed: step t of phase p draws from fold_in(fold_in(key, p), t)
    ring: Ring | None  # explicit seed axis, one shared pointer
    seeds: SeedState
