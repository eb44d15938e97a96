"""The order of updates, composed: what is stepped together, one after the other, or not at every call.

A `Gradients` is a loss's gradient, by the group that it moves; a `Step` is a state's change by one minibatch; an
`Update` takes the U minibatches of one call. Metrics are means over the calls that are logged: a step that is taken at
every n-th call alone counts n-fold there.
"""

import contextlib
import dataclasses
from collections.abc import Callable, Collection, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from fastrl.algorithms import group, rows
from fastrl.types import Clock, Key, Metrics, Params, State, Transition

Gradients = Callable[[State, Transition, Key, Clock], tuple[dict[str, Params], Metrics]]
Step = Callable[[State, Transition, Key, Clock], tuple[State, Metrics]]
Update = Step  # with batches [U, B, ...]
Foresee = Callable[[State, Transition, Key], Any]  # batches [U, B, ...] and a key each [U]
Optimisers = Mapping[str, Any]  # an optax transformation, or `optimisers.Adam`, a group

WRITTEN_OUT = 4
"""Minibatches of one round of the scan on a GPU, where a loop costs kernels: its counter, and each array's slice."""


def gradient_of(
    groups: tuple[str, ...],
    loss: Callable[[dict[str, Params], State, Any], tuple[jax.Array, Metrics]],
    prepare: Callable[[State, Transition, Key, Clock], Any],
    name: str | None = None,
    weight: int = 1,
    whole: bool = False,
) -> Gradients:
    """The gradient of `loss(params by group, state, rows)`, the mean over the rows that `prepare` makes of a batch.

    What `prepare` gives is [B, ...] throughout: rows, noise and targets, through which no gradient flows. `name`: the
    metric that the loss itself is logged as; `weight`: rows of the ensemble that a row stands for; `whole`: the loss
    has a statistic of the batch, so that its rows are never split.
    """

    def gradients(state: State, batch: Transition, key: Key, clock: Clock) -> tuple[dict[str, Params], Metrics]:
        params = {each: getattr(state, each).params for each in groups}
        prepared = prepare(state, batch, key, clock)
        with rows.pieces_of(None) if whole else contextlib.nullcontext():
            grads, value, metrics = rows.gradient(lambda p, xs: loss(p, state, xs), params, prepared, weight)
        return grads, metrics if name is None else metrics | {name: value}

    return gradients


def descend(
    state: State, grads: Mapping[str, Params], optimisers: Optimisers, tau: Any = None, targets: Collection[str] = ()
) -> State:
    """Each group is stepped by its own optimiser; the targets of those in `targets` move by `tau`."""
    moved = {
        name: group.descend(getattr(state, name), grad, optimisers[name], tau if name in targets else None)
        for name, grad in grads.items()
    }
    return dataclasses.replace(state, **moved)


def together(optimisers: Optimisers, *losses: Gradients, tau: Any = None, targets: Collection[str] = ()) -> Step:
    """All losses at the same old parameters, then one step of each group; losses of one group are added."""

    def step(state: State, batch: Transition, key: Key, clock: Clock) -> tuple[State, Metrics]:
        keys = [key] if len(losses) == 1 else jax.random.split(key, len(losses))
        total: dict[str, Params] = {}
        found: Metrics = {}
        for loss, own in zip(losses, keys, strict=True):
            grads, metrics = loss(state, batch, own, clock)
            for name, grad in grads.items():
                total[name] = jax.tree.map(jnp.add, total[name], grad) if name in total else grad
            found |= metrics
        return descend(state, total, optimisers, tau, targets), found

    return step


def chain(*steps: Step) -> Step:
    """One after the other, on the same minibatch: the second sees what the first changed (TD3)."""

    def step(state: State, batch: Transition, key: Key, clock: Clock) -> tuple[State, Metrics]:
        found: Metrics = {}
        for one, own in zip(steps, jax.random.split(key, len(steps)), strict=True):
            state, metrics = one(state, batch, own, clock)
            found |= metrics
        return state, found

    return step


def every(interval: int, step: Step) -> Step:
    """The step at every `interval`-th call, the first of them after `interval` calls (TD3's delay)."""
    return when(lambda clock: clock.call % interval == interval - 1, step, interval)


def when(due: Callable[[Clock], jax.Array], step: Step, interval: int = 1) -> Step:
    """The step where `due(clock)`; all seeds share the clock, so it stays a branch under `vmap`."""

    def maybe(state: State, batch: Transition, key: Key, clock: Clock) -> tuple[State, Metrics]:
        shapes = jax.eval_shape(lambda: step(state, batch, key, clock)[1])

        def taken() -> tuple[State, Metrics]:
            new, metrics = step(state, batch, key, clock)
            return new, jax.tree.map(lambda x: x * interval, metrics)

        def left() -> tuple[State, Metrics]:
            return state, jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)

        return jax.lax.cond(due(clock), taken, left)

    return maybe


def beside(main: Step, other: Step, *groups: str) -> Step:
    """Both steps from the same old state and with the same key; `groups` are taken from the other."""

    def step(state: State, batch: Transition, key: Key, clock: Clock) -> tuple[State, Metrics]:
        new, metrics = main(state, batch, key, clock)
        also, more = other(state, batch, jax.random.clone(key), clock)
        return dataclasses.replace(new, **{name: getattr(also, name) for name in groups}), metrics | more

    return step


def averaged(tau: Any, *names: str) -> Step:
    """Moves the targets of these groups, and nothing else."""

    def step(state: State, batch: Transition, key: Key, clock: Clock) -> tuple[State, Metrics]:
        return dataclasses.replace(state, **{name: group.average(getattr(state, name), tau) for name in names}), {}

    return step


def each(step: Step) -> Update:
    """The step on each of the U minibatches of a call in turn; the clock counts minibatches."""

    def update(state: State, batches: Transition, key: Key, clock: Clock) -> tuple[State, Metrics]:
        count = batches.reward.shape[0]
        if count == 1:
            return step(state, jax.tree.map(lambda x: x[0], batches), key, clock)

        def one(state: State, xs: tuple[Transition, Key, jax.Array]) -> tuple[State, Metrics]:
            batch, own, number = xs
            return step(state, batch, own, clock._replace(call=clock.call * count + number))

        xs = (batches, jax.random.split(key, count), jnp.arange(count, dtype=jnp.int32))
        return scanned(one, state, xs)

    return update


def scanned(step: Callable[[State, Any], tuple[State, Metrics]], state: State, inputs: Any) -> tuple[State, Metrics]:
    """`step(state, inputs[u])` for u = 0.. in turn, and the means of its metrics.

    The metrics leave the scan as one array: on a card each of them would be a kernel of every step.
    """
    names: list[str] = []

    def one(state: State, xs: Any) -> tuple[State, jax.Array]:
        state, metrics = step(state, xs)
        names[:] = sorted(metrics)
        return state, jnp.stack([metrics[name] for name in names])

    together = WRITTEN_OUT if jax.default_backend() == "gpu" else 1
    state, values = jax.lax.scan(one, state, inputs, unroll=together)
    return state, dict(zip(names, values.mean(0)))


def critics_then_rest(joint: Step, critic: Step, rest: Step, foresee: Foresee | None = None) -> Update:
    """At U = 1 the joint step; else U critic steps, then the rest once, on the union of the U minibatches.

    WSRL, Algorithm 1, lines 9-13. While the critics are stepped the rest stands still: `foresee` computes what their
    steps need of it for all minibatches at once, and what it gives, [U, ...], takes the minibatches' place.
    """

    def update(state: State, batches: Transition, key: Key, clock: Clock) -> tuple[State, Metrics]:
        count = batches.reward.shape[0]
        if count == 1:
            return joint(state, jax.tree.map(lambda x: x[0], batches), key, clock)
        critic_key, rest_key = jax.random.split(key)
        keys = jax.random.split(critic_key, count)
        inputs = batches if foresee is None else foresee(state, batches, keys)

        def one(state: State, xs: tuple[Any, Key]) -> tuple[State, Metrics]:
            return critic(state, *xs, clock)

        state, metrics = scanned(one, state, (inputs, keys))
        state, others = rest(state, union(batches), rest_key, clock)
        return state, metrics | others

    return update


def union(batches: Any) -> Any:
    """Minibatches [U, B, ...] as one batch [U * B, ...]."""
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), batches)
