"""What `fastrl envs` prints: every environment in a line, or one in full. The list imports no simulator."""

from collections.abc import Callable, Sequence
from typing import Any

from fastrl import envs
from fastrl.envs import registry
from fastrl.types import Spec


def aligned(header: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    """A table in columns, two spaces apart."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in [header, *rows]]
    return "\n".join(line.rstrip() for line in lines)


def listing() -> str:
    """Name, sizes, horizon, backend and domain of every environment, then the prefixes of other libraries."""
    rows = []
    for name in envs.names():
        row = registry.row(name)
        rows.append((name, str(row.obs_size), str(row.action_size), str(row.horizon), row.backend, row.domain))
    table = aligned(("name", "obs", "action", "horizon", "backend", "defaults of"), rows)
    others = "\n".join(f"{prefix + ':ID':13}  {meaning}" for prefix, (_, meaning) in sorted(registry.ADAPTERS.items()))
    return f"{table}\n\n{others}\n\nfastrl envs NAME shows one with its options and checks that it keeps the protocol."


def entry(name: str, report: Callable[[str], None]) -> str:
    """One environment in full: its spec, its options with their defaults, and the result of `envs.check`."""
    env = envs.make(name)
    report(f"checking the protocol of {name}; compiling takes most of the time, minutes for a large body")
    envs.check(env)
    spec, options = env.spec, registry.options(name)
    low, high = (_numbers(bound) for bound in (spec.action_low, spec.action_high))
    lines = {
        "observation": str(spec.obs_size),
        "action": f"{spec.action_size}, from {low} to {high} (agents act in [-1, 1])",
        "horizon": f"{spec.horizon} steps",
        "backend": spec.backend,
        "defaults of": spec.domain,
        "measured by": _measured(spec),
        "options": " ".join(f"{key}={value!r}" for key, value in {"horizon": spec.horizon, **options}.items())
        + "  (--env-option KEY=VALUE)",
        "collect": ", ".join(collected(name)),
        "protocol": "kept",
    }
    return "\n".join([name, *(f"  {key:11}  {value}" for key, value in lines.items())])


def collected(name: str) -> list[str]:
    """The values that `fastrl collect --behaviour` takes for this environment."""
    from fastrl.collect import levels

    scripted = ["scripted"] if name.startswith(("pointmaze-", "antmaze-")) else []
    return ["random", *scripted, *(levels.LEVELS if name in levels.names() else ())]


def _measured(spec: Spec) -> str:
    """The measure of an evaluation, in words."""
    if spec.sparse:
        return f"success: a step with a reward above {spec.failure_reward:g}"
    return f"subtasks done at the end, of {spec.subtasks}" if spec.subtasks else "the return"


def _numbers(bound: Any) -> str:
    values = bound if isinstance(bound, tuple) else (bound,)
    return ", ".join(f"{value:g}" for value in (values[:1] if len(set(values)) == 1 else values))
