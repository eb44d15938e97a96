"""fastrl bench compile: a run's program compiled for an H100 or a TPU pod on a machine that has neither, and counted.

XLA's compilers for CUDA and for TPUs run on a CPU against a device that is described. They are packages of their own,
which nothing else here needs. jax starts in this command only, after what it reads from the environment is set.
"""

import importlib.metadata
import json
import os
import re
from collections.abc import Sequence

from fastrl.cli.options import Parser
from fastrl.errors import UserError

EXTRAS = {"cuda13": "a few GB", "tpu": "700 MB"}
"""The extra of jax that brings each compiler, and about how much it installs."""

REQUIREMENT = re.compile(r"((?:jax|nvidia|libtpu)[\w.\-]*)(?:\[([\w\-]+)\])?([^;]*);.*extra == .([\w\-]+).")
"""A part of a compiler among a package's requirements: its name, extra and versions, and the extra that asks for it."""

ENVIRONMENT = {
    "JAX_PLATFORMS": "cpu",  # the target is described, whatever is there
    "TPU_SKIP_MDS_QUERY": "1",  # nobody is asked which TPU this is
    "TPU_WORKER_HOSTNAMES": "localhost",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",  # several may compile at once: no device is held
}


def main(words: Sequence[str]) -> int:
    """Prints the program's line."""
    parser = Parser(
        prog="fastrl bench compile",
        description="Compiles a run's last phase for devices that are not there; prints memory, copies, collectives\n"
        "and the kernels of one environment step as a JSON line (benchmarks/README.md says what each means).",
    )
    parser.add_argument(
        "--target", default="h100", metavar="NAME", help="h100, or a TPU such as v5e:2x4 (default: h100)"
    )
    parser.add_argument("--env", default="hopper", metavar="NAME", help="environment on the device (default: hopper)")
    parser.add_argument("--recipe", default="sac", metavar="NAME", help="see fastrl recipes (default: sac)")
    parser.add_argument("--seeds", type=int, default=1, metavar="N", help="seeds side by side (default: 1)")
    found = parser.parse(words)
    if found.seeds < 1:
        raise UserError(f"--seeds must be above 0, not {found.seeds}")
    compiler = prepare(found.target)
    from fastrl.benchmarks import ahead

    line = {"benchmark": "compile", **vars(found)}
    line |= ahead.measure(found.target, found.env, found.recipe, found.seeds)
    print(json.dumps({**line, "compiler": compiler}))
    return 0


def prepare(target: str) -> str:
    """Sets what must be set before jax starts, and returns the compiler's name and version."""
    if target != "h100" and not re.fullmatch(r"v\d+\w*:\d+(x\d+)+", target):
        raise UserError(
            f"unknown target {target!r}; name h100 or a TPU as GENERATION:AxB, such as v5e:2x4 or v5p:2x2x1"
        )
    extra, compiler = ("cuda13", "jax-cuda13-plugin") if target == "h100" else ("tpu", "libtpu")
    if absent := missing(extra):
        raise UserError(
            f"XLA's compiler for {target} is not installed ({', '.join(absent)}); in an environment of its own, as it "
            f'takes {EXTRAS[extra]}: pip install "jax[{extra}]=={importlib.metadata.version("jax")}"'
        )
    os.environ.update(ENVIRONMENT)
    return f"{compiler} {importlib.metadata.version(compiler)}"


def missing(extra: str, package: str = "jax") -> list[str]:
    """Parts of the compiler that `package[extra]` asks for, as it asks for them, and that are not installed."""
    absent = []
    for requirement in importlib.metadata.requires(package) or []:
        found = REQUIREMENT.fullmatch(requirement)
        if found is None or found[4] != extra:
            continue
        name, parts, versions, _ = found.groups()
        try:
            importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            absent.append(name + versions.strip())
            continue
        absent += missing(parts, name) if parts else []
    return absent
