"""Bias, LayerNorm and relu with the backward pass in one kernel, run without the devices that it is for."""

import functools
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax._src.pallas.mosaic_gpu.interpret.params import InterpretGPUParams  # jax has no public name for it yet
from jax.sharding import AxisType, PartitionSpec

from fastrl.benchmarks import compile as command
from fastrl.kernels import norm, norm_gpu
from fastrl.networks.critics import Critic, Ensemble
from fastrl.networks.trunk import Trunk

KERNEL = functools.partial(norm_gpu.backward, interpret=InterpretGPUParams())


def quick(gradient, x, *vectors):
    """What the kernel computes in plain operations: its interpreter is too slow for whole networks."""
    gradient = gradient.reshape(*x.shape[:2], -1)
    mean = lambda a: a.mean(-1, keepdims=True)
    dx, *sums = norm.gradients(mean, gradient, x, *(v[:, None] for v in vectors))
    return dx, *(a.sum(1) for a in (dx, *sums))


@pytest.fixture(params=[KERNEL])
def device(request, monkeypatch):
    """This processor, taken for a GPU: whoever asks gets its kernel, interpreted."""
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(norm_gpu, "backward", request.param)


simply = pytest.mark.parametrize("device", [quick], indirect=True)


def layers(count, rows, width):
    """The result's gradient and x [G, B, J], bias, scale and shift [G, J]."""
    random = np.random.default_rng(count)
    wide, vectors = random.normal(size=(2, count, rows, width)), random.normal(size=(3, count, width))
    return [np.asarray(x, np.float32) for x in (wide[0], 3 * wide[1] + 1, *vectors)]


def by_hand(gradient, x, bias, scale, shift):
    """The same gradients in double precision, as the derivative of LayerNorm is in its books: arrays [G, ...]."""
    gradient, x, bias, scale, shift = (np.asarray(a, np.float64) for a in (gradient, x, bias, scale, shift))
    x = x + bias[:, None]
    deviation = np.sqrt(x.var(-1, keepdims=True) + 1e-6)
    normal = (x - x.mean(-1, keepdims=True)) / deviation
    inner = gradient * (normal * scale[:, None] + shift[:, None] > 0)
    scaled, width = inner * scale[:, None], x.shape[-1]
    row = lambda a: a.sum(-1, keepdims=True)
    dx = (width * scaled - row(scaled) - normal * row(scaled * normal)) / (width * deviation)
    return dx, dx.sum(1), (inner * normal).sum(1), inner.sum(1)


def agree(found, wanted, bound=2e-6):
    for got, want in zip(found, wanted, strict=True):
        assert got.shape == want.shape and got.dtype == np.float32
        np.testing.assert_allclose(got, want, atol=bound * abs(np.asarray(want)).max())


@pytest.mark.parametrize(("count", "rows", "width"), [(1, 64, 128), (3, 32, 256), (2, 64, 64)])
def test_the_kernels_gradients_are_those_by_hand(count, rows, width):
    given = layers(count, rows, width)
    plainly = jax.vmap(lambda gradient, *inputs: jax.vjp(norm.plain, *inputs)[1](gradient))
    for found in (jax.jit(KERNEL)(*given), plainly(*given), quick(*given)):
        agree(found, by_hand(*given))


def test_behind_a_head_the_layers_gradient_is_never_read():
    gradient, *given = layers(2, 64, 128)
    gradient, head = gradient[..., 0], given[1][::-1] + 1
    x, bias, scale, shift = (np.asarray(a, np.float64) for a in given)
    x = x + bias[:, None]
    normal = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)
    result = np.maximum(normal * scale[:, None] + shift[:, None], 0)
    wanted = *by_hand(gradient[..., None] * head[:, None], *given), (gradient[..., None] * result).sum(1)
    agree(jax.jit(KERNEL)(gradient, *given, head), wanted)
    agree(quick(gradient[..., None], *given, head), wanted)
    np.testing.assert_allclose(jax.vmap(norm.norm_relu)(*given, head), (result * head[:, None]).sum(-1), atol=1e-3)


def test_many_rows_are_several_blocks(monkeypatch):
    given = layers(1, 128, 128)
    monkeypatch.setattr(norm_gpu, "MOST_BLOCKS", 2)
    agree(KERNEL(*given), by_hand(*given))


def pulled(gradient, *inputs):
    """(values, gradients of x, bias, scale and shift) of one layer."""
    value, back = jax.vjp(norm.norm_relu, *inputs)
    return value, *back(gradient)


def test_any_nesting_of_vmap_is_one_call(device):
    given = layers(4, 32, 128)
    wanted = [jax.vmap(norm.plain)(*given[1:]), *by_hand(*given)]
    nested = [a.reshape(2, 2, *a.shape[1:]) for a in given]
    deep = jax.vmap(jax.vmap(pulled), out_axes=1)
    agree(jax.jit(deep)(*nested), [np.swapaxes(a.reshape(2, 2, *a.shape[1:]), 0, 1) for a in wanted])
    assert str(jax.make_jaxpr(deep)(*nested)).count("name=kernel") == 1


@simply
def test_one_layer_and_layers_that_share_are_as_many(device):
    given = layers(4, 32, 128)
    wanted = [jax.vmap(norm.plain)(*given[1:]), *by_hand(*given)]
    agree(jax.jit(pulled)(*(a[0] for a in given)), [a[0] for a in wanted])
    shared = jax.vmap(pulled, in_axes=(0, None, None, 0, None))
    repeated = [a if i in (0, 3) else np.repeat(a[:1], 4, 0) for i, a in enumerate(given)]
    found = jax.jit(shared)(*(a if i in (0, 3) else a[0] for i, a in enumerate(given)))
    agree(found, [jax.vmap(norm.plain)(*repeated[1:]), *by_hand(*repeated)])
    of_sum = jax.grad(lambda vectors: jax.vmap(norm.norm_relu, (0, None, None, None))(given[1], *vectors).sum())
    ones = [np.ones_like(given[0]), given[1], *(np.repeat(a[:1], 4, 0) for a in given[2:])]
    agree(jax.jit(of_sum)([a[0] for a in given[2:]]), [a.sum(0) for a in by_hand(*ones)[1:]])


def test_the_input_alone_needs_no_kernel(device):
    gradient, x, *vectors = (a[0] for a in layers(1, 32, 128))
    of_input = jax.jit(lambda x: jax.vjp(lambda x: norm.norm_relu(x, *vectors), x)[1](gradient))
    assert "name=kernel" not in str(jax.make_jaxpr(of_input)(x))
    agree(of_input(x), [by_hand(*(a[None] for a in (gradient, x, *vectors)))[0][0]])


@simply
def test_an_ensemble_learns_the_same_with_it(device, key, monkeypatch):
    ensemble = Ensemble(Critic(3, 1, (128, 128), layer_norm=True), 2)
    params = jax.tree.map(lambda p: p + 0.05, ensemble.init(key, 3, 1))
    obs, action = jax.random.normal(jax.random.key(1), (32, 3)), jnp.linspace(-1, 1, 32)[:, None]
    loss = lambda params: (ensemble.q(params, obs, action) ** 2).mean()
    assert str(jax.make_jaxpr(jax.grad(loss))(params)).count("custom_vmap_call[") == 2
    found = jax.jit(jax.grad(loss))(params)
    candidates = lambda params: (ensemble.candidates(params, obs[:8], action.reshape(8, 4, 1)) ** 2).mean()
    paired = jax.jit(jax.grad(candidates))(params)
    monkeypatch.setattr(jax, "default_backend", lambda: "cpu")
    jax.tree.map(lambda *pair: agree(pair[:1], pair[1:], 1e-5), found, jax.grad(loss)(params))
    jax.tree.map(lambda *pair: agree(pair[:1], pair[1:], 1e-5), paired, jax.grad(candidates)(params))


def test_who_gets_the_kernel(monkeypatch):
    mesh = jax.make_mesh((1, 1), ("seed", "row"), axis_types=(AxisType.Auto, AxisType.Auto))
    asked = lambda rows=64, width=256, dtype=jnp.float32: norm.wanted((rows, width), jnp.dtype(dtype))
    assert not asked()
    monkeypatch.setattr(jax, "default_backend", lambda: "tpu")
    assert not asked()
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert asked() and asked(width=512) and asked(width=64) and asked(rows=32)
    assert not asked(48) and not asked(width=192) and not asked(width=1024) and not asked(dtype=jnp.float64)
    assert not norm.wanted((256,), jnp.dtype(jnp.float32)) and not norm.wanted((2, 64, 256), jnp.dtype(jnp.float32))
    inside = []

    def look(x):
        inside.append(asked())
        return x

    for axes in ({"seed"}, {"seed", "row"}):
        jax.jit(jax.shard_map(look, mesh=mesh, in_specs=PartitionSpec(), out_specs=PartitionSpec(), axis_names=axes))(
            1.0
        )
    assert inside == [False, True]


@pytest.mark.parametrize(
    ("options", "calls"),
    [({}, 1), ({"layer_norm": False}, 0), ({"activation": jnp.tanh}, 0), ({"dropout": 0.5}, 0)],
)
def test_other_layers_are_left_alone(options, calls, key, monkeypatch):
    module = Trunk(4, (128,), **({"layer_norm": True} | options))
    x = jax.random.normal(key, (32, 4))
    params = module.init(jax.random.key(1), x)["params"]
    call = lambda params: module.apply({"params": params}, x, rngs={"dropout": jax.random.key(2)})
    before = call(params)
    assert str(jax.make_jaxpr(call)(params)).count("name=norm_relu") == 0
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert str(jax.make_jaxpr(lambda params: call(params))(params)).count("name=norm_relu") == calls
    np.testing.assert_allclose(call(params), before, atol=1e-5)


REAL = """
from fastrl.benchmarks import compile as command
command.prepare("h100")
import jax, jax.numpy as jnp
from jax.sharding import SingleDeviceSharding
from fastrl.benchmarks import ahead
from fastrl.kernels import norm
place = SingleDeviceSharding(ahead.describe("h100")[0])
for batch, rows, width, head in (((), 256, 512, 0), ((3, 10), 1024, 256, 0), ((10,), 256, 512, 1), ((5,), 128, 64, 1)):
    shapes = [(rows,) if head else (rows, width), (rows, width), *((width,),) * (3 + head)]
    given = [jax.ShapeDtypeStruct((*batch, *shape), jnp.float32, sharding=place) for shape in shapes]
    function = lambda gradient, *inputs: jax.vjp(norm.norm_relu, *inputs)[1](gradient)
    for _ in batch:
        function = jax.vmap(function)
    with ahead.as_if("cuda"):
        lowered = jax.jit(function, out_shardings=place).trace(*given).lower(lowering_platforms=("cuda",))
    print(lowered.compile().as_text().count('custom_call_target="mosaic_gpu_v2"'))
"""


def test_it_compiles_for_a_card_that_is_described():
    if command.missing("cuda13"):
        pytest.skip("the compiler for h100 is not installed")
    done = subprocess.run([sys.executable, "-c", REAL], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.split() == ["1"] * 4
