"""`--dry-run`: what a run would do, what it would hold and write, and how long it would take, measured here."""

from collections.abc import Sequence
from pathlib import Path

from fastrl.cli.catalogue import aligned
from fastrl.cli.datasets import to_stderr
from fastrl.engine.plan import Plan
from fastrl.methods import name_of
from fastrl.planning import plan as plans
from fastrl.planning import rehearsal
from fastrl.planning.rehearsal import Moments, Pace
from fastrl.planning.request import Request
from fastrl.runs import folder
from fastrl.runs.checkpoint import KEEP
from fastrl.runs.folder import Resume


def report(runs: Sequence[tuple[Request, Path]], resume: Resume) -> str:
    """The page of a run; of several, one after another, that of the first. Raises what the runs would raise."""
    plans_made = []
    for request, out in runs:
        plan, identity = plans.make(request)
        folder.check(out, identity, resume)
        for line in plans.warnings(request, plan):
            to_stderr(f"note: {line}")
        plans_made.append(plan)
    (request, out), plan = runs[0], plans_made[0]
    paces = list(rehearsal.paces(plan, to_stderr))
    moments = [rehearsal.moments(plan, number) for number in range(len(plan.phases))]
    head = f"{request.name} on {plan.task.spec.name}: nothing was run, nothing is written"
    if len(runs) > 1:
        head += f"\nThe first of {len(runs)} runs, one after another; the others were checked and not timed."
    carry, rows = rehearsal.shapes(plan)
    memory = rehearsal.parts(carry, rows, len(plan.mesh.devices))
    memory["temporary"] = max(pace.temporary for pace in paces)
    whole, agents = rehearsal.size(carry), rehearsal.size(carry.seeds.agent)
    sections = (_subject(plan), _phases(plan, moments), _time(plan, moments, paces))
    return "\n\n".join([head, *sections, _memory(plan, memory), _disk(plan, out, whole, agents)])


def _subject(plan: Plan) -> str:
    """Seeds, devices, environments and data."""
    points, devices, spec = len(plan.points), plan.mesh.devices, plan.task.spec
    sides = {1: "one after another", None: "side by side"}
    seeds = f"{plan.seeds // points}, {sides.get(plan.block, f'side by side in blocks of {plan.block}')}"
    if points > 1:
        seeds += f", at each of {points} points of the sweep: {plan.seeds} rows of one run"
    shared = f", {plan.mesh.per_seed} for each seed" if plan.mesh.per_seed > 1 else ""
    rewards = f"rewards are multiplied by {plan.task.reward_scale:g}, and {plan.task.reward_bias:g} is added"
    data = plan.dataset
    held = "none" if data is None else f"{data.name}: {data.rows:,} rows, {int(data.boundary.sum()):,} trajectories"
    rows = {
        "seeds": seeds,
        "devices": f"{len(devices)} x {devices[0].device_kind}{shared}",
        "envs": f"{plan.task.num_envs} for each seed ({spec.backend}); {rewards}",
        "data": held,
    }
    return "\n".join(f"{name:8} {value}" for name, value in rows.items())


def _phases(plan: Plan, moments: Sequence[Moments]) -> str:
    rows = []
    for phase, found in zip(plan.phases, moments, strict=True):
        steps = f"{phase.steps:,} {'environment' if phase.online else 'gradient'}"
        cells = (steps, f"{found.updates:,}", str(found.evaluations), f"{phase.offline_ratio:.0%}")
        rows.append((phase.name, name_of(phase.config), *cells))
    return aligned(("phase", "method", "steps", "updates", "evaluations", "offline rows"), rows)


def _time(plan: Plan, moments: Sequence[Moments], paces: Sequence[Pace]) -> str:
    """All together, then a line for each phase and for what interrupts them."""
    rows, total = [], 0.0
    for phase, pace in zip(plan.phases, paces, strict=True):
        total += (seconds := phase.steps * pace.seconds)
        measured = f"measured over {pace.measured:,} steps: {short(pace.seconds)} a step"
        rows.append((phase.name, f"about {duration(seconds)} ({measured})"))
    for name, counts, each in (
        ("evaluation", [found.evaluations for found in moments], [pace.evaluation for pace in paces]),
        ("diagnostics", [found.probes for found in moments], [pace.probe for pace in paces]),
    ):
        if seconds := sum(count * one for count, one in zip(counts, each, strict=True)):
            total += seconds
            rows.append((name, f"about {duration(seconds)} ({sum(counts)} times; {short(max(each))} here)"))
    compiling = duration(sum(pace.compiling for pace in paces))
    lines = [
        f"time     about {duration(total)}, on this machine as busy as it is now",
        *(f"  {a:12} {b}" for a, b in rows),
    ]
    lines.append(f"  compiling is extra: it took {compiling} now, and the run finds most of it done")
    if any(pace.evaluation for pace in paces):
        lines.append("  evaluations were timed with untrained agents, whose episodes may be shorter")
    return "\n".join(lines)


def _memory(plan: Plan, memory: dict[str, int]) -> str:
    """Bytes of one device."""
    each = " on each device" if len(plan.mesh.devices) > 1 else ""
    notes = {"replay ring": f"{plan.seeds} x {plan.capacity:,} rows", "temporary": "while a step is computed"}
    lines = [f"memory   {amount(sum(memory.values()))}{each}, beside jax itself"]
    lines += [f"  {name:12} {amount(n):>9}  {notes.get(name, '')}".rstrip() for name, n in memory.items() if n]
    return "\n".join(lines)


def _disk(plan: Plan, out: Path, whole: int, agents: int) -> str:
    """What would be written where."""
    lines = [
        f"disk     {out} would hold about {amount(KEEP * whole + agents)}",
        f"  checkpoints  {amount(KEEP * whole):>9}  the newest {KEEP}, one every {plan.checkpoint_minutes:g} minutes",
        f"  agent        {amount(agents):>9}  all seeds at the end",
        "  and config.json, metrics.jsonl, timing.json, report.md and its picture",
    ]
    return "\n".join(lines)


def duration(seconds: float) -> str:
    """`3 h 20 min`, `2 min 5 s`, `12 s` or `0.4 s`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


def short(seconds: float) -> str:
    """`4.1 ms`, `32 us` or `1.2 s`."""
    for unit, factor in (("s", 1.0), ("ms", 1e3), ("us", 1e6)):
        if seconds * factor >= 1:
            return f"{seconds * factor:.3g} {unit}"
    return f"{seconds * 1e6:.2g} us"


def amount(count: int) -> str:
    """Bytes for a person: `96 kB`, `5.1 MB` or `2.31 GB`."""
    if count < 1e5:
        return f"{count / 1e3:,.0f} kB"
    return f"{count / 1e6:,.1f} MB" if count < 1e9 else f"{count / 1e9:,.2f} GB"
