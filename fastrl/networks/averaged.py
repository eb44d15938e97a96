"""One policy of several: the squashed Gaussian whose mean and variance are those of their even mixture (Off2On)."""

import dataclasses

import jax
import jax.numpy as jnp

from fastrl.networks.distributions import TanhNormal
from fastrl.networks.policy import Policy
from fastrl.types import Key, Params


@dataclasses.dataclass(frozen=True)
class Averaged(Policy):
    """Actors of one module, whose parameters have a leading axis [N], acting as one."""

    def __call__(self, params: Params, obs: jax.Array, key: Key | None = None) -> TanhNormal:
        """The distribution of obs [B, O]; gradients reach all members."""
        del key
        each = jax.vmap(lambda params: Policy.__call__(self, params, obs))(params)
        return matched(each)


def matched(each: TanhNormal) -> TanhNormal:
    """Moments of the mixture of Gaussians with means and stds [N, B, A], before the tanh: [B, A].

    `mean = avg(mean_i)`, `var = avg(std_i^2 + mean_i^2) - mean^2` (Off2On, section 4.1), the latter written as the sum
    of the average variance and the variance of the means, which cannot be negative.
    """
    mean = each.mean.mean(0)
    variance = jnp.square(each.std).mean(0) + jnp.square(each.mean - mean[None]).mean(0)
    return TanhNormal(mean, jnp.sqrt(variance))
