"""What is set before jax starts, and the heap. Standard library only; the command line and the benchmarks call it.

On a CPU, jaxlib 0.10 sends matrix products to YNNPACK; its older Eigen path is faster for an ensemble's shapes
(benchmarks/LOG.md, "Learner"). Flags are known to one jaxlib only and an unknown flag aborts the process, so other
versions get none.
"""

import ctypes
import importlib.metadata
import os
import sys
from pathlib import Path

PRODUCTS = {"--xla_cpu_experimental_ynn_fusion_type": "", "--xla_cpu_use_xnnpack": "false"}
WIDE = {"--xla_cpu_prefer_vector_width": "512"}


def prepare() -> None:
    """Adds the flags to XLA_FLAGS where this jaxlib knows them; what the user set stays as it is."""
    version = importlib.metadata.version("jaxlib")
    os.environ["XLA_FLAGS"] = merge(os.environ.get("XLA_FLAGS", ""), flags(version, wide_vectors()))


def return_free_memory() -> None:
    """Gives free blocks of the heap back to the system, where glibc can: compiling leaves many."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)


def flags(jaxlib: str, wide: bool) -> dict[str, str]:
    """The flags for this version of jaxlib, on a processor with 512-bit vectors or without."""
    if not jaxlib.startswith("0.10."):
        return {}
    return PRODUCTS | (WIDE if wide else {})


def merge(present: str, wanted: dict[str, str]) -> str:
    """`present` with the wanted flags that it does not name yet."""
    named = {flag.split("=")[0] for flag in present.split()}
    added = [f"{name}={value}" for name, value in wanted.items() if name not in named]
    return " ".join([*present.split(), *added])


def wide_vectors() -> bool:
    """Whether the processor has AVX-512 (Linux; elsewhere False)."""
    try:
        return "avx512f" in Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
