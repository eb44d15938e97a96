"""python benchmarks/peer_worker.py ADAPTER CASE times one adapter in this Python and prints one JSON line.

It runs in an environment without fastrl, so it imports the standard library alone; jax or numpy once the adapter has
them; and, where fastrl is installed, what a line says of the machine. What it times is `prepare(case)` of the adapter:
(a call that returns when its work is done, units of one call). A float32 2048^3 product and a copy of 128 MiB are
timed in the same process between the same rounds.
"""

import contextlib
import importlib
import importlib.metadata
import importlib.util
import json
import platform
import re
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROUNDS = 5
SECONDS = 0.5  # of one round, about
WARMUP = 2  # calls; a state that comes back with other types is compiled for again
SIZE = 2048  # of the product
FLOATS = 1 << 25  # of the copy
ALWAYS = ("fastrl", "jax", "jaxlib", "numpy")  # versions that a line has where they are installed


def load(path: Path) -> Any:
    """The adapter, imported from its file."""
    spec = importlib.util.spec_from_file_location("adapter", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def ceilings() -> tuple[Callable[[], Any], Callable[[], Any]]:
    """A product and a copy (`x + 1` in place of `x`), jax's where jax is installed and numpy's elsewhere."""
    try:
        import jax
        import jax.numpy as jnp
    except ImportError:
        import numpy as np

        square, array = np.ones((SIZE, SIZE), np.float32), np.ones(FLOATS, np.float32)
        return lambda: square @ square, lambda: np.add(array, np.float32(1), out=array)
    matrix, floats = jax.random.normal(jax.random.key(1), (SIZE, SIZE)), jnp.zeros(FLOATS, jnp.float32)
    multiply, add = jax.jit(jnp.matmul), jax.jit(lambda x: x + 1.0, donate_argnums=0)

    def product() -> None:
        jax.block_until_ready(multiply(matrix, matrix))

    def copy() -> None:
        nonlocal floats
        floats = jax.block_until_ready(add(floats))

    product()
    copy()
    return product, copy


def seconds(call: Callable[[], Any]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def prepared(adapter: Any, case: dict[str, Any]) -> tuple[Callable[[], None], int]:
    """What the adapter's `prepare` returns, if it is of the contract's form."""
    found = adapter.prepare(case)
    form = isinstance(found, tuple) and len(found) == 2 and callable(found[0]) and isinstance(found[1], int)
    if not form or found[1] < 1:
        raise TypeError("prepare(case) must return (a call, the units of one call)")
    return found


def versions(requires: tuple[str, ...]) -> dict[str, str]:
    """Versions of this Python and of what is installed of the requirements and of `ALWAYS`."""
    found = {"python": platform.python_version()}
    for name in sorted({*ALWAYS, *(re.split(r"[^\w.-]", requirement)[0] for requirement in requires)}):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def measure(path: Path, case: dict[str, Any], rounds: int = ROUNDS, length: float = SECONDS) -> dict[str, Any]:
    """Wall and CPU microseconds of one unit in each round, the ceilings, and the seconds until the first call's end."""
    start = time.perf_counter()
    adapter = load(path)
    call, units = prepared(adapter, case)
    call()  # compiles
    first = time.perf_counter() - start
    for _ in range(WARMUP - 1):
        call()
    product, copy = ceilings()
    calls = max(1, round(length / max(seconds(call), 1e-9)))
    wall, cpu, products, copies = [], [], [], []
    for _ in range(rounds):
        products += [seconds(product) for _ in range(2)]
        copies += [seconds(copy) for _ in range(2)]
        before, start = time.process_time(), time.perf_counter()
        for _ in range(calls):
            call()
        wall.append((time.perf_counter() - start) / (calls * units) * 1e6)
        cpu.append((time.process_time() - before) / (calls * units) * 1e6)
    return {
        "wall": wall,
        "cpu": cpu,
        "first_call_seconds": first,
        "ceilings": {
            "sgemm_gflops": round(2 * SIZE**3 / statistics.median(products) / 1e9, 1),
            "copy_gigabytes_per_second": round(8 * FLOATS / statistics.median(copies) / 1e9, 2),
        },
        "versions": versions(getattr(adapter, "REQUIRES", ())),
    }


def main(path: str, case: str) -> int:
    """Prints the line; what goes wrong is one line on the error stream and exit code 2."""
    provenance: Any = None
    with contextlib.suppress(ImportError):
        provenance = importlib.import_module("fastrl.benchmarks.provenance")
    try:
        with contextlib.redirect_stdout(sys.stderr):  # the adapter's own output is no result
            found = measure(Path(path), json.loads(case))
            if provenance is not None:
                found["provenance"] = provenance.collect()
    except Exception as error:
        print(f"{type(error).__name__}: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    print(json.dumps(found), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
