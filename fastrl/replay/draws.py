"""Minibatches mixed from replay and dataset, in an exact ratio. Knows no buffer."""

import jax
import jax.numpy as jnp

from fastrl.types import UserError


def offline_rows(batch: int, ratio: float) -> int:
    """Dataset rows in every minibatch of `batch` rows: the nearest count to `ratio * batch`."""
    if not 0.0 <= ratio <= 1.0:
        raise UserError(f"offline ratio is {ratio}; it must be between 0 and 1")
    count = round(batch * ratio)
    if 0.0 < ratio < 1.0 and count in (0, batch):
        raise UserError(f"offline ratio {ratio} of {batch} rows rounds to {count} rows; raise the batch size")
    return count


def mixed(online: jax.Array, offline: jax.Array) -> jax.Array:
    """[n, U, B_on, W] and [n, U, B_off, W] -> [n, U, B, W], each minibatch mixed alike.

    The released WSRL code concatenates before it cuts into minibatches, so that at ratio 0.5 and
    UTD 4 their offline fractions are 0, 0, 1, 1; RLPD's and ours are 0.5 each.
    """
    return jnp.concatenate([online, offline], axis=-2)
