"""The host's loop around the scan: between two chunks it logs, evaluates, saves, draws the bar and answers signals.

Nothing here changes a result: whatever the chunk, whenever it is killed, a run ends in the same bits.
"""

import contextlib
import dataclasses
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fastrl import startup
from fastrl.engine import enter as boundary
from fastrl.engine import evaluate, probes, scan
from fastrl.engine.mesh import RING, SEED, SHARED, carry_of
from fastrl.engine.phase import Carry, Phase
from fastrl.engine.plan import Plan, check
from fastrl.engine.record import Diverged as Diverged
from fastrl.engine.record import Record
from fastrl.engine.schedule import Schedule
from fastrl.envs import host
from fastrl.replay import ring as rings
from fastrl.runs import hang, processes
from fastrl.runs.checkpoint import Checkpoints
from fastrl.runs.preempt import Interrupted as Interrupted
from fastrl.runs.preempt import StopRequest
from fastrl.runs.progress import Progress
from fastrl.types import State, UserError


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The end of a run: the carry and the rows of the log."""

    carry: Carry  # on the devices
    agents: State  # [S]
    rows: list[dict[str, Any]]
    timing: list[dict[str, Any]]


def upload(plan: Plan) -> jax.Array | None:
    """The dataset's rows `[M, W]` on the device, once however many seeds."""
    if plan.dataset is None:
        return None
    task = plan.task
    return rings.pack_dataset(
        plan.dataset, scale=task.reward_scale, bias=task.reward_bias, discount=task.discount, failure=task.failure
    )


class Driver:
    """Runs the phases of a plan, in memory (`path=None`) or in a run folder."""

    def __init__(self, plan: Plan, path: Path | None, progress: Progress, stop: StopRequest):
        self.plan, self.path, self.progress, self.stop, self.mesh = plan, path, progress, stop, plan.mesh
        self.record, self.schedule = Record(plan, path, progress), Schedule(plan)
        self.checkpoints = Checkpoints(path / "checkpoints", rows=plan.seeds, together=True) if path else None
        self.timing: list[dict[str, Any]] = []
        self.saved, self.safe = time.monotonic(), -1  # when, and the step of the newest checkpoint
        self.keys = self.mesh.spread(plan.keys())
        self.data = self.mesh.share(upload(plan))
        self.players: dict[str, Any] = {}
        self.judges: dict[str, Any] = {}
        self.measures: dict[str, Any] = {}

    # -- the phases -----------------------------------------------------------------------------

    def run(self) -> Outcome:
        """All phases, from the newest good checkpoint or from the start."""
        number, carry = self._restore()
        for n in range(number, len(self.plan.phases)):
            carry = self._phase(n, carry if n == number else self._enter(n, carry))
        assert carry is not None
        agents = jax.tree.map(jnp.asarray, self.mesh.fetch(carry.seeds.agent))
        return Outcome(carry, agents, self.record.rows, self.timing)

    def _restore(self) -> tuple[int, Carry]:
        restored = None
        if self.checkpoints:
            restored = self.checkpoints.restore(
                lambda meta: boundary.template(self.plan, meta["phase"], self.data), self.progress.message
            )
        if restored is None:
            self.record.restart(0, [])
            return 0, self._enter(0, None)
        meta, self.safe = restored.meta, restored.step
        self.timing = meta["timing"]
        self.record.restart(meta["rows"], self.timing)
        phase = self.plan.phases[meta["phase"]]
        steps = int(restored.carry.step) * self.plan.per_iteration(phase)
        self.progress.message(f"resumed at step {steps} of {phase.name}")
        return meta["phase"], self.mesh.laid(restored.carry)

    def _enter(self, number: int, before: Carry | None) -> Carry:
        """Crosses a boundary; the ring is donated, everything else may change shape."""
        ring, rest = boundary.apart(before)
        shape = carry_of(ring=ring is not None or self.plan.phases[number].online)
        parts = None if ring is None else RING, None if rest is None else carry_of(ring=False)
        held = (SEED, SEED, *parts, SEED, SHARED)
        program = self.mesh.jit(boundary.enter(self.plan, number), held, shape, donate=(2,))
        numbers, start = self.mesh.spread((self.plan.numbers(number), self.plan.start if before is None else None))
        given = (self.keys, numbers, ring, rest, start, self.data)
        with self._compiling():
            program = program.lower(*given).compile()
        carry = jax.block_until_ready(program(*given))
        host.check()
        return carry

    def _phase(self, number: int, carry: Carry) -> Carry:
        plan, phase = self.plan, self.plan.phases[number]
        total, done = plan.iterations(phase), int(carry.step)
        if done >= total:
            return carry
        timing = self._timing(number)
        started = time.monotonic()
        length = self.schedule.length(phase, done)
        with self._compiling():
            program = self._compile(number, length, carry)
            evaluation, probe = self._compile_evaluation(phase, carry), self._compile_probe(number, carry)
        startup.return_free_memory()
        timing["compile_seconds"] += time.monotonic() - started
        each = plan.per_iteration(phase)
        self.progress.phase(phase.name, total * each, done * each)
        if done == 0 and self.schedule.opens(number):
            carry = self._evaluate(number, carry, evaluation)
        while done < total:
            with hang.watched(plan.hang_minutes):
                started, last = time.monotonic(), (carry, len(self.record.rows))
                carry = jax.block_until_ready(program(carry, self.data))
                done += length
                timing["seconds"] += time.monotonic() - started
                timing["steps"] = done * each
                try:
                    host.check()
                    if self.schedule.logs(phase, done):
                        self.record.train(number, done, carry)
                    if probe is not None and self.schedule.probes(phase, done):
                        self._probe(number, carry, probe)
                    if self.schedule.evaluates(number, done):
                        carry = self._evaluate(number, carry, evaluation)
                except UserError:  # a simulator failed: everything before this chunk is good
                    self._checkpoint(number, *last)
                    raise
                self.progress.update(done * each, self.record.note())
                self._save(number, carry, end=done == total)
        return carry

    # -- programs -------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _compiling(self) -> Iterator[None]:
        """Nothing that is not saved would be lost here: a signal is answered within it, or behind it at once."""
        with self.stop.compiling() if self.path else contextlib.nullcontext():
            yield
        (signal,) = processes.agree(self.stop.requested or 0)
        if signal:
            raise Interrupted(signal)

    def _compile(self, number: int, length: int, carry: Carry) -> Any:
        plan = self.plan
        program = scan.chunk(plan, number, length, self.schedule.log_every(plan.phases[number]))
        donated = () if plan.task.spec.backend == host.BACKEND else (0,)  # a simulator may fail: keep what was before
        shape = carry_of(ring=carry.ring is not None)
        return self.mesh.jit(program, (shape, SHARED), shape, donated).lower(carry, self.data).compile()

    def _compile_evaluation(self, phase: Phase, carry: Carry) -> Any:
        """What plays and what judges an agent; the stages of one method act alike, and share the first."""
        plan = self.plan
        if plan.env is None:
            return None
        algorithm, own = phase.algorithm(), str(phase.config)
        learning = {"stage": "finetune", "critics_alone": False}  # what decides how an agent learns, not how it plays
        same: Any = {name: value for name, value in learning.items() if hasattr(phase.config, name)}
        alike = str(dataclasses.replace(phase.config, **same))
        if alike not in self.players:
            self.players[alike] = [
                self.mesh.jit(
                    evaluate.program(plan.env, algorithm, plan.eval_episodes, plan.block, explore),
                    (SEED, SEED, SHARED, SHARED),
                    SEED,
                )
                .lower(carry.seeds.agent, self.keys, *self._moment(0, carry))
                .compile()
                for explore in ((False, True) if plan.eval_sampled else (False,))
            ]
        if own not in self.judges:
            judged = None if algorithm.judge is None else evaluate.judged(algorithm)
            self.judges[own] = None if judged is None else self.mesh.jit(judged, SEED, SEED)
        return self.players[alike], self.judges[own]

    def _compile_probe(self, number: int, carry: Carry) -> Any:
        """The diagnostics of a phase; phases with one agent share them."""
        phase = self.plan.phases[number]
        own = f"{phase.online} {phase.config} {carry.before is None}"
        if own not in self.measures:
            measure = probes.program(self.plan, number) if self.plan.probe_every else None
            held = (SEED, SEED, None if carry.ring is None else RING, SHARED, SEED, SHARED, SHARED)
            given = self._drawn_from(number, carry)
            self.measures[own] = measure and self.mesh.jit(measure, held, SEED).lower(*given).compile()
        return self.measures[own]

    # -- evaluation -----------------------------------------------------------------------------

    def _evaluate(self, number: int, carry: Carry, programs: Any) -> Carry:
        """Plays, logs what was found, and lets the algorithm judge its policy by it: in this order, then a save."""
        if programs is None:
            return carry
        play, judge = programs
        started = time.monotonic()
        results = [self.mesh.fetch(each(carry.seeds.agent, self.keys, *self._moment(number, carry))) for each in play]
        result = results[0]
        returns, lengths = (np.asarray(x, np.float64) for x in (result.episode_return, result.length))
        host.check()
        row: dict[str, Any] = {"kind": "eval", **self.record.position(number, int(carry.step))}
        found = {"return": returns.mean(1), "length": lengths.mean(1), **evaluate.rates(result, self.plan.task.spec)}
        if len(results) > 1:
            found["sampled_return"] = np.asarray(results[1].episode_return, np.float64).mean(1)
        good = self.mesh.fetch(carry.seeds.health).good
        row |= {name: np.where(good, value, math.nan).tolist() for name, value in found.items()}
        earlier = next((known["eval_steps"] for known in reversed(self.record.rows) if known["kind"] == "eval"), 0)
        row["eval_steps"] = earlier + sum(int(np.asarray(each.length).sum(1).max()) for each in results)
        self._timing(number)["evaluation_seconds"] += time.monotonic() - started
        self.record.append(row)
        if judge is None:
            return carry
        scores = self.mesh.spread(jnp.asarray(returns.mean(1), jnp.float32))
        agent = judge(carry.seeds.agent, scores, carry.seeds.health.good)
        return dataclasses.replace(carry, seeds=dataclasses.replace(carry.seeds, agent=agent))

    def _probe(self, number: int, carry: Carry, measure: Any) -> None:
        """Logs a row of diagnostics, NaN for a frozen seed."""
        started = time.monotonic()
        found = self.mesh.fetch(measure(*self._drawn_from(number, carry)))
        good = self.mesh.fetch(carry.seeds.health).good
        row: dict[str, Any] = {"kind": "probe", **self.record.position(number, int(carry.step))}
        row |= {name: np.where(good, value, math.nan).tolist() for name, value in sorted(found.items())}
        self.record.append(row | probes.contents(self.plan, number, int(carry.step)))
        self._timing(number)["probe_seconds"] += time.monotonic() - started

    def _drawn_from(self, number: int, carry: Carry) -> tuple[Any, ...]:
        """What diagnostics are given."""
        return carry.seeds.agent, carry.before, carry.ring, self.data, self.keys, *self._moment(number, carry)

    def _moment(self, number: int, carry: Carry) -> tuple[jax.Array, jax.Array]:
        """The part that a phase belongs to, and the step of it: where evaluations and diagnostics draw from."""
        part, before = self.plan.part(number)
        return jnp.int32(part), jnp.int32(before) + carry.step * self.plan.phases[number].rollout

    def _timing(self, number: int) -> dict[str, Any]:
        if len(self.timing) <= number:
            parts = ("seconds", "compile_seconds", "evaluation_seconds", "probe_seconds")
            self.timing.append({"name": self.plan.phases[number].name, "steps": 0, **dict.fromkeys(parts, 0.0)})
        return self.timing[number]

    # -- saving ---------------------------------------------------------------------------------

    def _save(self, number: int, carry: Carry, end: bool) -> None:
        """Saves when it is time, at the end of a phase, and when a signal asked the run to leave."""
        passed = time.monotonic() - self.saved >= 60 * self.plan.checkpoint_minutes
        due, signal = processes.agree(passed, self.stop.requested or 0)
        if end or due or signal:
            self._checkpoint(number, carry, len(self.record.rows))
        if signal:
            raise Interrupted(signal)

    def _checkpoint(self, number: int, carry: Carry, rows: int) -> None:
        """Saves a carry and how much of the log belongs to it, unless that step is safe."""
        step = sum(self.plan.iterations(phase) for phase in self.plan.phases[:number]) + int(carry.step)
        if self.checkpoints is None or self.path is None or step <= self.safe:
            return
        if self.plan.seeds == 1:  # its last step may be bad and was not undone: what was saved before stays the newest
            self.record.frozen(number, int(carry.step), carry)
        meta = {"phase": number, "rows": rows, "timing": self.timing}
        self.checkpoints.save(step, carry, meta)
        self.record.describe(self.timing)
        self.saved, self.safe = time.monotonic(), step


def run(plan: Plan, path: Path | None, progress: Progress) -> Outcome:
    """Runs a plan to its end (WSRL, Algorithm 1, is the plan of `recipes.wsrl`)."""
    check(plan)
    with StopRequest() as stop, host.session():
        driver, complete = Driver(plan, path, progress, stop), False
        try:
            with processes.explained():
                outcome = driver.run()
            complete = True
            return outcome
        finally:
            progress.close()
            driver.record.close(complete)
