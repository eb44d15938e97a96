import jax
import jax.numpy as jnp
import pytest

from fastrl.benchmarks import ahead, counted
from fastrl.benchmarks import compile as compilers
from fastrl.benchmarks.flops import learner_step
from fastrl.benchmarks.learner import SHAPES, transitions
from fastrl.errors import UserError
from fastrl.jobs import check
from fastrl.jobs.accelerators import CHIPS
from fastrl.methods import SAC
from fastrl.types import Clock, Spec


def test_products_are_counted_as_often_as_they_run():
    x = jnp.ones((4, 8))

    def function(x):
        def once(y, _):
            return y @ jnp.ones((8, 8)), None

        y, _ = jax.lax.scan(once, x, None, length=3)
        y = jax.lax.while_loop(lambda y: y[0, 0] < 0, lambda y: once(y, None)[0], y)
        y = jax.lax.cond(y[0, 0] > 0, lambda y: once(once(y, None)[0], None)[0], lambda y: y, y)
        return jax.vmap(lambda row: row @ jnp.ones((8, 2)))(y)

    product, bytes = 2 * 4 * 8 * 8, 4 * (4 * 8 + 8 * 8 + 4 * 8)
    found = counted.of(function, x, rounds=5)
    assert found.flops == (3 + 5 + 2) * product + 2 * 4 * 8 * 2
    assert found.bytes == (3 + 5 + 2) * bytes + 4 * (4 * 8 + 8 * 2 + 4 * 2)


def test_a_learner_has_the_operations_that_its_shapes_say():
    """Within a tenth: the benchmark's count leaves gradients out that nobody needs, and XLA traces some of them."""
    shape = SHAPES["locomotion"]
    algorithm = SAC().build(Spec("x", shape.obs, shape.act, 1000, "locomotion"))
    state = jax.eval_shape(algorithm.init, jax.random.key(0))
    batches = jax.eval_shape(lambda key: transitions(shape, key), jax.random.key(0))
    clock = Clock(jnp.int32(0), jnp.int32(0))
    found = counted.of(lambda s, b, k: algorithm.update(s, b, k, clock), state, batches, jax.random.key(0), rounds=2)
    assert found.flops == pytest.approx(learner_step(shape), rel=0.1)


def test_the_answer_says_whether_it_fits_and_what_bounds_it():
    parts = {"replay ring": 10_000_000_000, "agents": 1_000_000_000, "dataset": 0}
    found = check.Found(4, parts, 4_500_000_000, {}, 0, 12.3, {"matrix products": 1e-3, "memory": 2e-3}, 1)
    text = check.said(found, CHIPS["v5e"], 256)
    assert text.startswith("256 x TPU v5e, 4 seeds on each, 16,000 MB of memory: fits, 500 MB are left")
    assert "at least 2.00 ms, bound by memory" in text and "collectives in the program: none" in text
    assert "dataset" not in text
    full = check.Found(4, parts, 6_000_000_000, {"all-reduce": 2}, 1, 1.0, {"memory": 1e-3}, 20)
    text = check.said(full, CHIPS["v5e"], 8)
    assert "DOES NOT FIT: 1,000 MB too many" in text and "2 all-reduce" in text and "20 environment steps" in text


class Lowered:
    """A program that XLA compiles without its Triton back end alone."""

    def __init__(self, message):
        self.message, self.asked = message, []

    def compile(self, compiler_options=None):
        self.asked.append(compiler_options)
        if compiler_options is None:
            raise jax.errors.JaxRuntimeError(self.message)
        return "compiled"


def test_products_without_tile_sizes_are_kept_from_triton():
    untiled = Lowered("INTERNAL: Couldn't find output tile sizes for dot")
    without = {"xla_gpu_enable_triton_gemm": False}
    assert ahead.compiled(untiled) == ("compiled", without) and untiled.asked == [None, without]
    with pytest.raises(jax.errors.JaxRuntimeError, match="RESOURCE_EXHAUSTED"):
        ahead.compiled(Lowered("RESOURCE_EXHAUSTED: too much"))


def test_without_the_compiler_it_says_what_to_install():
    if not compilers.missing("tpu"):
        pytest.skip("the compiler is installed")
    from fastrl.cli import launch

    with pytest.raises(UserError, match="compiler for v5e:2x4 is not installed"):
        launch.main(["--check", "--on", "tpu-v5e-8", "--", "run", "sac", "--env", "hopper"])
