"""Steps of benchmarks/gpu.py: what the card can do at most, and whether it computes what the CPU computes.

The CPU computes in plain operations throughout, so that our kernels are compared too.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fastrl import envs
from fastrl.benchmarks import learner
from fastrl.benchmarks.card import Job, Report, in_turn, seconds
from fastrl.config import ActorCritic
from fastrl.kernels import device as kernels
from fastrl.methods import CQL, IQL, SAC
from fastrl.runs import digests, manifest
from fastrl.types import Clock, Spec

PRECISIONS = {"highest": "float32", "tensorfloat32": "TF32"}
TINY: dict[str, Any] = {"actor_hidden": (8,), "critic_hidden": (8,), "num_critics": 2, "batch_size": 8}
TASKS = ("halfcheetah", "pointmaze-medium", "hopper", "antmaze-umaze", "ant", "walker2d")
STEPS = 20


def device(report: Report) -> None:
    """Names, versions, and the ceilings: matrix products in three precisions, and a copy."""
    found, versions = jax.devices()[0], manifest.provenance()["versions"]
    report.tell("device", found.device_kind, "", platform=found.platform, versions=versions)
    size = 256 if report.dry else 8192
    for precision, name in PRECISIONS.items():
        with jax.default_matmul_precision(precision):
            report.tell(f"product {size}, {name}", _product(size, jnp.float32), "TFLOP/s", precision=precision)
    report.tell(f"product {size}, bf16", _product(size, jnp.bfloat16), "TFLOP/s", precision="bfloat16")
    count = (1 << 20) if report.dry else (1 << 30)
    copy = jax.jit(lambda x: x + 1.0, donate_argnums=0)
    duration, _ = seconds(copy, jnp.zeros(count, jnp.float32))
    report.tell("copy, bytes read and written", 2 * 4 * count / duration / 1e9, "GB/s")


def _product(size: int, dtype: Any) -> float:
    """TFLOP/s of a chain of square products of random numbers."""
    a, b = (jax.random.normal(jax.random.key(i), (size, size), dtype) for i in range(2))
    run = jax.jit(lambda x: jax.lax.fori_loop(0, 4, lambda _, y: (y @ b) * (size**-0.5), x))
    duration, _ = seconds(run, a)
    return 4 * 2 * size**3 / duration / 1e12


def worst(found: Any, expected: Any) -> tuple[float, str]:
    """(the largest error of a leaf against that leaf's largest number, which leaf); not finite counts as infinite."""
    errors = {"": 0.0}
    for name, want in digests.leaves(expected).items():
        got, want = (np.asarray(x, np.float64) for x in (digests.leaves(found)[name], want))
        error = np.abs(got - want).max(initial=0.0) / max(np.abs(want).max(initial=0.0), 1e-6)
        errors[name] = float(error) if np.isfinite(got).all() else float("inf")
    name = max(errors, key=lambda key: errors[key])
    return errors[name], name


def correctness(report: Report) -> None:
    """One update of three algorithms and 20 steps of each task, against the CPU in the same process."""
    configs = [kind(**TINY) if report.dry else kind() for kind in (SAC, CQL, IQL)]
    tasks = TASKS[1:2] if report.dry else TASKS
    with jax.default_matmul_precision("highest"):
        in_turn(report, [*(_update(report, config) for config in configs), *(_steps(report, name) for name in tasks)])


def _compared(report: Report, what: str, function: Any, arguments: Any, parts: Any) -> Job:
    """A job that runs a function on both devices; `parts(result)` are the trees to compare, by name."""
    cpu, card = jax.devices("cpu")[0], jax.devices()[0]

    def lower() -> Any:
        both = [jax.device_put(arguments(), device) for device in (cpu, card)]
        return jax.jit(function).lower(*both[1]), both

    def measure(compiled: Any, both: Any, duration: float) -> None:
        with kernels.plainly():
            expected = jax.jit(lambda *given: function(*given))(*both[0])  # a function of its own is traced anew
        found = compiled(*both[1])
        for name, tree in parts(expected).items():
            error, leaf = worst(parts(found)[name], tree)
            report.tell(f"{what}{name}", error, "of the largest", leaf=leaf, compile_seconds=round(duration, 1))

    return Job(what, lower, measure)


def _update(report: Report, config: ActorCritic) -> Job:
    shape = dataclasses.replace(learner.SHAPES["locomotion"], batch=config.batch_size, utd=getattr(config, "utd", 1))
    algorithm = config.build(Spec("any", shape.obs, shape.act, 1000))

    def arguments() -> Any:
        now = Clock(jnp.int32(0), jnp.int32(0))
        return algorithm.init(jax.random.key(0)), learner.transitions(shape, jax.random.key(1)), jax.random.key(2), now

    return _compared(
        report, f"one update, {type(config).__name__}", algorithm.update, arguments, lambda out: {"": out[0]}
    )


def _steps(report: Report, name: str) -> Job:
    env = envs.make(name)
    spec = env.spec
    low, high = np.broadcast_to(spec.action_low, spec.action_size), np.broadcast_to(spec.action_high, spec.action_size)
    actions = np.random.default_rng(0).uniform(low, high, (STEPS, spec.action_size)).astype(np.float32)

    def play(actions: jax.Array) -> Any:
        def step(state: Any, action: jax.Array) -> Any:
            state, out = env.step(jax.random.key(1), state, action)
            return state, (out.obs, out.reward)

        return jax.lax.scan(step, env.reset(jax.random.key(0))[0], actions)[1]

    def parts(out: Any) -> dict[str, Any]:
        return {", after 1 step": [x[:1] for x in out], f", {STEPS} steps": list(out)}

    return _compared(report, f"{name}", play, lambda: (jnp.asarray(actions),), parts)
