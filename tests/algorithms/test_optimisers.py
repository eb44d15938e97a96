import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from fastrl.algorithms import optimisers
from fastrl.methods import BC, SAC
from fastrl.types import UserError

PARAMS = {"a": jnp.linspace(-1, 1, 6).reshape(2, 3), "b": jnp.ones(())}


@pytest.mark.parametrize(
    ("config", "chain"),
    [
        (SAC(), optax.adam(1e-2)),
        (SAC(weight_decay=0.1), optax.adamw(1e-2, weight_decay=0.1)),
        (SAC(grad_clip=0.5), optax.chain(optax.clip_by_global_norm(0.5), optax.adam(1e-2))),
        (SAC(cosine_steps=4), optax.adam(optax.cosine_decay_schedule(1e-2, 4))),
        (None, optax.adam(1e-2)),
    ],
    ids=["adam", "adamw", "clipped", "cosine", "no options"],
)
def test_steps_are_those_of_optax(config, chain):
    optimizer = optimisers.adam(1e-2, config)
    state, want, want_state, target, params = optimizer.init(PARAMS), PARAMS, chain.init(PARAMS), PARAMS, PARAMS
    for step in range(3):
        grads = jax.tree.map(lambda x: x * (step + 0.5) - 0.2, params)
        before = target
        changes, _ = optimizer.update(grads, state, params)
        params, state, target = optimizer.step(params, grads, state, target, 0.005)
        updates, want_state = chain.update(grads, want_state, want)
        want = optax.apply_updates(want, updates)
        for name in params:
            np.testing.assert_allclose(params[name], want[name], rtol=1e-5, atol=1e-7)
            np.testing.assert_allclose(changes[name], updates[name], rtol=1e-4, atol=2e-7)  # optax's interface
            np.testing.assert_allclose(target[name], 0.995 * before[name] + 0.005 * want[name], rtol=1e-5)
    assert state.count == 3
    assert optimizer.step(params, grads, state)[2] is None


def test_the_term_that_is_added_to_the_root():
    optimizer, chain = optimisers.Adam(optimisers.constant(1e-2), eps=1e-2), optax.adam(1e-2, eps=1e-2)
    grads = jax.tree.map(lambda x: 0.01 * x, PARAMS)
    params, _, _ = optimizer.step(PARAMS, grads, optimizer.init(PARAMS))
    want = optax.apply_updates(PARAMS, chain.update(grads, chain.init(PARAMS), PARAMS)[0])
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), params, want)


def test_warm_up_then_cosine():
    options = BC(warmup_steps=10, cosine_steps=110)
    rate = optimisers.adam(1.0, options, options.warmup_steps).rate
    np.testing.assert_allclose([rate(0), rate(5), rate(10), rate(60), rate(110)], [0, 0.5, 1, 0.5, 0], atol=1e-6)
    want = optax.warmup_cosine_decay_schedule(0.0, 1.0, 10, 110)
    for count in (0, 3, 10, 11, 47, 109, 110, 500):
        np.testing.assert_allclose(rate(jnp.int32(count)), want(count), atol=1e-6)
    np.testing.assert_allclose(optimisers.adam(1.0, SAC()).rate(123), 1.0)
    warm = optimisers.scheduled(1.0, 10)
    np.testing.assert_allclose([warm(0), warm(5), warm(10), warm(50)], [0, 0.5, 1, 1])


def test_a_straight_line_to_zero():
    rate = optimisers.scheduled(0.4, linear=100)
    np.testing.assert_allclose([rate(0), rate(25), rate(100), rate(101)], [0.4, 0.3, 0, 0], atol=1e-7)
    after = optimisers.scheduled(0.4, warmup=20, linear=100)
    np.testing.assert_allclose([after(10), after(20), after(60), after(100)], [0.2, 0.4, 0.2, 0], atol=1e-7)


@pytest.mark.parametrize("fall", [{"cosine": 10}, {"linear": 3}])
def test_a_fall_that_ends_within_the_warm_up_is_refused(fall):
    with pytest.raises(UserError, match=r"falls to 0 at step .* must be above its 10 steps of warm-up"):
        optimisers.scheduled(1.0, warmup=10, **fall)


class Broken(NamedTuple):
    """optax's two functions, the second of which is another."""

    update: object
    init: object = lambda params: ()


def fails(grads, state, params):
    raise ZeroDivisionError("no numbers\nat all")


@pytest.mark.parametrize(
    ("optimizer", "words"),
    [
        (3e-4, r"critic_optimizer: 0.0003 is no optimiser; hand over an optax.GradientTransformation"),
        (Broken(7), "is no optimiser"),
        (Broken(fails), "critic_optimizer: the optimiser fails on two numbers: ZeroDivisionError: no numbers at all"),
        (Broken(lambda grads, state: (grads, state)), "fails on two numbers: TypeError"),
        (Broken(lambda grads, state, params: grads), "fails on two numbers: ValueError"),
        (Broken(lambda grads, state, params: (grads["w"].sum(), state)), "update is not shaped as the parameters"),
    ],
    ids=["a number", "no function", "raises", "two arguments", "no pair", "another shape"],
)
def test_what_is_no_optimiser_is_refused_in_one_line(optimizer, words):
    with pytest.raises(UserError, match=words) as error:
        optimisers.check("critic_optimizer", optimizer)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("optimizer", [optax.adam(1e-3), optax.sgd(1e-2), optimisers.adam(1e-3)])
def test_optimisers_with_the_interface_are_accepted(optimizer):
    optimisers.check("actor_optimizer", optimizer)
    assert dataclasses.is_dataclass(optimizer) or hasattr(optimizer, "_fields")


@pytest.mark.parametrize("inner", [optimisers.adam(1e-2, SAC(grad_clip=0.5)), optax.lamb(1e-2)], ids=["adam", "lamb"])
def test_members_have_an_optimiser_each(inner):
    """Gradients of very different size: each member's are clipped, and measured, by themselves."""
    grads = {"a": jnp.array([0.1, 100.0])[:, None] * jnp.ones((2, 3)), "b": jnp.array([2.0, -3.0])}
    params = jax.tree.map(lambda x: x * 0.3 + 1.0, grads)
    both = optimisers.PerMember(inner)
    state = both.init(params)
    for _ in range(2):
        updates, state = both.update(grads, state, params)
    for n in range(2):
        own = jax.tree.map(lambda x: x[n], (grads, params))
        alone = inner.init(own[1])
        for _ in range(2):
            want, alone = inner.update(own[0], alone, own[1])
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a[n], b, rtol=1e-5, atol=1e-7), updates, want)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a[n], b, rtol=1e-5), state, alone)
