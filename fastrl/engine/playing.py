"""What plays whole episodes: an algorithm's player, or its `act` as a player that remembers nothing."""

from typing import Any

import jax
import jax.numpy as jnp

from fastrl.types import Algorithm, Key, Player, State


def player_of(algorithm: Algorithm) -> Player:
    """The algorithm's own player where it has one."""
    if algorithm.player is not None:
        return algorithm.player

    def act(state: State, memory: Any, obs: jax.Array, key: Key, explore: bool) -> tuple[jax.Array, Any]:
        return algorithm.act(state, obs, key, explore), memory

    return Player(lambda state: None, act, lambda memory, reward: memory)


def begun(player: Player, agent: State, copies: int) -> Any:
    """The memories [E, ...] of so many episodes at their start."""
    return jax.tree.map(lambda x: jnp.broadcast_to(x, (copies, *x.shape)), player.start(agent))
