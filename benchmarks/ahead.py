"""A run's last phase, compiled ahead of time for devices that are described and not there, and what its text holds.

The program is the one that `fastrl run` makes for the paper's options, seeds side by side, its seed axis cut over the
devices of the target. Without a device XLA cannot try tile sizes, so nothing here is a time of the program.
"""

import contextlib
import dataclasses
import time
from typing import Any
from unittest import mock

import jax
from jax.experimental import topologies

from fastrl import envs
from fastrl.benchmarks import hlo
from fastrl.benchmarks.memory import dataset
from fastrl.config import RunOptions
from fastrl.engine import enter, scan
from fastrl.engine.mesh import SHARED, carry_of
from fastrl.engine.run import upload
from fastrl.envs import host
from fastrl.errors import UserError
from fastrl.planning import plan
from fastrl.planning import request as requests
from fastrl.recipes import names

STEPS = 200_000  # also rows of each seed's ring
DATA = 10_000  # random rows that stand for the dataset of a recipe that needs one
LENGTH = 10  # steps of a chunk
LOG_EVERY = 1_000
NEWTON = 2  # rounds of MJX's solver that totals are quoted at: 2 to 3 under a trained policy

UNTILED = "output tile sizes"  # of the error that XLA's Triton back end gives up with
WITHOUT_TRITON = {"xla_gpu_enable_triton_gemm": False}

H100 = """gpu_device_info { threads_per_block_limit: 1024 threads_per_warp: 32 shared_memory_per_block: 49152
shared_memory_per_core: 233472 threads_per_core_limit: 2048 core_count: 132 fpus_per_core: 128
block_dim_limit_x: 2147483647 block_dim_limit_y: 65535 block_dim_limit_z: 65535 memory_bandwidth: 3352320000000
l2_cache_size: 52428800 clock_rate_ghz: 1.98 device_memory_size: 84942979072 shared_memory_per_block_optin: 232448
cuda_compute_capability { major: 9 } registers_per_core_limit: 65536 registers_per_block_limit: 65536 }
platform_name: "CUDA" dnn_version_info { major: 9 minor: 10 } device_description_str: "NVIDIA H100 80GB HBM3" """
"""What XLA's CUDA compiler wants to know of a card."""


def measure(target: str, env: str, recipe: str, seeds: int, **overrides: Any) -> dict[str, Any]:
    """Compiles for `target` (`h100` or a TPU such as `v5e:2x4`) and counts; `overrides` are options of algorithms."""
    devices = describe(target)
    if seeds % len(devices):
        raise UserError(f"--seeds {seeds} do not divide among the {len(devices)} devices of {target}; give a multiple")
    platform = "cuda" if target == "h100" else "tpu"
    with as_if(platform):
        program, carry = traced(_planned(env, recipe, seeds, overrides, devices))
        lowered = program.lower(lowering_platforms=(platform,))
    start = time.perf_counter()
    program, chosen = compiled(lowered)
    seconds = time.perf_counter() - start
    memory, ring = program.memory_analysis(), carry.ring.rows
    return {
        "compile_seconds": round(seconds, 1),
        "argument_bytes": memory.argument_size_in_bytes,
        "temporary_bytes": memory.temp_size_in_bytes,
        "ring_bytes": ring.size * ring.dtype.itemsize // len(devices),
        **counts(program.as_text(), ring.size // len(devices)),
        **({"xla_options": chosen} if chosen else {}),
        "jax": jax.__version__,
    }


def compiled(lowered: Any) -> tuple[Any, dict[str, bool]]:
    """A lowered program, compiled, and XLA's options for it: those that keep products from Triton, where they must.

    That back end finds no tile sizes for some products where there is no card to try them on, and says so in an error.
    """
    try:
        return lowered.compile(), {}
    except jax.errors.JaxRuntimeError as error:
        if UNTILED not in str(error):
            raise
        return lowered.compile(compiler_options=WITHOUT_TRITON), WITHOUT_TRITON


def as_if(platform: str) -> contextlib.AbstractContextManager[Any]:
    """Within it whoever asks which device this is (the plan, MJX) gets the target's answer, not this processor's."""
    return mock.patch.object(jax, "default_backend", lambda: "gpu" if platform == "cuda" else platform)


def describe(target: str) -> list[Any]:
    """The devices of a target that is not there."""
    try:
        if target == "h100":
            shape = {"target_config": H100, "topology": "1x1x1"}
            return topologies.get_topology_desc(platform="cuda", topology_name="h100", **shape).devices
        return topologies.get_topology_desc(platform="tpu", topology_name=target).devices
    except RuntimeError as error:
        raise UserError(f"--target {target}: {str(error).splitlines()[0]}; name one such as v5e:2x4") from error


def counts(text: str, ring: int) -> dict[str, Any]:
    """What the text of a compiled chunk holds; `ring` is the elements of a device's ring."""
    program = hlo.parse(text)
    loops = [body for _, body in program.block(program.entry).loops]
    step = max(loops, key=lambda body: hlo.total(body, NEWTON)["kernels"])
    sums = hlo.total(step, NEWTON)
    calls = {name.partition(" ")[2]: n for name, n in sums.items() if name.startswith("custom-call ")}
    return {
        "ring_copies": program.copies_of(ring),
        "collectives": program.collectives(),
        "step": hlo.formula(step),
        "newton_rounds": NEWTON,
        "kernels": sums["kernels"],
        "copies": sums["copies"],
        "custom_calls": calls,
        "decisions": sums["decisions"],
        "branch_kernels": [hlo.in_branches(step, NEWTON, choose) for choose in (min, max)],
    }


def _planned(env: str, recipe: str, seeds: int, overrides: dict[str, Any], devices: list[Any]) -> enter.Plan:
    made, function = envs.make(env), names.find(recipe)
    if made.spec.backend == host.BACKEND:
        raise UserError(f"--env {env} is stepped on the host; name one that is stepped on the device")
    options = RunOptions(seeds=seeds, steps=STEPS, warmup=5_000, capacity=STEPS, map_seeds="vmap")
    data = dataset(DATA, made.spec.obs_size, made.spec.action_size)
    found = plan.make(requests.Request(recipe, function, made, data, options=options, overrides=overrides))[0]
    return dataclasses.replace(found, mesh=dataclasses.replace(found.mesh, devices=devices))


def traced(made: enter.Plan) -> tuple[Any, Any]:
    """The last phase's chunk of `LENGTH` steps, traced for the plan's devices, and the shapes of its carry."""
    number, rows = len(made.phases) - 1, jax.eval_shape(lambda: upload(made))
    carry = enter.template(made, number, rows)
    program = scan.chunk(made, number, LENGTH, LOG_EVERY)
    held = carry_of(carry.ring is not None)
    jitted = made.mesh.jit(program, (held, SHARED), held, donate=(0,))
    return jitted.trace(carry, made.mesh.shapes(rows, SHARED)), carry
