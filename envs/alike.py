"""Compares two results bit by bit or up to rounding; trees of arrays become lists of NumPy arrays.

What rounding may do is measured (`nearby`, `apart`), not guessed: a body that just touches the ground turns one unit
into percents.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Literal

Numbers = list[np.ndarray]
ROUNDING = 1e-3
"""Difference of one step, of 1 and relative, that compiling may make anywhere."""
AMPLIFIED = 30.0
"""What compiling may make beyond that, in differences that one unit of rounding in the arguments makes."""


def close(rows: Numbers, expected: Numbers, rounding: list[float]) -> bool:
    """Whether the last of each `rows` [n, ...] is as `expected`, up to `rounding`, a difference for each leaf."""
    return all(
        np.allclose(row[-1], leaf, rtol=ROUNDING, atol=ROUNDING + AMPLIFIED * room, equal_nan=True)
        for row, leaf, room in zip(rows, expected, rounding, strict=True)
    )


def apart(a: np.ndarray, b: np.ndarray) -> float:
    """The greatest difference of numbers that are finite."""
    with np.errstate(invalid="ignore", over="ignore"):
        difference = np.abs(a.astype(float) - b.astype(float))
    return float(difference[np.isfinite(difference)].max(initial=0.0))


def nearby(tree: Any, random: np.random.Generator) -> Any:
    """Every float one unit of rounding up or down."""

    def near(leaf: jax.Array) -> jax.Array:
        if not jnp.issubdtype(leaf.dtype, np.floating):
            return leaf
        towards = np.where(random.random(leaf.shape) < 0.5, -np.inf, np.inf).astype(leaf.dtype)
        return jnp.asarray(np.nextafter(np.asarray(leaf), towards))

    return jax.tree.map(near, tree)


def rounded(function: Callable[..., Any], *args: Any, times: int = 3) -> list[Numbers]:
    """Results of `function` compiled so that what it computes on the way is one unit of rounding up or down as well."""
    closed = jax.make_jaxpr(function)(*args)

    @jax.jit
    def run(directions: jax.Array, *leaves: Any) -> list[Any]:
        found = dict(zip([*closed.jaxpr.constvars, *closed.jaxpr.invars], [*closed.consts, *leaves], strict=True))

        def read(atom: Any) -> Any:
            return atom.val if isinstance(atom, Literal) else found[atom]

        for direction, line in zip(directions, closed.jaxpr.eqns, strict=True):
            out = line.primitive.bind(*map(read, line.invars), **line.primitive.get_bind_params(line.params))
            for name, value in zip(line.outvars, out if line.primitive.multiple_results else [out], strict=True):
                exact = not jnp.issubdtype(value.dtype, jnp.floating)
                found[name] = value if exact else jnp.nextafter(value, jnp.full_like(value, direction))
        return [read(atom) for atom in closed.jaxpr.outvars]

    random = np.random.default_rng(0)
    directions = np.where(random.random((times, len(closed.jaxpr.eqns))) < 0.5, -np.inf, np.inf)
    return [numbers(run(jnp.asarray(row, float), *jax.tree.leaves(args))) for row in directions]


def stacked(rows: list[Any]) -> Any:
    """Trees, stacked."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *rows)


def numbers(tree: Any) -> Numbers:
    """The leaves as arrays of the host, keys as their data."""

    def number(leaf: Any) -> np.ndarray:
        is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        return np.array(jax.random.key_data(leaf) if is_key else leaf)

    return [number(leaf) for leaf in jax.tree.leaves(tree)]


def same(a: Numbers, b: Numbers) -> bool:
    """Whether all arrays are equal bit by bit; a NaN equals a NaN."""
    return len(a) == len(b) and all(np.array_equal(x, y, equal_nan=True) for x, y in zip(a, b, strict=True))
