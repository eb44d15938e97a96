"""The constraint solve in one kernel, run without the devices that it is for, beside the plain form."""

import functools
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fastrl.benchmarks import compile as command
from fastrl.envs import constraints, legged
from fastrl.envs.models import gymnasium_model
from fastrl.envs.planar import Planar
from fastrl.envs.simulator import Physics
from fastrl.kernels import device as kernels
from fastrl.kernels import newton, newton_gpu, newton_tpu

InterpretGPUParams = pytest.importorskip(  # jax has no public name for it yet
    "jax._src.pallas.mosaic_gpu.interpret.params"
).InterpretGPUParams
SIZE, ROWS = 3, 7
SOLVERS = {
    "gpu": functools.partial(newton_gpu.solve, interpret=InterpretGPUParams()),
    "tpu": functools.partial(newton_tpu.solve, interpret=True),
}


quickly = functools.partial(
    jax.jit, compiler_options={"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
)
"""The interpreted kernels are long programs."""


@pytest.fixture(params=SOLVERS)
def device(request, monkeypatch):
    """This processor, taken for an accelerator: whoever solves constraints gets its kernel, interpreted."""
    monkeypatch.setattr(jax, "default_backend", lambda: request.param)
    for name, module in (("gpu", newton_gpu), ("tpu", newton_tpu)):
        monkeypatch.setattr(module, "solve", SOLVERS[name])
    return request.param


def systems(count, size=SIZE, rows=ROWS):
    """Random ones [count, ...]: some rows touch nothing, two are the same, starts are far off."""
    random = np.random.default_rng(count)
    half = random.normal(size=(count, size, size))
    jacobian = random.normal(size=(count, rows, size))
    jacobian[:, 1] = jacobian[:, 0]
    weight = random.uniform(1, 50, (count, rows)) * (random.uniform(size=(count, rows)) < 0.8)
    force, start = 9 * random.normal(size=(2, count, size))
    arrays = (
        half @ half.swapaxes(1, 2) + np.eye(size),
        jacobian,
        force,
        weight,
        random.normal(size=(count, rows)),
        start,
    )
    return [np.asarray(x, np.float32) for x in arrays]


def plainly(inertia, jacobian, *others):
    """In double precision, in the plain form: (accelerations, row forces) of systems [count, ...]."""
    with jax.enable_x64(True):
        solve = lambda inertia, jacobian, *rest: constraints.solve(constraints.Dense(inertia, jacobian), *rest)
        return quickly(jax.vmap(solve))(*(np.asarray(x, np.float64) for x in (inertia, jacobian, *others)))


def agree(found, exact):
    """Within 5e-5 of a system's largest value: single precision's plain form is off by up to 2e-5 in these tests."""
    for got, want in zip(found, map(np.asarray, exact), strict=True):
        assert got.dtype == np.float32 and got.shape == want.shape
        assert (abs(got - want.astype(np.float32)) <= 5e-5 * abs(want).max(-1, keepdims=True)).all()


@pytest.mark.parametrize(("name", "count"), [("gpu", 1), ("gpu", 5), ("tpu", 1), ("tpu", 12), ("tpu", 200)])
def test_the_kernels_values_are_the_plain_forms(name, count):
    given = systems(count)
    agree(quickly(SOLVERS[name])(*given), plainly(*given))


def test_the_systems_need_several_rounds(monkeypatch):
    given = systems(200)
    exact = plainly(*given)
    monkeypatch.setattr(constraints, "ROUNDS", 2)
    short = np.abs(plainly(*given)[0] - exact[0]).max(1) > 1e-3
    assert short.mean() > 0.2, "two rounds would do"
    assert ((np.array(exact[1]) > 0).any(1)).mean() > 0.9, "no row pushes"


def test_any_nesting_of_vmap_and_scan_is_one_call(device):
    given = systems(6)
    exact = plainly(*given)
    agree(quickly(newton.newton)(*(x[0] for x in given)), [x[0] for x in exact])
    nested = jax.vmap(jax.vmap(newton.newton), out_axes=1)  # [3, 2] to [2, 3]
    over = lambda *rows: jax.lax.scan(lambda _, row: (0, nested(*row)), 0, rows)[1]
    rows = [x.reshape(1, 3, 2, *x.shape[1:]) for x in given]
    agree(quickly(over)(*rows), [x.reshape(1, 3, 2, -1).swapaxes(1, 2) for x in exact])
    assert str(jax.make_jaxpr(over)(*rows)).count("mpmd_map[" if device == "gpu" else "pallas_call[") == 1


def test_what_is_not_mapped_is_shared(device):
    given = systems(4)
    alike = [np.repeat(x[:1], 4, 0) if i in (0, 1) else x for i, x in enumerate(given)]
    shared = jax.vmap(newton.newton, in_axes=(None, None, 0, 0, 0, 0))
    agree(quickly(shared)(*(x[0] if i in (0, 1) else x for i, x in enumerate(given))), plainly(*alike))


def test_a_hoppers_accelerations_are_the_plain_forms():
    model, random, count = gymnasium_model("hopper.xml", 8), np.random.default_rng(0), 200
    low, high = model.jnt_range[3:].T
    root = random.uniform([-9, -1.2, -3], [9, -0.4, 3], (count, 3)) + model.qpos0[:3]
    qpos = np.concatenate([root, random.uniform(low - 0.1, high + 0.1, (count, len(low)))], 1)
    qvel, start = 3 * random.normal(size=(2, count, model.nv))
    control = random.uniform(-1, 1, (count, model.nu))
    state = [np.asarray(x, np.float32) for x in (qpos, qvel, control)]
    inertia, force, (jacobian, weight, reference) = jax.jit(jax.vmap(Planar(model, 1).dynamics))(*state)
    given = [np.array(x) for x in (inertia, jacobian, force, weight, reference, np.float32(start))]
    exact = plainly(*given)
    assert ((np.array(exact[1]) > 0).sum(1) > 3).mean() > 0.2, "they are in the air"
    agree(quickly(SOLVERS["tpu"])(*given), exact)
    agree(quickly(SOLVERS["gpu"])(*(x[:2] for x in given)), [x[:2] for x in exact])


class Caught(Exception):
    """Raised in place of a solve."""


def catch(*given):
    raise Caught(*given)


def test_an_ants_accelerations_are_the_plain_forms(monkeypatch):
    model, random, count = gymnasium_model("ant.xml", 8), np.random.default_rng(0), 200
    robot = legged.Legged(model, 1)
    monkeypatch.setattr(legged, "solve", catch)

    def system(*state):
        with pytest.raises(Caught) as caught:
            robot.forward(Physics(*state[:3]), state[3])
        found, *rest = caught.value.args
        if isinstance(found, constraints.Dense):
            return found.inertia, found.jacobian, *rest
        columns = jnp.eye(model.nv)
        return jax.vmap(found.momentum)(columns), jax.vmap(found.along, out_axes=1)(columns), *rest

    low, high = model.jnt_range[1:].T
    joints = random.uniform(low - 0.1, high + 0.1, (count, len(low)))
    root = [random.uniform(-9, 9, (count, 2)), random.uniform(0.1, 0.8, (count, 1)), random.normal(size=(count, 4))]
    qvel, start = 3 * random.normal(size=(2, count, model.nv))
    state = np.concatenate([*root, joints], 1), qvel, start, random.uniform(-1.5, 1.5, (count, model.nu))
    state = [np.asarray(x, np.float32) for x in state]
    by_legs = quickly(jax.vmap(system))(*state)
    monkeypatch.setattr(legged, "wanted", lambda dtype: True)
    given = quickly(jax.vmap(lambda *state: system(*state)))(*state)
    for whole, legs in zip(given, by_legs, strict=True):
        np.testing.assert_allclose(whole, legs, rtol=1e-4, atol=1e-4)
    exact = plainly(*given)
    assert ((np.array(exact[1]) > 0).sum(1) > 3).mean() > 0.3, "they are in the air"
    agree(quickly(SOLVERS["tpu"])(*given), exact)


def test_who_gets_the_kernel(monkeypatch):
    class Card:
        def __init__(self, number):
            self.compute_capability = number

    def wanted(backend, dtype=jnp.float32, **card):
        monkeypatch.setattr(jax, "default_backend", lambda: backend)
        monkeypatch.setattr(jax, "local_devices", lambda: [Card(card["number"]) if card else object()])
        return newton.wanted(jnp.dtype(dtype))

    assert wanted("tpu") and wanted("gpu")  # the latter has no card to ask
    assert wanted("gpu", number="9.0") and wanted("gpu", number="12.0")
    assert not wanted("gpu", number="8.9") and not wanted("gpu", number="gfx942")
    assert not wanted("cpu") and not wanted("tpu", jnp.float64) and not wanted("gpu", jnp.float64)
    with kernels.plainly():
        assert not wanted("tpu") and not wanted("gpu", number="9.0")
    monkeypatch.setenv(kernels.SWITCH, "off")
    assert not wanted("tpu")


REAL = """
import sys
from fastrl.benchmarks import compile as command
command.prepare(sys.argv[1])
import jax, jax.numpy as jnp
from jax.sharding import SingleDeviceSharding
from fastrl.benchmarks import ahead
from fastrl.kernels import newton
place = SingleDeviceSharding(ahead.describe(sys.argv[1])[0])
platform = "cuda" if sys.argv[1] == "h100" else "tpu"
for batch, size, rows in (((), 6, 30), ((3, 4), 14, 248)):
    shapes = [(size, size), (rows, size), (size,), (rows,), (rows,), (size,)]
    given = [jax.ShapeDtypeStruct((*batch, *shape), jnp.float32, sharding=place) for shape in shapes]
    function = newton.newton
    for _ in batch:
        function = jax.vmap(function)
    with ahead.as_if(platform):
        lowered = jax.jit(function, out_shardings=place).trace(*given).lower(lowering_platforms=(platform,))
    text = lowered.compile().as_text()
    print(sum(text.count(f'custom_call_target="{name}"') for name in ("mosaic_gpu_v2", "tpu_custom_call")))
"""


@pytest.mark.parametrize(("target", "extra"), [("h100", "cuda13"), ("v5e:2x2", "tpu")])
def test_it_compiles_for_a_device_that_is_described(target, extra):
    if command.missing(extra):
        pytest.skip(f"the compiler for {target} is not installed")
    words = [sys.executable, "-c", REAL, target]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.split() == ["1", "1"]
