"""What is set before jax starts, its start, our caches, and the heap. The command line and the benchmarks call it.

On a CPU, jaxlib 0.10 sends matrix products to YNNPACK; its older Eigen path is faster for an ensemble's shapes
(benchmarks/LOG.md, "Learner"). Flags are known to one jaxlib only and an unknown flag aborts the process, so other
versions get none.
"""

import ctypes
import importlib.metadata
import os
import resource
import sys
import warnings
from pathlib import Path

from fastrl.errors import UserError

PRODUCTS = {"--xla_cpu_experimental_ynn_fusion_type": "", "--xla_cpu_use_xnnpack": "false"}
LEAST = 1 << 32
"""Bytes of address space: a run with tiny networks needs more than half of them."""
WIDE = {"--xla_cpu_prefer_vector_width": "512"}


def prepare() -> None:
    """Adds the flags to XLA_FLAGS where this jaxlib knows them; what the user set stays as it is."""
    version = importlib.metadata.version("jaxlib")
    os.environ["XLA_FLAGS"] = merge(os.environ.get("XLA_FLAGS", ""), flags(version, wide_vectors()))


def start() -> None:
    """Starts jax on its devices; compiled programs are kept for later processes where there is a home folder."""
    warnings.filterwarnings("ignore", "Error (reading|writing) persistent compilation cache")
    try:
        import jax

        if (folder := cache("xla")) is not None:
            jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.devices()
    except Exception as error:  # jax has no class of its own for a device or a setting that is not there
        cause = next(iter(str(error).splitlines()), "it finds no such device").split(" (set JAX")[0].rstrip(".")
        asked = os.environ.get("JAX_PLATFORMS")
        device, fix = (f" on JAX_PLATFORMS={asked}", "; JAX_PLATFORMS=cpu takes the CPU") if asked else ("", "")
        raise UserError(f"jax cannot start{device}: {cause}{fix}") from error


def limited() -> str | None:
    """A line to say where this process may have less address space than XLA needs, which then ends without one."""
    most = resource.getrlimit(resource.RLIMIT_AS)[0]
    if most == resource.RLIM_INFINITY or most >= LEAST:
        return None
    what = f"this process may have {most >> 20} MB of address space (ulimit -v)"
    return f"{what}; XLA may end it without a line below {LEAST >> 20}"


def cache(name: str) -> Path | None:
    """Our folder of that name in the user's cache, made where it is not there; None where no home can be written to."""
    try:
        home = Path.home()
        folder = home / ".cache" / "fastrl" / name
        if not home.is_dir():
            return None
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # RuntimeError: nobody knows where home is
        return None
    return folder if os.access(folder, os.R_OK | os.W_OK | os.X_OK) else None


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


def keep_compiled(folder: Path) -> None:
    """Keeps compiled programs in a folder, for this process and for later ones on the same machine."""
    import jax

    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 1.0)
