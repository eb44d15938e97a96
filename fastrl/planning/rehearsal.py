"""A run before it is one: bytes by shapes, moments by the schedule, and seconds by a few steps of each phase, measured.

Nothing is written but compiled programs, to the cache where the run itself will find them.
"""

import dataclasses
import io
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax

from fastrl.engine import enter
from fastrl.engine.phase import Carry, Phase
from fastrl.engine.plan import Plan, check
from fastrl.engine.run import Driver, upload
from fastrl.engine.schedule import Schedule
from fastrl.envs import host
from fastrl.runs.preempt import StopRequest
from fastrl.runs.progress import Progress

SECONDS = 2.0  # of steps that are measured in each phase, at least
STEPS = 50  # as many steps, at least, where they take no longer than that


@dataclasses.dataclass(frozen=True)
class Moments:
    """What a phase does, by its schedule."""

    updates: int  # of the critics, each on a minibatch
    evaluations: int
    probes: int


@dataclasses.dataclass(frozen=True)
class Pace:
    """How fast a phase was, here."""

    seconds: float  # of one step: a gradient step, or an environment step of every seed
    measured: int  # steps
    evaluation: float  # seconds of one evaluation, of agents that have learnt nothing yet; 0: there are none
    probe: float  # seconds of one row of diagnostics
    compiling: float
    temporary: int  # bytes that a call of the program needs beside what it is given


def moments(plan: Plan, number: int) -> Moments:
    """What falls due in a phase."""
    schedule, phase = Schedule(plan), plan.phases[number]
    total, length = plan.iterations(phase), schedule.length(phase, 0)
    ends = range(length, total + 1, length)
    played = 0
    if plan.env is not None:
        played = sum(schedule.evaluates(number, done) for done in ends) + schedule.opens(number)
    probes = sum(schedule.probes(phase, done) for done in ends) if schedule.probe_every(phase) else 0
    return Moments(total * phase.updates * phase.utd, played, probes)


def size(tree: Any) -> int:
    """Bytes of all arrays of a tree, or of their shapes."""
    return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(tree) if hasattr(x.dtype, "itemsize"))


def parts(carry: Carry, rows: Any, devices: int = 1) -> dict[str, int]:
    """Bytes of one device by what they are, from the shapes of a phase's carry and of the dataset's rows."""
    return {
        "replay ring": size(carry.ring) // devices,
        "agents": size((carry.seeds.agent, carry.before)) // devices,
        "environments": size(carry.seeds.env) // devices,
        "dataset": size(rows),
    }


def shapes(plan: Plan) -> tuple[Carry, Any]:
    """(shapes of the last phase's carry, which holds no less than those before; shapes of the dataset's rows)."""
    rows = jax.eval_shape(lambda: upload(plan))
    return enter.template(plan, len(plan.phases) - 1, rows), rows


def paces(plan: Plan, tell: Callable[[str], None]) -> Iterator[Pace]:
    """Compiles every phase of a plan as the run will, and times a few steps of each; `tell` hears which."""
    check(plan)
    with host.session():  # nothing is written: signals end it as they end any program
        driver, carry = Driver(plan, None, Progress(io.StringIO()), StopRequest()), None
        for number, phase in enumerate(plan.phases):
            tell(f"timing {phase.name}: compiling, then a few steps")
            carry = driver._enter(number, carry)
            pace, carry = _pace(driver, number, phase, carry)
            yield pace


def _pace(driver: Driver, number: int, phase: Phase, carry: Carry) -> tuple[Pace, Carry]:
    started = time.perf_counter()
    length = driver.schedule.length(phase, 0)
    program = driver._compile(number, length, carry)
    players, probe = driver._compile_evaluation(phase, carry), driver._compile_probe(number, carry)
    compiling = time.perf_counter() - started
    each, calls = driver.plan.per_iteration(phase), driver.plan.iterations(phase) // length
    took, carry = _call(program, carry, driver.data)
    seconds, done = took, 1
    if took < SECONDS and calls > 1:  # the first call also warms caches up: leave it out
        seconds = done = 0
        while done < calls - 1 and (seconds < SECONDS or done * length * each < STEPS):
            took, carry = _call(program, carry, driver.data)
            seconds, done = seconds + took, done + 1
    host.check()
    steps = done * length * each
    moment = driver._moment(number, carry)
    evaluation = measured = 0.0
    if players is not None:
        plays, _ = players
        evaluation = sum(_timed(play, carry.seeds.agent, driver.keys, *moment) for play in plays)
        host.check()
    if probe is not None:
        given = driver._drawn_from(number, carry)
        _timed(probe, *given)  # warms caches up
        measured = _timed(probe, *given)
    temporary = program.memory_analysis().temp_size_in_bytes
    return Pace(seconds / steps, steps, evaluation, measured, compiling, temporary), carry


def _call(program: Any, carry: Carry, data: Any) -> tuple[float, Carry]:
    started = time.perf_counter()
    carry = jax.block_until_ready(program(carry, data))
    return time.perf_counter() - started, carry


def _timed(program: Any, *given: Any) -> float:
    started = time.perf_counter()
    jax.block_until_ready(program(*given))
    return time.perf_counter() - started
