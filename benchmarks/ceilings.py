"""What this process can do at most: a matrix product and a copy, timed between the rounds of a measurement.

The product is float32, 2048 x 2048 x 2048; the copy reads and writes 128 MiB (`x + 1` in place of `x`), more than the
caches hold. Both are timed in the same process and between the measurement's own rounds, as a machine's speed differs
by process and by minute.
"""

import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

SIZE = 2048
FLOATS = 1 << 25


class Ceilings:
    """Times of both, a few calls at every `round`."""

    def __init__(self) -> None:
        self._a = jax.random.normal(jax.random.key(1), (SIZE, SIZE))
        self._product = jax.jit(jnp.matmul)
        self._copy = jax.jit(lambda x: x + 1.0, donate_argnums=0)
        self.products: list[float] = []
        self.copies: list[float] = []
        self.round()
        self.products, self.copies = [], []  # the first calls compile

    def round(self) -> None:
        """Two products and three copies; the array is made and given back here, so that nobody's memory is held."""
        array = jax.block_until_ready(jnp.zeros(FLOATS, jnp.float32))
        for _ in range(2):
            self.products.append(seconds(lambda: self._product(self._a, self._a))[0])
        for _ in range(3):
            duration, array = seconds(lambda: self._copy(array))
            self.copies.append(duration)

    def found(self) -> dict[str, float]:
        """Medians over all rounds: GFLOP/s and GB/s."""
        return {
            "sgemm_gflops": round(2 * SIZE**3 / statistics.median(self.products) / 1e9, 1),
            "copy_gigabytes_per_second": round(8 * FLOATS / statistics.median(self.copies) / 1e9, 2),
        }


def seconds(function: Callable[[], Any]) -> tuple[float, Any]:
    """(wall time of one call, its result)."""
    start = time.perf_counter()
    result = jax.block_until_ready(function())
    return time.perf_counter() - start, result


def rates(gflop: float, megabytes: float, milliseconds: float, ceilings: dict[str, float]) -> dict[str, float]:
    """A unit's rate and its shares of both ceilings, for a line of the suite."""
    gflops = gflop / milliseconds * 1e3
    moved = megabytes / milliseconds
    return {
        "gflops": float(f"{gflops:.4g}"),
        "sgemm_fraction": float(f"{gflops / ceilings['sgemm_gflops']:.3g}"),
        "copy_fraction": float(f"{moved / ceilings['copy_gigabytes_per_second']:.3g}"),
    }
