"""What a benchmark's line says of where it was measured: processor, card, versions, commit, flags, and what else ran.

Import it before the measurement: what the machine did before is read then.
"""

import datetime
import importlib.metadata
import os
import platform
import re
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

PACKAGES = ("fastrl", "jax", "jaxlib", "numpy")
CONFIG = ("jax_default_matmul_precision", "jax_enable_x64", "jax_default_prng_impl")
OWN_FILES = (":!benchmarks/results", ":!docs", ":!*.md")
"""What may change in a checkout without changing what is measured: results, and pages."""


def collect() -> dict[str, Any]:
    """Everything of this process and its machine, after the measurement."""
    import jax

    flags = _cpuinfo("flags").split()
    before_load, before_busy, before_cpu, before = _BEFORE
    elapsed = time.monotonic() - before
    found = {name: _version(name) for name in PACKAGES}
    return {
        **found,
        "commit": commit(Path(__file__).resolve().parents[1]),
        "processor": _cpuinfo("model name") or platform.processor() or platform.machine(),
        "cores": cores(),
        "isa": next((name for name, flag in (("avx512", "avx512f"), ("avx2", "avx2")) if flag in flags), "none"),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "card": jax.devices()[0].device_kind,
        "python": platform.python_version(),
        "os": f"{platform.system()} {platform.release()}",
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
        "jax_config": {name: getattr(jax.config, name) for name in CONFIG},
        "load_before": before_load,
        "load_after": _load(),
        "busy_processes": [before_busy, _busy()],
        "other_busy_cores": None if before_cpu is None else round(max(0.0, (_others() - before_cpu) / elapsed), 2),
        "utc": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "mode": "one launch, alone in its process",
    }


def commit(root: Path) -> str | None:
    """The git revision of a checkout, with `+changed` where a file of it differs; None outside git."""
    revision = _git(root, "rev-parse", "HEAD")
    if not (root / ".git").exists() or revision is None:
        return None
    return revision[:12] + ("+changed" if _git(root, "status", "--porcelain", "-uno", "--", ".", *OWN_FILES) else "")


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def machine(line: dict[str, Any]) -> str:
    """A machine's name in a line's words: its processor or card, its vectors and its cores."""
    found = line["provenance"]
    card = "" if found["card"] == "cpu" else f"{found['card']}, "
    return f"{card}{found['processor']}, {found['isa']}, {found['cores']} core{'s' * (found['cores'] > 1)}"


def file_name(name: str) -> str:
    """That name as a file's: lower case, words joined by hyphens."""
    return "-".join(re.findall(r"[a-z0-9]+", name.lower()))


def _git(root: Path, *words: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _lines(path: str) -> Iterable[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return ()


def _cpuinfo(field: str) -> str:
    """The first value of a field of /proc/cpuinfo (Linux; elsewhere empty)."""
    rows = (line.partition(":") for line in _lines("/proc/cpuinfo"))
    return next((value.strip() for name, _, value in rows if name.strip() == field), "")


def _load() -> float | None:
    """Of the last minute."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def _busy() -> int | None:
    """Processes that are running or want to, without this one and those above it; None where that is not known."""
    parents = {os.getpid(), os.getppid()}
    states = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        for line in _lines(str(path)):
            states[int(path.parent.name)] = line.rpartition(")")[2].split()[0]
    return sum(state == "R" for pid, state in states.items() if pid not in parents) if states else None


def _others() -> float:
    """CPU-seconds of this machine that neither this process nor its children used, since some moment (Linux)."""
    total = next(iter(_lines("/proc/stat")), "cpu 0").split()[1:]
    busy = sum(int(x) for n, x in enumerate(total[:8]) if n not in (3, 4)) / os.sysconf("SC_CLK_TCK")
    return busy - sum(os.times()[:4])


_BEFORE = (_load(), _busy(), _others() if Path("/proc/stat").exists() else None, time.monotonic())
