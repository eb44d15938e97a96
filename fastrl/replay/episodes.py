"""Monte-Carlo returns of episodes still being played (Cal-QL online).

A row's return is known only when its episode ends: until then its reward waits here.
`replay.set_returns` writes the returns into the ring and `replay.sample_finished` leaves out the
rows that have none yet.
"""

import dataclasses

import jax
import jax.numpy as jnp

from fastrl.replay.returns import endless, is_failure, returns_to_go


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class OpenEpisodes:
    """The open episode of each of E environments. Any leading axes (seeds) may stand before E."""

    reward: jax.Array  # [..., E, H]: scaled rewards of the open episode, stale beyond `length`
    length: jax.Array  # [..., E] int32: its rows so far


def start(copies: int, horizon: int) -> OpenEpisodes:
    """Nothing played yet in `copies` environments whose episodes are cut after `horizon` steps."""
    reward = jnp.zeros((copies, horizon), jnp.float32)
    return OpenEpisodes(reward=reward, length=jnp.zeros((copies,), jnp.int32))


def push(
    episodes: OpenEpisodes,
    reward: jax.Array,
    mask: jax.Array,
    done: jax.Array,
    discount: float,
    failure: float | None = None,
) -> tuple[OpenEpisodes, jax.Array, jax.Array]:
    """Adds one step: reward (scaled), mask and done (terminated or truncated), all [..., E].

    Also gives the returns-to-go of the episodes that just ended, [..., E, H], and how many
    environment steps ago each row was written, [..., E, H] int32: 0 is this step, -1 no such row.
    As in a dataset, a row of mask 0 ends its trajectory. `failure` as in `returns.monte_carlo`.
    """
    shape = episodes.reward.shape
    place = jax.lax.broadcasted_iota(jnp.int32, shape, len(shape) - 1)
    rewards = jnp.where(place == episodes.length[..., None], reward[..., None], episodes.reward)
    length = episodes.length + 1
    ended = done | (mask == 0)
    inside = place < length[..., None]
    returns = returns_to_go(rewards, length, discount)
    if failure is not None:
        failed = jnp.all(is_failure(rewards, failure) | ~inside, axis=-1)
        returns = jnp.where(failed[..., None], endless(failure, discount), returns)
    age = jnp.where(inside & ended[..., None], length[..., None] - 1 - place, -1)
    following = OpenEpisodes(reward=rewards, length=jnp.where(ended, 0, length))
    return following, returns, age
