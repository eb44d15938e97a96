"""An agent whose policy is of another class than a recipe's actor is cloned into it first (OCR-CFT, transfer)."""

import dataclasses
from typing import Any

import jax

from fastrl.agent import Agent
from fastrl.algorithms import transfer
from fastrl.algorithms.distil import Distil, policy_of
from fastrl.engine.phase import Phase
from fastrl.networks.normalise import Normalised
from fastrl.planning.builder import Builder
from fastrl.types import State


def phases(builder: Builder, first: Phase, start: Agent) -> list[Phase]:
    """The phase that distils, or none where the agent's actor has the parameters that the first phase expects."""
    config: Any = first.config
    student = policy_of(config, builder.spec)
    expected = jax.eval_shape(lambda: student.init(jax.random.key(0), builder.spec.obs_size))
    state = start.state.inner if isinstance(start.state, Normalised) else start.state
    found = getattr(getattr(state, "actor", None), "params", None)
    if found is not None:
        found = jax.eval_shape(lambda: jax.tree.map(lambda x: x[0], found))
        if transfer.fits(expected, found):
            return []
    clone = Distil(batch_size=config.batch_size, discount=config.discount, student=config, teacher=start.config)
    return [builder.offline(clone, "distil", builder.options.distil_steps, from_teacher)]


def from_teacher(fresh: State, previous: State | None) -> State:
    """A fresh student of the previous agent."""
    return fresh if previous is None else dataclasses.replace(fresh, teacher=previous)
