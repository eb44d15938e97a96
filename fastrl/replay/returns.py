"""Monte-Carlo returns-to-go, of datasets (host) and of fresh episodes (device).

A truncated episode is simply cut: its return is a finite sum, without a bootstrap (Cal-QL's
released code).
"""

from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from fastrl.types import UserError

ArrayT = TypeVar("ArrayT", np.ndarray, jax.Array)


def monte_carlo(
    reward: np.ndarray,
    mask: np.ndarray,
    boundary: np.ndarray,
    discount: float,
    failure: float | None = None,
) -> np.ndarray:
    """`G_t = r_t + discount * mask_t * G_{t+1}`, 0 beyond a trajectory's end; all arrays are [M].

    `failure`: the scaled reward of a step without success, in sparse tasks. A trajectory of nothing
    else has `G = failure / (1 - discount)` everywhere (Cal-QL).
    """
    keep = discount * mask.astype(np.float64) * ~boundary
    returns = np.empty(len(reward), np.float64)
    following = 0.0
    pairs = zip(reward[::-1].tolist(), keep[::-1].tolist())
    for i, (now, factor) in enumerate(pairs, 1):
        following = now + factor * following
        returns[-i] = following
    if failure is not None:
        returns[_all_failed(reward, boundary, failure)] = endless(failure, discount)
    return returns.astype(np.float32)


def running_std(reward: np.ndarray, boundary: np.ndarray, discount: float) -> float:
    """Std of `R_t = r_t + discount * R_{t-1}`, 0 before a trajectory; reward, boundary [M] (OCR-CFT's reward scale)."""
    first = np.r_[True, boundary[:-1]]
    return float(monte_carlo(reward[::-1], np.ones(len(reward)), first[::-1], discount).std(dtype=np.float64))


def endless(failure: float, discount: float) -> float:
    """The return of failing for ever."""
    if discount >= 1.0:
        raise UserError(f"discount is {discount}; returns of failed episodes need it below 1")
    return failure / (1.0 - discount)


def is_failure(reward: ArrayT, failure: float) -> ArrayT:
    """Whether each scaled reward is that of a failed step, up to float32 rounding of the scale."""
    return abs(reward - failure) <= 1e-6 * (1.0 + abs(failure))  # type: ignore[return-value]


def returns_to_go(reward: jax.Array, length: jax.Array, discount: float) -> jax.Array:
    """Returns-to-go of episodes: reward [..., H], length [...] int -> [..., H], 0 from `length` on.

    An associative scan of the affine maps `G -> r_t + discount * G`, composed from the end. No
    powers are divided out, so it is as accurate at H = 1000 as at H = 10. No mask is needed:
    nothing follows an episode's last row.
    """
    place = jax.lax.broadcasted_iota(jnp.int32, reward.shape, reward.ndim - 1)
    reward = jnp.where(place < length[..., None], reward, 0.0)

    def compose(later: tuple[jax.Array, jax.Array], now: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        return later[0] * now[0], now[1] + now[0] * later[1]

    maps = (jnp.full_like(reward, discount), reward)
    return jax.lax.associative_scan(compose, maps, reverse=True, axis=reward.ndim - 1)[1]


def _all_failed(reward: np.ndarray, boundary: np.ndarray, failure: float) -> np.ndarray:
    """[M] bool: rows of the trajectories in which every reward is `failure`."""
    starts = np.flatnonzero(np.concatenate([[True], boundary[:-1]]))
    each = np.logical_and.reduceat(is_failure(reward, failure), starts)
    return np.repeat(each, np.diff(starts, append=len(reward)))
