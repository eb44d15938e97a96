"""flashbax's item buffer: one insert and one draw of a batch, in a scan that is given the buffer's memory.

A unit is one insert with one draw, of one seed; several seeds are flashbax's functions under vmap.
"""

from collections.abc import Callable
from typing import Any

PART = "replay"
REQUIRES = ("flashbax==0.1.3", "jax==0.10.2")
EQUAL = (
    "one row of the same columns, in one array, inserted a unit",
    "rows drawn a unit, uniform with replacement over a full buffer of the same capacity",
    "a scan of 50 units in one jitted call that may reuse the buffer's memory",
    "float32, and one sum over what was drawn",
    "jax",
)
NOT_EQUAL = (
    "ours has one pointer for all seeds and flashbax one a seed",
    "XLA gets our flags on our side alone",
)
LENGTH = 50  # units of one seed in one call


def prepare(case: dict[str, Any]) -> tuple[Callable[[], None], int]:
    """The call and its units."""
    import flashbax
    import jax
    import jax.numpy as jnp

    seeds, width = case["seeds"], 2 * case["obs"] + case["action"] + 4  # reward, mask, return and episode's end
    buffer = flashbax.make_item_buffer(case["capacity"], 1, case["batch"])
    several = seeds > 1
    over = jax.vmap if several else lambda function: function
    lead = (seeds,) if several else ()
    state = over(lambda _: buffer.init(jnp.zeros(width)))(jnp.zeros(lead))
    state = state.replace(is_full=jnp.ones(lead, bool))
    rows = jax.random.normal(jax.random.key(0), (LENGTH, *lead, width))

    def scan(state: Any, key: jax.Array) -> tuple[Any, jax.Array, jax.Array]:
        def step(state: Any, xs: tuple[jax.Array, jax.Array]) -> tuple[Any, jax.Array]:
            row, keys = xs
            state = over(buffer.add)(state, row)
            return state, over(buffer.sample)(state, keys).experience.sum((-1, -2))

        key, draws = jax.random.split(key)
        state, sums = jax.lax.scan(step, state, (rows, jax.random.split(draws, (LENGTH, *lead))))
        return state, key, sums

    program, key = jax.jit(scan, donate_argnums=0), jax.random.key(1)

    def call() -> None:
        nonlocal state, key
        state, key, sums = program(state, key)
        jax.block_until_ready(sums)

    return call, LENGTH * seeds
