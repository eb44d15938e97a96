"""The order of updates, the same for every algorithm. Knows nothing of losses and networks.

One update: all losses at the same old parameters, applied together (offline agents and UTD 1).
U > 1: a scan of U critic steps, each on its own slice with the target's average after each, then
one actor step on all U*B rows with the new critics (WSRL, Algorithm 1, lines 9-13).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from fastrl.types import Key, Metrics, State, Transition

Gradients = Callable[[State, Transition, Key], tuple[Any, Metrics]]
Apply = Callable[[State, Any], State]


class Steps(NamedTuple):
    """What an algorithm hands over; batches are [B, ...]."""

    critic: Gradients
    apply_critic: Apply
    actor: Gradients
    apply_actor: Apply
    rest_critic: Callable[[State], State] = lambda state: state
    """What an actor-only step does to the critics (nothing; ghost Adam: a zero-gradient step)."""
    rest_actor: Callable[[State], State] = lambda state: state
    """What a critic-only step does to the actor."""


def updates(steps: Steps) -> Callable[[State, Transition, Key], tuple[State, Metrics]]:
    """The `update` of an Algorithm: batches [U, B, ...]."""

    def joint(state: State, batch: Transition, key: Key) -> tuple[State, Metrics]:
        critic_key, actor_key = jax.random.split(key)
        critic, critic_metrics = steps.critic(state, batch, critic_key)
        actor, actor_metrics = steps.actor(state, batch, actor_key)
        state = steps.apply_actor(steps.apply_critic(state, critic), actor)
        return state, critic_metrics | actor_metrics

    def critic_step(state: State, xs: tuple[Transition, Key]) -> tuple[State, Metrics]:
        gradients, metrics = steps.critic(state, *xs)
        return steps.rest_actor(steps.apply_critic(state, gradients)), metrics

    def update(state: State, batches: Transition, key: Key) -> tuple[State, Metrics]:
        count = batches.reward.shape[0]
        if count == 1:
            return joint(state, jax.tree.map(lambda x: x[0], batches), key)
        critic_key, actor_key = jax.random.split(key)
        xs = (batches, jax.random.split(critic_key, count))
        state, metrics = jax.lax.scan(critic_step, state, xs)
        union = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), batches)
        actor, actor_metrics = steps.actor(state, union, actor_key)
        state = steps.rest_critic(steps.apply_actor(state, actor))
        return state, jax.tree.map(lambda x: x.mean(0), metrics) | actor_metrics

    return update
