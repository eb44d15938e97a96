"""The order of updates, on a state of two numbers whose gradients are known."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from fastrl.algorithms import group, step
from fastrl.algorithms.group import Group
from fastrl.methods import TD3
from fastrl.types import Clock


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class State:
    """Two numbers."""

    a: Group  # with a target
    b: Group


SGD = {"a": optax.sgd(0.1), "b": optax.sgd(0.01)}


def state(a=2.0, b=3.0):
    return State(group.start(jnp.float32(a), SGD["a"], target=True), group.start(jnp.float32(b), SGD["b"]))


def clock(call=0, number=0):
    return Clock(jnp.int32(number), jnp.int32(call))


def numbers(found):
    return [float(found.a.params), float(found.b.params)]


def product(state, batch, key, clock):
    """The gradients of a * b."""
    a, b = state.a.params, state.b.params
    return {"a": b, "b": a}, {"product": a * b}


def pull(state, batch, key, clock):
    """The gradient in a of `(a - mean reward)^2 / 2`."""
    a = state.a.params
    return {"a": a - batch.reward.mean()}, {"pull": a - batch.reward.mean()}


def noisy(state, batch, key, clock):
    draw = jax.random.normal(key, ())
    return {"b": draw}, {"draw": draw}


@pytest.fixture
def batch(make_batch):
    return make_batch(0, 4)


def test_together_takes_every_gradient_at_the_old_parameters_and_adds_those_of_a_group(batch):
    update = step.together(SGD, product, pull, tau=0.5, targets=("a",))
    found, metrics = jax.jit(update)(state(), batch, jax.random.key(0), clock())
    mean = float(batch.reward.mean())
    a, b = 2 - 0.1 * (3 + 2 - mean), 3 - 0.01 * 2
    np.testing.assert_allclose(numbers(found), [a, b], rtol=1e-6)
    np.testing.assert_allclose(found.a.target, 2 + 0.5 * (a - 2), rtol=1e-6)
    np.testing.assert_allclose([metrics["product"], metrics["pull"]], [6, 2 - mean], rtol=1e-6)


def test_a_target_that_is_not_named_rests_and_a_lone_loss_gets_the_key_itself(batch):
    found, metrics = step.together(SGD, noisy, tau=0.5)(state(), batch, jax.random.key(3), clock())
    assert found.a.target == 2.0
    np.testing.assert_allclose(metrics["draw"], jax.random.normal(jax.random.key(3), ()), rtol=1e-6)
    _, metrics = step.together(SGD, pull, noisy)(state(), batch, jax.random.key(3), clock())
    np.testing.assert_allclose(
        metrics["draw"], jax.random.normal(jax.random.split(jax.random.key(3))[1], ()), rtol=1e-6
    )


def test_a_chain_sees_what_its_first_step_changed(batch):
    update = step.chain(step.together(SGD, product), step.together(SGD, product))
    found, metrics = update(state(), batch, jax.random.key(0), clock())
    a, b = 2 - 0.1 * 3, 3 - 0.01 * 2
    np.testing.assert_allclose(numbers(found), [a - 0.1 * b, b - 0.01 * a], rtol=1e-6)
    np.testing.assert_allclose(metrics["product"], a * b, rtol=1e-6)  # the later of one name
    update = step.chain(step.together(SGD, pull), step.averaged(0.5, "a"))
    found, metrics = update(state(), batch, jax.random.key(0), clock())
    np.testing.assert_allclose(found.a.target, (2 + found.a.params) / 2, rtol=1e-6)
    assert set(metrics) == {"pull"}


@pytest.mark.parametrize("interval", [1, 2, 3])
def test_every_takes_its_calls_and_its_metrics_average_to_the_mean(interval, batch):
    update = jax.jit(step.every(interval, step.together(SGD, product)))
    now, taken, found = state(), [], []
    for call in range(2 * interval):
        before = now
        now, metrics = update(before, batch, jax.random.key(call), clock(call, number=100))
        found.append(float(metrics["product"]))
        if numbers(now) != numbers(before):
            taken.append(call)
    assert taken == [interval - 1, 2 * interval - 1]
    first = 2.0 * 3.0
    second = (2 - 0.1 * 3) * (3 - 0.01 * 2)  # nothing moved in between
    np.testing.assert_allclose(np.mean(found), (first + second) / 2, rtol=1e-6)
    assert update._cache_size() == 1


def test_when_decides_by_the_clock_and_does_not_weigh_its_metrics(batch):
    update = step.when(lambda clock: clock.step >= 50, step.together(SGD, product))
    rest, nothing = update(state(), batch, jax.random.key(0), clock(number=49))
    assert numbers(rest) == [2.0, 3.0] and nothing["product"] == 0
    moved, metrics = update(state(), batch, jax.random.key(0), clock(number=50))
    np.testing.assert_allclose(numbers(moved), [2 - 0.3, 3 - 0.02], rtol=1e-6)
    np.testing.assert_allclose(metrics["product"], 6, rtol=1e-6)


def count(function, *args):
    """Branches and selects of a program."""
    text = str(jax.make_jaxpr(function)(*args))
    return text.count("cond["), text.count("select_n")


def shapes_of(function, *args):
    """Its results, as shapes: no keys are used up."""
    return jax.eval_shape(function, *args)


def test_every_stays_a_branch_for_many_seeds_that_share_a_clock(batch):
    update = step.every(2, step.together(SGD, product))
    args = shapes_of(lambda: (state(), batch, jax.random.key(0), clock()))
    seeds = shapes_of(lambda: jax.vmap(lambda key: (state(), batch, key))(jax.random.split(jax.random.key(0), 3)))
    clocks = shapes_of(lambda: jax.tree.map(lambda x: jnp.stack([x] * 3), clock()))
    one = count(update, *args)
    assert one[0] == 1
    assert count(jax.vmap(update, (0, 0, 0, None)), *seeds, args[-1]) == one
    branches, selects = count(jax.vmap(update), *seeds, clocks)  # a clock a seed: both branches run, and are selected
    assert branches == 0 and selects > one[1]


def test_the_delay_of_td3_stays_a_branch_for_many_seeds(spec, make_batch):
    algorithm = TD3(actor_hidden=(8,), critic_hidden=(8,), policy_delay=2).build(spec)
    batches = make_batch(0, 2, 8)
    start = lambda key: (algorithm.init(key), batches, jax.random.key(1))
    args = shapes_of(lambda: (*start(jax.random.key(0)), clock()))
    seeds = shapes_of(lambda: jax.vmap(start)(jax.random.split(jax.random.key(0), 3)))
    one = count(algorithm.update, *args)
    assert one[0] == 1
    # JAX's check takes the moved axis of keys that a scan under vmap gets for a second use of them
    with jax.debug_key_reuse(False):
        assert count(jax.vmap(algorithm.update, (0, 0, 0, None)), *seeds, args[-1]) == one


@pytest.mark.parametrize(("updates", "device"), [(1, "cpu"), (3, "cpu"), (6, "gpu")])  # there four of them a round
def test_each_takes_the_minibatches_in_turn_and_counts_them(updates, device, make_batch, monkeypatch):
    batches = make_batch(0, updates, 4)
    monkeypatch.setattr(step.jax, "default_backend", lambda: device)
    seen = []

    def spy(state, batch, key, clock):
        jax.debug.callback(lambda *x: seen.append([float(y) for y in x]), clock.call, batch.reward.sum(), ordered=True)
        found, metrics = step.together(SGD, pull)(state, batch, key, clock)
        return found, metrics | {"call": clock.call.astype(jnp.float32)}

    found, metrics = step.each(spy)(state(), batches, jax.random.key(0), clock(5, number=9))
    jax.effects_barrier()
    calls = [5 * updates + u for u in range(updates)]
    np.testing.assert_allclose(seen, [[c, s] for c, s in zip(calls, batches.reward.sum(1), strict=True)], rtol=1e-5)
    a, pulls = 2.0, []
    for mean in np.asarray(batches.reward.mean(1)):
        pulls.append(a - mean)
        a -= 0.1 * (a - mean)
    np.testing.assert_allclose(found.a.params, a, rtol=1e-5)
    np.testing.assert_allclose(metrics["pull"], np.mean(pulls), rtol=1e-5)
    np.testing.assert_allclose(metrics["call"], np.mean(calls), rtol=1e-6)


def test_a_delay_within_each_counts_minibatches(make_batch):
    update = jax.jit(step.each(step.every(2, step.together(SGD, product))))
    now, moved = state(), []
    for call in range(4):  # of 3 minibatches: 0 1 2, 3 4 5, 6 7 8, 9 10 11; the odd ones are due
        before, (now, _) = now, update(now, make_batch(call, 3, 4), jax.random.key(call), clock(call))
        b = numbers(before)
        for _ in range(sum(number % 2 for number in range(3 * call, 3 * call + 3))):
            b = [b[0] - 0.1 * b[1], b[1] - 0.01 * b[0]]
        np.testing.assert_allclose(numbers(now), b, rtol=1e-5)
        moved.append(numbers(now) != numbers(before))
    assert moved == [True] * 4


def ordered():
    critic = step.together(SGD, pull, tau=0.5, targets=("a",))
    return step.critics_then_rest(
        joint=step.together(SGD, pull, product),
        critic=critic,
        rest=step.together(
            SGD, lambda s, batch, key, clock: ({"b": s.a.params}, {"rows": jnp.float32(batch.reward.size)})
        ),
    )


def test_one_minibatch_is_the_joint_step(make_batch):
    batches = make_batch(0, 1, 4)
    found, metrics = ordered()(state(), batches, jax.random.key(0), clock())
    mean = float(batches.reward.mean())
    np.testing.assert_allclose(numbers(found), [2 - 0.1 * (2 - mean + 3), 3 - 0.01 * 2], rtol=1e-6)
    assert set(metrics) == {"pull", "product"} and found.a.target == 2.0


def test_more_are_critic_steps_then_one_of_the_rest_on_all_rows(make_batch):
    batches = make_batch(0, 3, 4)
    found, metrics = jax.jit(ordered())(state(), batches, jax.random.key(0), clock())
    a, target, pulls = 2.0, 2.0, []
    for mean in np.asarray(batches.reward.mean(1)):
        pulls.append(a - mean)
        a -= 0.1 * (a - mean)
        target += 0.5 * (a - target)
    np.testing.assert_allclose(numbers(found), [a, 3 - 0.01 * a], rtol=1e-5)  # the rest sees the new critic
    np.testing.assert_allclose(found.a.target, target, rtol=1e-5)
    np.testing.assert_allclose(metrics["pull"], np.mean(pulls), rtol=1e-5)
    assert metrics["rows"] == 12


def test_every_minibatch_has_a_key_of_its_own(make_batch):
    draws = step.together(SGD, noisy)
    update = step.critics_then_rest(
        draws, draws, lambda state, batch, key, clock: (state, {"rest": jax.random.normal(key, ())})
    )
    _, metrics = update(state(), make_batch(0, 3, 4), jax.random.key(4), clock())
    critic_key, rest_key = jax.random.split(jax.random.key(4))
    want = [float(jax.random.normal(key, ())) for key in jax.random.split(critic_key, 3)]
    np.testing.assert_allclose(metrics["draw"], np.mean(want), rtol=1e-5)
    np.testing.assert_allclose(metrics["rest"], jax.random.normal(rest_key, ()), rtol=1e-6)


def test_beside_takes_groups_of_another_step_from_the_same_old_state(batch):
    update = step.beside(step.together(SGD, pull), step.together(SGD, product), "b")
    found, metrics = update(state(), batch, jax.random.key(0), clock())
    np.testing.assert_allclose(numbers(found), [2 - 0.1 * (2 - float(batch.reward.mean())), 3 - 0.02], rtol=1e-6)
    assert set(metrics) == {"pull", "product"}


def test_the_union_has_all_rows_in_order(make_batch):
    batches = make_batch(0, 3, 4)
    union = step.union(batches)
    np.testing.assert_array_equal(union.reward, np.concatenate(list(batches.reward)))
    np.testing.assert_array_equal(union.obs, np.concatenate(list(batches.obs)))


@pytest.mark.parametrize("whole", [False, True])
def test_gradient_of_a_loss(whole, ref, make_batch):
    """Its rows are split unless it is `whole`; it moves the groups that it names, and logs itself under a name."""

    def loss(params, state, rewards):
        return ((params["a"] * params["b"] - rewards) ** 2).mean(), {"rows": jnp.float32(rewards.shape[0])}

    prepare = lambda state, batch, key, clock: batch.reward
    gradients = step.gradient_of(("a", "b"), loss, prepare, "loss", whole=whole)
    batch = make_batch(0, 12)
    grads, metrics = ref.run(gradients, state(), batch, jax.random.key(0), clock(), piece=4)
    reward = np.asarray(batch.reward, np.float64)
    slope = 2 * (6 - reward).mean()
    np.testing.assert_allclose([grads["a"], grads["b"]], [3 * slope, 2 * slope], rtol=1e-5)
    np.testing.assert_allclose(metrics["loss"], ((6 - reward) ** 2).mean(), rtol=1e-5)
    assert metrics["rows"] == (12 if whole else 4)
    alone, metrics = step.gradient_of(("a",), lambda p, s, x: loss({"b": s.b.params} | p, s, x), prepare)(
        state(), batch, jax.random.key(0), clock()
    )
    assert set(alone) == {"a"} and "loss" not in metrics
