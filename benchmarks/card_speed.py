"""Steps of benchmarks/gpu.py: updates and environment steps a second; what flags, our kernels and blocks change."""

import contextlib
import dataclasses
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import jax

from fastrl.benchmarks import environments, flops
from fastrl.benchmarks import learner as learners
from fastrl.benchmarks import loop as loops
from fastrl.benchmarks.card import Job, Report, in_turn, seconds
from fastrl.benchmarks.card_basics import PRECISIONS, TINY
from fastrl.kernels import device as kernels
from fastrl.types import Spec

WORKLOADS = ("locomotion", "antmaze", "calql")
SEEDS = (64, 1, 256, 8)
TASKS = ("halfcheetah", "pointmaze-medium", "hopper", "ant")
FLAGS = (
    "",
    "--xla_gpu_enable_command_buffer=+WHILE",
    "--xla_gpu_command_buffer_unroll_loops=true",
    "--xla_gpu_graph_min_graph_size=1",
)


def learner(report: Report) -> None:
    """Critic updates a second of each workload, for seeds side by side, in two precisions."""
    seeds, workloads = (SEEDS[1:2], WORKLOADS[:1]) if report.dry else (SEEDS, WORKLOADS)
    in_turn(report, [_learner(report, w, s, p) for s in seeds for p in PRECISIONS for w in workloads])


def _learner(report: Report, workload: str, seeds: int, precision: str) -> Job:
    config, shape = learners.CONFIGS[workload], learners.SHAPES[workload]
    if report.dry:
        config = dataclasses.replace(config, **TINY)
        shape = dataclasses.replace(shape, batch=8, width=8, actor_width=8, critics=2, penalized=2)
    count = 2 if report.dry else (20 if seeds < 64 else 5)
    algorithm = config.build(Spec(workload, shape.obs, shape.act, 1000))

    def arguments() -> Any:
        keys = jax.random.split(jax.random.key(0), seeds)
        return jax.vmap(algorithm.init)(keys), jax.vmap(lambda key: learners.transitions(shape, key))(keys), keys

    def lower() -> Any:
        with jax.default_matmul_precision(precision):
            run = jax.jit(jax.vmap(learners.learner(algorithm, count)), donate_argnums=0)
            return run.lower(*jax.eval_shape(arguments)), arguments

    def measure(compiled: Any, arguments: Any, duration: float) -> None:
        state, batches, keys = jax.jit(arguments)()  # only now: those of several programs might not fit
        wall, _ = seconds(lambda state: compiled(state, batches, keys)[0], state)
        rate = seeds * count * flops.learner_step(shape) / wall / 1e12
        ceiling = next((r["value"] for r in report.lines() if r.get("precision") == precision), None)
        more = {"tflops": rate, "of_ceiling": rate / ceiling if ceiling else None, "milliseconds": wall / count * 1e3}
        more |= {"workload": workload, "seeds": seeds, "precision_used": precision}
        more["compile_seconds"] = round(duration, 1)
        report.tell(_name(workload, seeds, precision), seeds * count * shape.utd / wall, "critic updates/s", **more)

    return Job(_name(workload, seeds, precision), lower, measure)


def _name(workload: str, seeds: int, precision: str) -> str:
    return f"{workload}, {seeds} seeds, {PRECISIONS[precision]}"


def loop(report: Report) -> None:
    """The whole fine-tuning step, then the environment alone; the largest sizes first."""
    tasks: Sequence[str] = TASKS
    seeds, copies = [64, 1, 8], [1024, 8192, 64, 1]
    if report.dry:
        tasks, seeds, copies = TASKS[1:2], [2], [4]
    jobs = [_loop(report, task, seeds[0]) for task in tasks]
    jobs += [_environment(report, task, copies[0]) for task in tasks]
    jobs += [_loop(report, task, number) for number in seeds[1:] for task in tasks]
    jobs += [_environment(report, task, number) for number in copies[1:] for task in tasks]
    in_turn(report, jobs)


def choices(report: Report) -> None:
    """What our kernels give, and what the same bits alone and beside others cost: the whole step without and with."""
    jobs = []
    for task in TASKS[1:2] if report.dry else (TASKS[2], TASKS[0]):
        for seeds in (2,) if report.dry else (1, 64):
            jobs += [_loop(report, task, seeds, plain=True), _loop(report, task, seeds, exact_seeds=True)]
    in_turn(report, jobs)


def options(dry: bool) -> dict[str, Any]:
    """Networks of the whole loop: the paper's, or toys."""
    return {**TINY, "utd": 2, "backup_actions": 2} if dry else {}


def _loop(report: Report, task: str, seeds: int, plain: bool = False, **more: Any) -> Job:
    length = 2 if report.dry else 10
    name = f"{task}, {seeds} seeds{', without kernels' if plain else ''}{', exact' if more else ''}"
    given = {"seeds": seeds, "map_seeds": "vmap", "capacity": 20_000, **more}

    def lower() -> Any:
        with kernels.plainly() if plain else contextlib.nullcontext():
            plan, carry = loops.fine_tuning(task, options(report.dry), **given)
            return loops.lowered(plan, 1, carry, length), carry

    def measure(compiled: Any, carry: Any, duration: float) -> None:
        wall, _ = seconds(lambda carry: compiled(carry, None), carry, 3)
        what = {"seeds": seeds, "milliseconds": wall / length * 1e3, "compile_seconds": round(duration, 1)}
        report.tell(name, seeds * length / wall, "env-steps/s", **what)

    return Job(name, lower, measure)


def _environment(report: Report, task: str, copies: int) -> Job:
    def lower() -> Any:
        run, state = environments.stepping(task, copies)
        return jax.jit(run).lower(state), state

    def measure(compiled: Any, state: Any, duration: float) -> None:
        wall, _ = seconds(lambda state: compiled(state)[0], state, 3)
        rate = copies * environments.length(copies) / wall
        what = f"{task} alone, {copies} copies"
        report.tell(what, rate, "env-steps/s", copies=copies, compile_seconds=round(duration, 1))

    return Job(f"{task} alone, {copies} copies", lower, measure)


def flags(report: Report) -> None:
    """One flag of XLA at a time, each in a process of its own: an unknown flag ends its process."""
    for flag in FLAGS:
        name = flag or "no flag"
        if report.left <= 0:
            report.tell(name, "not reached", "")
            continue
        words = [sys.executable, "-m", "fastrl.benchmarks.card", "one-flag", str(report.path), str(report.left)]
        words += [f"--prefix={name}: ", *(["--dry"] if report.dry else [])]
        environ = {**os.environ, "XLA_FLAGS": f"{os.environ.get('XLA_FLAGS', '')} {flag}".strip()}
        done = subprocess.run(words, env=environ, stderr=subprocess.PIPE, text=True)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or [""])[-1][:200]
            report.tell(name, f"exit code {done.returncode}: {last}", "")


def one_flag(report: Report) -> None:
    """The locomotion learner at 1 and 64 seeds, under the flags that this process was started with."""
    named = dataclasses.replace(report, step="flags")
    in_turn(named, [_learner(named, "locomotion", seeds, "highest") for seeds in ((1,) if report.dry else (1, 64))])
