"""The bytes of each format, and what a file answers when it is read back, by other code than that which wrote it."""

import importlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fastrl.agent import Agent
from fastrl.exports import network, numpy_policy, onnx_graph
from fastrl.types import UserError

Player = Callable[[np.ndarray], np.ndarray]
"""Raw observations [B, O] -> actions [B, A], both float32."""


class Format(NamedTuple):
    """How a file is made, read, and put to use."""

    write: Callable[[Agent, int], bytes]
    read: Callable[[Path], Player]
    use: str


def extra(module: str) -> Any:
    """A package of the extra `export`."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        package = module.partition(".")[0]
        raise UserError(f"this format needs {package}, which is not installed: pip install 'fastrl[export]'") from error


def npz(agent: Agent, seed: int) -> bytes:
    """Header and layers in NumPy's archive."""
    found, file = network.network_of(agent, seed, "npz"), io.BytesIO()
    np.savez(file, allow_pickle=False, header=np.array(json.dumps(found.header)), **found.arrays)
    return file.getvalue()


def safetensors(agent: Agent, seed: int) -> bytes:
    """Header and layers as safetensors."""
    found, package = network.network_of(agent, seed, "safetensors"), extra("safetensors.numpy")
    data: bytes = package.save(found.arrays, metadata={"fastrl": json.dumps(found.header)})
    return data


def onnx(agent: Agent, seed: int) -> bytes:
    """A graph from `obs` [batch, O] to `action` [batch, A]."""
    extra("onnx")
    return onnx_graph.serialised(network.network_of(agent, seed, "onnx"))


def run_onnx(path: Path) -> Player:
    """By onnxruntime where it is installed, else by ONNX's own reference."""
    try:
        from onnxruntime import InferenceSession as Session
    except ImportError:
        from onnx.reference import ReferenceEvaluator

        evaluator: Any = ReferenceEvaluator(str(path))
        return lambda obs: np.asarray(evaluator.run(None, {"obs": obs})[0])
    session = Session(str(path), providers=["CPUExecutionProvider"])
    return lambda obs: np.asarray(session.run(["action"], {"obs": obs})[0])


def stablehlo(agent: Agent, seed: int) -> bytes:
    """`jax.export`'s serialisation: any number of rows, on CPUs, CUDA GPUs and TPUs, in float32 throughout."""
    extra("flatbuffers")
    rows = jax.ShapeDtypeStruct((*jax.export.symbolic_shape("batch"), agent.spec.obs_size), jnp.float32)
    play = jax.jit(network.function_of(agent, seed))
    with jax.default_matmul_precision("highest"):
        return bytes(jax.export.export(play, platforms=("cpu", "cuda", "tpu"))(rows).serialize())


def run_stablehlo(path: Path) -> Player:
    """By jax."""
    call = jax.export.deserialize(bytearray(path.read_bytes())).call
    return lambda obs: np.asarray(call(obs))


COPY = f"play it with {{}}: {numpy_policy.__file__} is a file to copy; load(FILE)(obs)"
RUNTIME = 'play it with onnxruntime: InferenceSession(FILE).run(["action"], {"obs": obs})[0], obs in float32'
JAX = "play it with jax alone: jax.export.deserialize(bytearray(BYTES)).call(obs), obs in float32"
FORMATS = {
    ".npz": Format(npz, numpy_policy.load, COPY.format("NumPy alone")),
    ".safetensors": Format(safetensors, numpy_policy.load, COPY.format("NumPy and safetensors")),
    ".onnx": Format(onnx, run_onnx, RUNTIME),
    ".stablehlo": Format(stablehlo, run_stablehlo, JAX),
}
