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
    "float32; the scan hands on what was drawn, so that all of it is written",
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

    def scan(state: Any, drawn: jax.Array, key: jax.Array) -> tuple[Any, jax.Array, jax.Array]:
        def step(both: tuple[Any, jax.Array], xs: tuple[jax.Array, jax.Array]) -> Any:
            row, keys = xs
            state = over(buffer.add)(both[0], row)
            return (state, over(buffer.sample)(state, keys).experience), None

        key, draws = jax.random.split(key)
        keys = jax.random.split(draws, (LENGTH, *lead))
        return *jax.lax.scan(step, (state, drawn), (rows, keys))[0], key

    program, key = jax.jit(scan, donate_argnums=(0, 1)), jax.random.key(1)
    drawn = jnp.zeros((*lead, case["batch"], width))

    def call() -> None:
        nonlocal state, drawn, key
        state, drawn, key = jax.block_until_ready(program(state, drawn, key))

    return call, LENGTH * seeds
