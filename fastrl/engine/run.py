"""The host's loop around the scan: between two chunks it logs, evaluates, saves, draws the bar and answers signals.

Nothing here changes a result: whatever the chunk, whenever it is killed, a run ends in the same bits.
"""

import dataclasses
import math
import time
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fastrl import launch
from fastrl.engine import enter as boundary
from fastrl.engine import evaluate, health, scan, seeds
from fastrl.engine.phase import Carry, Phase
from fastrl.engine.plan import Plan
from fastrl.envs import host
from fastrl.replay import ring as replay
from fastrl.runs import folder, log
from fastrl.runs.checkpoint import Checkpoints
from fastrl.runs.log import MetricsLog
from fastrl.runs.preempt import StopRequest
from fastrl.runs.progress import Progress
from fastrl.types import Algorithm, UserError


class Interrupted(Exception):
    """A signal asked the run to stop; everything is saved."""

    def __init__(self, signal: int):
        super().__init__(f"stopped by signal {signal}; everything is saved, --resume continues")
        self.signal = signal


class Diverged(Exception):
    """Numbers stopped being finite, and no seed goes on."""


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The end of a run: the carry and the rows of the log."""

    carry: Carry
    rows: list[dict[str, Any]]
    timing: list[dict[str, Any]]


def divisor(number: int, most: int) -> int:
    """The largest divisor of `number` that is at most `most` (and at least 1)."""
    return max(d for d in range(1, max(1, min(number, most)) + 1) if number % d == 0)


def upload(plan: Plan) -> jax.Array | None:
    """The dataset's rows `[M, W]` on the device, once however many seeds."""
    if plan.dataset is None:
        return None
    task = plan.task
    return replay.pack_dataset(
        plan.dataset, scale=task.reward_scale, bias=task.reward_bias, discount=task.discount, failure=task.failure
    )


class Driver:
    """Runs the phases of a plan, in memory (`path=None`) or in a run folder."""

    def __init__(self, plan: Plan, path: Path | None, progress: Progress, stop: StopRequest):
        self.plan, self.path, self.progress, self.stop = plan, path, progress, stop
        self.log = MetricsLog(path) if path else None
        self.checkpoints = Checkpoints(path / "checkpoints") if path else None
        self.rows: list[dict[str, Any]] = []
        self.timing: list[dict[str, Any]] = []
        self.evaluations = 0
        self.saved, self.safe = time.monotonic(), -1  # when, and the step of the newest checkpoint
        self.keys = seeds.keys(plan.seed, plan.seeds)
        self.data = upload(plan)
        self.log_every = divisor(plan.eval_every, plan.eval_every // 10)
        self.evaluators: dict[Algorithm, Any] = {}

    # -- the phases -----------------------------------------------------------------------------

    def run(self) -> Outcome:
        """All phases, from the newest good checkpoint or from the start."""
        number, carry = self._restore()
        for n in range(number, len(self.plan.phases)):
            carry = self._phase(n, carry if n == number else self._enter(n, carry))
        assert carry is not None
        return Outcome(carry, self.rows, self.timing)

    def _restore(self) -> tuple[int, Carry]:
        restored = None
        if self.checkpoints:
            restored = self.checkpoints.restore(
                lambda meta: boundary.template(self.plan, meta["phase"], self.data), self.progress.message
            )
        if restored is None:
            if self.log:
                self.log.truncate(0)
            return 0, self._enter(0, None)
        meta, self.safe = restored.meta, restored.step
        assert self.log is not None and self.path is not None
        self.log.truncate(meta["rows"])
        self.rows = self.log.read(self.path)
        self.timing, self.evaluations = meta["timing"], meta["evaluations"]
        self.progress.message(f"resumed at step {int(restored.carry.step)} of {self.plan.phases[meta['phase']].name}")
        return meta["phase"], restored.carry

    def _enter(self, number: int, before: Carry | None) -> Carry:
        """Crosses a boundary; the ring is donated, everything else may change shape."""
        program = jax.jit(boundary.enter(self.plan, number), donate_argnums=1)
        ring, state = (None, None) if before is None else (before.ring, before.seeds)
        carry = jax.block_until_ready(program(self.keys, ring, state, self.plan.start, self.data))
        host.check()
        return carry

    def _phase(self, number: int, carry: Carry) -> Carry:
        plan, phase = self.plan, self.plan.phases[number]
        total, done = plan.iterations(phase), int(carry.step)
        if done >= total:
            return carry
        timing = self._timing(number)
        started = time.monotonic()
        length = divisor(math.gcd(total, self.log_every), plan.chunk)
        program = self._compile(number, length, carry)
        evaluation = self._compile_evaluation(phase, carry)
        launch.return_free_memory()
        timing["compile_seconds"] += time.monotonic() - started
        self.progress.phase(phase.name, total, done)
        if number == 0 and done == 0:
            self._evaluate(number, carry, evaluation)
        while done < total:
            started, last = time.monotonic(), (carry, len(self.rows), self.evaluations)
            carry = jax.block_until_ready(program(carry, self.data))
            done += length
            timing["seconds"] += time.monotonic() - started
            timing["steps"] = done * (plan.task.num_envs if phase.online else 1)
            try:
                host.check()
                if done % self.log_every == 0 or done == total:
                    self._record(number, done, carry)
                if self._due(number, done, total):
                    self._evaluate(number, carry, evaluation)
            except UserError:  # a simulator failed: everything before this chunk is good
                self._checkpoint(number, *last)
                raise
            self.progress.update(done, self._note())
            self._save(number, carry, end=done == total)
        return carry

    def _due(self, number: int, done: int, total: int) -> bool:
        """Evaluations: every `eval_every` while learning, at each end, and just after updates begin online."""
        phase = self.plan.phases[number]
        if done == total:
            return True
        if not phase.updates:
            return False
        return done % self.plan.eval_every == 0 or (phase.online and done == self.log_every)

    # -- programs -------------------------------------------------------------------------------

    def _compile(self, number: int, length: int, carry: Carry) -> Any:
        plan = self.plan
        program = scan.chunk(plan.phases[number], number, plan.task, length, self.log_every, plan.side_by_side)
        donated = () if plan.task.spec.backend == host.BACKEND else 0  # a simulator may fail: keep what was before
        return jax.jit(program, donate_argnums=donated).lower(carry, self.data).compile()

    def _compile_evaluation(self, phase: Phase, carry: Carry) -> Any:
        """One program an algorithm: warm-up and fine-tuning share theirs."""
        plan = self.plan
        if plan.env is None:
            return None
        if phase.algorithm not in self.evaluators:
            program = evaluate.program(plan.env, phase.algorithm, plan.eval_episodes, plan.side_by_side)
            lowered = jax.jit(program).lower(carry.seeds.agent, self.keys, jnp.int32(0))
            self.evaluators[phase.algorithm] = lowered.compile()
        return self.evaluators[phase.algorithm]

    # -- rows -----------------------------------------------------------------------------------

    def _position(self, number: int, done: int) -> dict[str, Any]:
        """Where a row stands: the phase, its step, and the steps online and offline so far."""
        counts = {"online": 0, "offline": 0}
        for n, phase in enumerate(self.plan.phases[: number + 1]):
            steps = done * (self.plan.task.num_envs if phase.online else 1) if n == number else phase.steps
            counts["online" if phase.online else "offline"] += steps
        return {"phase": self.plan.phases[number].name, "step": done, **counts}

    def _append(self, row: dict[str, Any]) -> None:
        self.rows.append(row)
        if self.log:
            self.log.append(row)

    def _record(self, number: int, done: int, carry: Carry) -> None:
        """One row of training metrics: means over the steps since the last row, NaN for a frozen seed."""
        self._note_frozen(number, done, carry)
        good = np.asarray(carry.seeds.health.good)
        totals = {name: np.asarray(value) for name, value in carry.seeds.totals.items()}
        steps, ended = totals.pop("steps"), totals.pop("rollout/episodes", None)
        row: dict[str, Any] = {"kind": "train", **self._position(number, done)}
        for name, value in sorted(totals.items()):
            count = ended if name.startswith("rollout/") else steps
            assert count is not None
            means = [float(v / c) if c else math.nan for v, c in zip(value, count, strict=True)]
            row[name] = np.where(good, means, math.nan).tolist()
        self._append(row)

    def _note_frozen(self, number: int, done: int, carry: Carry) -> None:
        """Logs the seeds that were frozen since the last row; `Diverged` where none may be, or none is left."""
        known, found = {row["seed"] for row in self.rows if row["kind"] == "frozen"}, carry.seeds.health
        bad, at = np.asarray(found.bad), np.asarray(found.step)
        phase, line = self.plan.phases[number], ""
        for seed in (int(seed) for seed in np.flatnonzero(bad) if seed not in known):
            what, remedy = health.cause(int(bad[seed]), health.names(carry.seeds.totals, phase.online))
            line = f"seed {seed}: {health.said(what, int(at[seed]) + 1, phase.name)}; {remedy}"
            if not self.plan.freeze:
                others = "; --resume --on-nan freeze lets the other seeds go on" if len(bad) > 1 and self.path else ""
                raise Diverged(line + others)
            row = {"kind": "frozen", **self._position(number, done), "seed": seed, "at": int(at[seed]) + 1}
            self._append({**row, "what": what})
            self.progress.message(f"{line}; this seed is frozen at its last good update, the others go on")
        if bad.all():
            raise Diverged(f"every seed is frozen, the last one for this: {line}" if len(bad) > 1 else line)

    def _evaluate(self, number: int, carry: Carry, program: Any) -> None:
        if program is None:
            return
        started = time.monotonic()
        result = program(carry.seeds.agent, self.keys, jnp.int32(self.evaluations))
        returns, lengths = (np.asarray(x, np.float64) for x in (result.episode_return, result.length))
        host.check()
        row: dict[str, Any] = {"kind": "eval", **self._position(number, int(carry.step))}
        found = {"return": returns.mean(1), "length": lengths.mean(1), **evaluate.rates(result, self.plan.task.spec)}
        good = np.asarray(carry.seeds.health.good)
        row |= {name: np.where(good, value, math.nan).tolist() for name, value in found.items()}
        self.evaluations += 1
        self._timing(number)["evaluation_seconds"] += time.monotonic() - started
        self._append(row)

    def _note(self) -> str:
        last = next((row for row in reversed(self.rows) if row["kind"] == "eval"), None)
        if last is None:
            return ""
        name = log.measure([last])
        return f"{log.QUANTITIES[name]} {np.nanmean(np.asarray(last[name], float)):.2f}"

    def _timing(self, number: int) -> dict[str, Any]:
        if len(self.timing) <= number:
            empty = {"seconds": 0.0, "steps": 0, "compile_seconds": 0.0, "evaluation_seconds": 0.0}
            self.timing.append({"name": self.plan.phases[number].name, **empty})
        return self.timing[number]

    # -- saving ---------------------------------------------------------------------------------

    def _save(self, number: int, carry: Carry, end: bool) -> None:
        """Saves when it is time, at the end of a phase, and when a signal asked the run to leave."""
        signal = self.stop.requested
        due = time.monotonic() - self.saved >= 60 * self.plan.checkpoint_minutes
        if end or due or signal is not None:
            self._checkpoint(number, carry, len(self.rows), self.evaluations)
        if signal is not None:
            raise Interrupted(signal)

    def _checkpoint(self, number: int, carry: Carry, rows: int, evaluations: int) -> None:
        """Saves a carry and how much of the log belongs to it, unless that step is safe."""
        step = sum(self.plan.iterations(phase) for phase in self.plan.phases[:number]) + int(carry.step)
        if self.checkpoints is None or self.path is None or step <= self.safe:
            return
        meta = {"phase": number, "rows": rows, "evaluations": evaluations, "timing": self.timing}
        self.checkpoints.save(step, carry, meta)
        folder.write_json(self.path / "timing.json", {"phases": self.timing})
        self.saved, self.safe = time.monotonic(), step


def run(plan: Plan, path: Path | None, progress: Progress) -> Outcome:
    """Runs a plan to its end (WSRL, Algorithm 1, is the plan of `recipes.wsrl`)."""
    if not plan.phases:
        raise UserError("nothing to run: every phase has 0 steps; raise --steps or --pretrain-steps")
    with StopRequest() as stop:
        driver = Driver(plan, path, progress, stop)
        try:
            return driver.run()
        finally:
            host.close()
            progress.close()
            if driver.log:
                driver.log.close()
