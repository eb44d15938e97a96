"""Agents with arbitrary parameters, none of them 0 or 1, so that a layer that is left out or swapped shows."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fastrl.agent import Agent, algorithm_of
from fastrl.config import Options
from fastrl.types import Spec

SPEC = Spec("InvertedPendulum", obs_size=4, action_size=2, horizon=10, action_low=-3.0, action_high=(1.0, 5.0))


def _agent(config: Options, spec: Spec = SPEC, seeds: int = 2, scale: float = 0.4) -> Agent:
    random = np.random.default_rng(7)
    algorithm = algorithm_of(config, spec)
    shapes = jax.eval_shape(lambda: jax.vmap(algorithm.init)(jax.random.split(jax.random.key(0), seeds)))

    def filled(leaf: jax.ShapeDtypeStruct) -> jax.Array:
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            return jnp.zeros(leaf.shape, leaf.dtype)
        return jnp.asarray(random.normal(scale=scale, size=leaf.shape), leaf.dtype)

    state: Any = jax.tree.map(filled, shapes)
    if getattr(config, "normalize_observations", False):
        state = dataclasses.replace(state, std=jnp.abs(state.std) + 0.5, mean=10 * state.mean)
    return Agent(config, spec, state)


@pytest.fixture(scope="session")
def agent_of() -> Callable[..., Agent]:
    """`(config, spec, seeds, scale) -> Agent` of arbitrary parameters."""
    return _agent
