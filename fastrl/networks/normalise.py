"""Observations normalised by a dataset's statistics, as part of the agent, which does it wherever it is played."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fastrl.types import Algorithm, Clock, Key, Metrics, Player, State, Transition, Views

FLOOR = 1e-3  # added to the std (TD3+BC, OCR-CFT)

Statistics = tuple[Any, Any]
"""Mean [O] and std [O] of observations."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Normalised:
    """The state of an algorithm that sees `(obs - mean) / std`."""

    inner: State
    mean: jax.Array  # [O]
    std: jax.Array  # [O]


def statistics(obs: np.ndarray) -> Statistics:
    """Of a dataset's observations [M, O]."""
    return obs.mean(0, dtype=np.float64).astype(np.float32), (obs.std(0, dtype=np.float64) + FLOOR).astype(np.float32)


def normalised(algorithm: Algorithm, known: Statistics) -> Algorithm:
    """The algorithm behind a normaliser, whose statistics are constants of the agent's state."""

    def init(key: Key) -> Normalised:
        mean, std = (jnp.asarray(x, jnp.float32) for x in known)
        return Normalised(algorithm.init(key), mean, std)

    def act(state: Normalised, obs: jax.Array, key: Key, explore: bool) -> jax.Array:
        return algorithm.act(state.inner, _seen(state, obs), key, explore)

    def update(state: Normalised, batches: Transition, key: Key, clock: Clock) -> tuple[Normalised, Metrics]:
        inner, metrics = algorithm.update(state.inner, _rows_seen(state, batches), key, clock)
        return dataclasses.replace(state, inner=inner), metrics

    def judge(state: Normalised, score: jax.Array) -> Normalised:
        assert algorithm.judge is not None
        return dataclasses.replace(state, inner=algorithm.judge(state.inner, score))

    inner = Algorithm(init, act, update, None if algorithm.judge is None else judge)
    return inner._replace(**_others(algorithm))


def _others(algorithm: Algorithm) -> dict[str, Any]:
    """What else the algorithm has, behind the normaliser."""
    views, player, weigh = algorithm.views, algorithm.player, algorithm.weigh
    found: dict[str, Any] = {}
    if views is not None:
        q, target_q = (
            None
            if each is None
            else (lambda state, obs, action, each=each: each(state.inner, _seen(state, obs), action))
            for each in (views.q, views.target_q)
        )
        found["views"] = Views(lambda state, obs: views.policy(state.inner, _seen(state, obs)), q, target_q)
    if player is not None:
        found["player"] = Player(
            lambda state: player.start(state.inner),
            lambda state, memory, obs, key, explore: player.act(state.inner, memory, _seen(state, obs), key, explore),
            player.observe,
        )
    if weigh is not None:
        found["weigh"] = lambda state, rows: weigh(state.inner, _rows_seen(state, rows))
    return found


def _rows_seen(state: Normalised, rows: Transition) -> Transition:
    return dataclasses.replace(rows, obs=_seen(state, rows.obs), next_obs=_seen(state, rows.next_obs))


def _seen(state: Normalised, obs: jax.Array) -> jax.Array:
    axes = (1,) * (obs.ndim - 1)
    return (obs - state.mean.reshape(*axes, -1)) / state.std.reshape(*axes, -1)
