"""Which seeds still learn: one whose numbers stop being finite is frozen at its last good update, and the others go on.

On the device a step's numbers are checked and, among several seeds, a bad step is undone, seed by seed, so that no
seed's bits depend on another's. On the host a frozen seed is put into words.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp

from fastrl.types import Transition

PLAYED = ("action", "observation", "reward")
AGENT = "a parameter or an optimiser's state"
PARTS = 16  # of a leaf, where its numbers divide by it


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Health:
    """Whether each seed is frozen, since when, and why; it stays so in later phases."""

    bad: jax.Array  # [S] int32: bits of the numbers that were not finite, in the order of `names`; 0 while it learns
    step: jax.Array  # [S] int32: the step of its phase that was bad

    @property
    def good(self) -> jax.Array:
        """[S] bool: the seed learns."""
        return self.bad == 0


def start(seeds: int) -> Health:
    """Every seed learns."""
    return Health(jnp.zeros(seeds, jnp.int32), jnp.zeros(seeds, jnp.int32))


def played(transition: Transition, obs: jax.Array) -> dict[str, jax.Array]:
    """Whether what a step played is finite, by `PLAYED`, [n] bool each: rows [n, E, ...] and the next obs [n, E, O]."""
    observed = finite([transition.next_obs, obs])
    return dict(zip(PLAYED, (finite(transition.action), observed, finite(transition.reward)), strict=True))


def learnt(metrics: dict[str, jax.Array], agent: Any) -> dict[str, jax.Array]:
    """Whether what an update gave is finite, by the metric's name and `AGENT`, [n] bool each."""
    return {**{name: finite(metrics[name]) for name in sorted(metrics)}, AGENT: finite(agent)}


def finite(tree: Any) -> jax.Array:
    """[n] bool: all numbers of a seed are finite, in leaves [n, ...] of which those of other types do not count."""
    leaves = [leaf for leaf in jax.tree.leaves(tree) if jnp.issubdtype(leaf.dtype, jnp.floating)]
    if jax.default_backend() == "cpu":
        shapes = dict.fromkeys((leaf.shape, leaf.dtype) for leaf in leaves)
        alike = [[leaf for leaf in leaves if (leaf.shape, leaf.dtype) == shape] for shape in shapes]
        return functools.reduce(jnp.logical_and, map(_below_infinity, alike))
    rows = [jnp.isfinite(leaf).reshape(len(leaf), -1) for leaf in leaves]
    return jnp.concatenate(rows, axis=1).all(1)  # one test: on a card each would be a kernel


def _below_infinity(alike: list[jax.Array]) -> jax.Array:
    """[n] bool as above of leaves of one shape, by the bits: without signs, infinity's and NaN's are the largest.

    A CPU compares whole numbers many at a time, and arrays with one another faster than an array's own numbers: parts
    of the leaves are compared first, and what is left then is a small part of one leaf.
    """
    dtype = alike[0].dtype
    whole = jnp.dtype(f"int{8 * dtype.itemsize}")
    infinity = jax.lax.bitcast_convert_type(jnp.asarray(jnp.inf, dtype), whole)
    sizes = [jax.lax.bitcast_convert_type(leaf, whole) & jnp.iinfo(whole).max for leaf in alike]
    largest = functools.reduce(jnp.maximum, sizes).reshape(len(alike[0]), -1)
    if largest.shape[1] % PARTS == 0:
        parts = largest.reshape(len(largest), PARTS, -1)
        largest = functools.reduce(jnp.maximum, [parts[:, part] for part in range(PARTS)])
    return largest.max(1, initial=0) < infinity


def examine(health: Health, checks: dict[str, jax.Array], step: jax.Array) -> Health:
    """The health after a step whose `checks` [n] bool are given; a frozen seed stays as it was."""
    each = [jnp.where(good, 0, _bit(place)).astype(jnp.int32) for place, good in enumerate(checks.values())]
    bits = functools.reduce(jnp.bitwise_or, each)
    return Health(jnp.where(health.good, bits, health.bad), jnp.where(health.good & (bits > 0), step, health.step))


def select(good: jax.Array, new: Any, old: Any) -> Any:
    """Leaves [n, ...] of `new` where `good` [n], else of `old`."""
    return jax.tree.map(lambda a, b: jnp.where(good.reshape(-1, *(1,) * (a.ndim - 1)), a, b), new, old)


def names(totals: dict[str, Any], online: bool) -> list[str]:
    """The checks of a phase in their order, by the sums that it logs."""
    metrics = sorted(name for name in totals if name != "steps" and not name.startswith("rollout/"))
    return [*(PLAYED if online else ()), *metrics, AGENT]


def cause(bad: int, checks: list[str]) -> tuple[str, str]:
    """What was not finite first, and what to do about it: in one step, play is before losses, they before the agent.

    `bad` are the bits of one seed, `checks` the `names` of the phase in which it was frozen.
    """
    found = [name for place, name in enumerate(checks) if bad & _bit(place)]
    first = [name for name in found if name in PLAYED] or [name for name in found if name != AGENT] or found
    if set(first) & {"observation", "reward"}:
        return ", ".join(first), "the environment's simulation broke: bound its observation and reward"
    return ", ".join(first), "lower a learning rate, or look for extreme numbers in the data"


def said(what: str, step: int, phase: str) -> str:
    """What was not finite, and where."""
    return f"not finite at step {step} of {phase}: {what}"


def _bit(place: int) -> int:
    """The bit of a check; those that an int32 has no room for share the last one."""
    return 1 << min(place, 30)
