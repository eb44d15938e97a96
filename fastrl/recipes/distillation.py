"""An agent whose policy is of another class than a recipe's actor is cloned into it first (OCR-CFT, transfer)."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fastrl.agent import Agent
from fastrl.algorithms import transfer
from fastrl.algorithms.distil import Distil, policy_of
from fastrl.engine.phase import Phase
from fastrl.methods import O2TD3, ODT
from fastrl.networks.normalise import Normalised
from fastrl.planning import sequences
from fastrl.planning.builder import Builder
from fastrl.types import Spec, State


def phases(builder: Builder, first: Phase, start: Agent) -> list[Phase]:
    """The phase that distils, or none where the agent's policy is one of the actor's class."""
    config: Any = first.config
    if alike(config, builder.spec, start):
        return []
    clone = Distil(batch_size=config.batch_size, discount=config.discount, student=config, teacher=start.config)
    phase = builder.offline(clone, "distil", builder.options.distil_steps, from_teacher)
    if isinstance(start.config, ODT):
        phase = dataclasses.replace(phase, draw=sequences.labelling(start.config, builder.data))
    return [phase]


def alike(config: Any, spec: Spec, start: Agent) -> bool:
    """Whether the actor of `config` plays as the agent does, with the agent's own parameters.

    Their shapes are compared, then the actions of a few observations: a mean with a tanh and one without have the same
    parameters. A cap of the std is the method's own and does not count.
    """
    uncapped = dataclasses.replace(config, max_log_std=None) if hasattr(config, "max_log_std") else config
    student, key = policy_of(uncapped, spec), jax.random.key(0)
    state = start.state.inner if isinstance(start.state, Normalised) else start.state
    state = jax.tree.map(lambda x: x[0], state)
    params = getattr(getattr(state, "actor", None), "params", None)
    expected = jax.eval_shape(lambda: student.init(key, spec.obs_size))
    if params is None or not transfer.fits(expected, jax.eval_shape(lambda: params)):
        return False
    teacher = start.config.build(spec)
    obs = jax.random.normal(jax.random.key(1), (4, spec.obs_size))
    for explore in (False,) if isinstance(config, O2TD3) else (False, True):
        theirs = jnp.clip(teacher.act(state, obs, jax.random.clone(key), explore), -1.0, 1.0)
        ours = student.act(params, obs, jax.random.clone(key), explore)
        if not np.allclose(ours, theirs, atol=1e-5):
            return False
    return True


def misread(config: Any, spec: Spec, start: Agent) -> bool:
    """Whether an actor of `config` would play other modes with the agent's own parameters, whose shapes fit it."""
    ours, theirs = config.build(spec), start.config.build(spec)
    state = start.state.inner if isinstance(start.state, Normalised) else start.state
    if ours.views is None or theirs.views is None or not hasattr(state, "actor"):
        return False
    state = jax.tree.map(lambda x: x[0], state)
    fresh = jax.eval_shape(ours.init, jax.random.key(0))
    if not transfer.fits(fresh.actor.params, jax.eval_shape(lambda: state.actor.params)):
        return False  # the entry says which shapes differ
    obs = 1e3 * jax.random.normal(jax.random.key(1), (4, spec.obs_size))  # far out, where a tanh is no line
    mine, known = (view.policy(state, obs).mode() for view in (ours.views, theirs.views))
    return not np.allclose(mine, known, rtol=1e-4, atol=1e-5)


def from_teacher(fresh: State, previous: State | None) -> State:
    """A fresh student of the previous agent."""
    return fresh if previous is None else dataclasses.replace(fresh, teacher=previous)
