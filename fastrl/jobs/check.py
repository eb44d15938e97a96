"""Whether a job fits its machines, before anyone pays for them: the very run, compiled for them on this one.

Every phase of a run has the carry of its last one or less, so that the last one is compiled. The time of a step is not
measured but bounded: operations and bytes of its matrix products against the peaks that the chip's maker gives, and on
a GPU one microsecond for each kernel.
"""

import dataclasses
import time
from collections.abc import Sequence
from typing import Any

import jax

from fastrl.benchmarks import ahead, counted
from fastrl.engine.plan import Plan
from fastrl.engine.run import upload
from fastrl.envs import host
from fastrl.errors import Failure, UserError
from fastrl.jobs.accelerators import Chip
from fastrl.planning import rehearsal

KERNEL = 1e-6  # seconds that a GPU needs to start one, at least


@dataclasses.dataclass(frozen=True)
class Found:
    """Of one device."""

    seeds: int
    parts: dict[str, int]  # bytes
    temporary: int  # bytes
    collectives: dict[str, int]
    ring_copies: int
    compile_seconds: float
    step_seconds: dict[str, float]  # at least, by what bounds it
    copies: int  # environment steps of a seed that one step of the scan makes

    @property
    def bytes(self) -> int:
        """All that is held at once."""
        return sum(self.parts.values()) + self.temporary


def measure(plan: Plan, devices: Sequence[Any], chip: Chip) -> Found:
    """Compiles the last phase for devices that are described (`ahead.describe`) and counts."""
    if plan.task.spec.backend == host.BACKEND:
        raise UserError(f"--env {plan.task.spec.name} is stepped on the host; a device cannot hold it")
    whole = dataclasses.replace(plan, mesh=dataclasses.replace(plan.mesh, seeds=plan.seeds, devices=devices))
    number, platform = len(plan.phases) - 1, "tpu" if devices[0].platform == "tpu" else "cuda"
    with ahead.as_if(platform):
        program, carry = ahead.traced(whole)
        lowered = program.lower(lowering_platforms=(platform,))
    each, rows = whole.mesh.rows // len(devices), jax.eval_shape(lambda: upload(plan))
    work = counted.within(program.jaxpr.jaxpr, ahead.NEWTON).times(1 / ahead.LENGTH)  # of one device: inside shard_map
    started = time.perf_counter()
    try:
        compiled, _ = ahead.compiled(lowered)
    except jax.errors.JaxRuntimeError as error:
        line = str(error).splitlines()[0]
        if "RESOURCE_EXHAUSTED" not in line:
            raise
        raise Failure(f"it does not fit: {each} seeds on each {chip.name} ({line}); give fewer seeds") from error
    seconds = time.perf_counter() - started
    memory = compiled.memory_analysis()
    counts = ahead.counts(compiled.as_text(), carry.ring.rows.size // len(devices) if carry.ring else 0)
    bounds = {"matrix products": work.flops / chip.flops, "memory": work.bytes / chip.bandwidth}
    if platform == "cuda":
        bounds["starting kernels"] = KERNEL * counts["kernels"]
    return Found(
        each,
        _parts(carry, rows, len(devices), memory.argument_size_in_bytes),
        memory.temp_size_in_bytes,
        counts["collectives"],
        counts["ring_copies"],
        seconds,
        bounds,
        plan.per_iteration(plan.phases[number]),
    )


def _parts(carry: Any, rows: Any, devices: int, arguments: int) -> dict[str, int]:
    """Bytes of a device by what they are; what its tiles round up is `the rest`."""
    found = rehearsal.parts(carry, rows, devices)
    return {**found, "the rest, and padding": max(arguments - sum(found.values()), 0)}


def said(found: Found, chip: Chip, devices: int) -> str:
    """The answer, for a person."""
    megabytes = lambda n: f"{n / 1e6:,.0f} MB"
    free = chip.memory - found.bytes
    fits = f"fits, {megabytes(free)} are left" if free > 0 else f"DOES NOT FIT: {megabytes(-free)} too many"
    bound = max(found.step_seconds, key=lambda name: found.step_seconds[name])
    seconds = found.step_seconds[bound]
    each = f"{found.copies} environment steps of each seed" if found.copies > 1 else "an environment step of each seed"
    lines = [
        f"{devices} x {chip.name}, {found.seeds} seeds on each, {megabytes(chip.memory)} of memory: {fits}",
        *(f"  {name}: {megabytes(n)}" for name, n in found.parts.items() if n >= 5e5),
        f"  temporary: {megabytes(found.temporary)}",
        f"collectives in the program: {', '.join(f'{n} {name}' for name, n in found.collectives.items()) or 'none'}",
        f"copies of the ring in a call of the program: {found.ring_copies}",
        f"{each}: at least {1e3 * seconds:,.2f} ms, bound by {bound} ("
        + ", ".join(f"{name} {1e3 * value:,.2f} ms" for name, value in found.step_seconds.items())
        + ")",
        f"compiled here in {found.compile_seconds:.0f} s",
    ]
    return "\n".join(lines)
