"""Shared set-up: strict ranks, reuse of keys is an error, every test on the CPU unless told otherwise."""

import jax
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_debug_key_reuse", True)


@pytest.fixture
def key() -> jax.Array:
    """A typed key."""
    return jax.random.key(0)
