"""From a configuration to its algorithm."""

from collections.abc import Callable
from typing import Any

from fastrl.algorithms.bc import bc
from fastrl.algorithms.cql import cql
from fastrl.algorithms.iql import iql
from fastrl.algorithms.sac import sac
from fastrl.config import BC, CQL, IQL, SAC, ActorCritic, CalQL
from fastrl.types import Algorithm, Spec

FACTORIES: dict[type[ActorCritic], Callable[[Any, Spec, int | None], Algorithm]] = {
    SAC: sac,
    CQL: cql,
    CalQL: cql,
    IQL: iql,
    BC: bc,
}


def build(config: ActorCritic, spec: Spec, row_chunk: int | None = None) -> Algorithm:
    """The configured algorithm; big batches are split at `row_chunk` rows."""
    return FACTORIES[type(config)](config, spec, row_chunk)
