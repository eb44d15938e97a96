"""A reference policy: how far another is from it, row by row, and the rules by which it is chosen (OCR-CFT)."""

import dataclasses
from typing import Any

import chex
import jax
import jax.numpy as jnp

from fastrl.methods import Referenced
from fastrl.types import Params

UNJUDGED = float(jnp.finfo(jnp.float32).min)
"""The score of a policy before its first evaluation: lower than any, and finite, as all numbers of an agent must be."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Reference:
    """The reference's actor, and what is known of it and of the current one."""

    params: Params
    best: jax.Array  # [] the best score so far
    latest: jax.Array  # [] the current policy's score, at the last evaluation
    evaluations: jax.Array  # [] int32, since the last offline phase


def start(params: Params) -> Reference:
    """The policy itself, not yet judged."""
    lowest = jnp.float32(UNJUDGED)
    return Reference(jax.tree.map(jnp.copy, params), lowest, lowest, jnp.int32(0))


def judged(config: Referenced, known: Reference, actor: Params, score: jax.Array) -> Reference:
    """What an evaluation makes of the reference.

    While the policy is frozen (stage reevaluate) its score is the one to beat. During alignment scores are noted and
    nothing else: `adopted` decides at its end. Fine-tuning follows the rule `config.reference`.
    """
    if config.stage == "reevaluate":
        return dataclasses.replace(known, best=score, latest=score)
    if config.stage == "align":
        best = jnp.where(known.best == UNJUDGED, score, known.best)  # nothing was judged before: the offline policy's
        return dataclasses.replace(known, best=best, latest=score)
    count = known.evaluations + 1
    better = score > known.best
    if config.reference == "best":
        chosen = better
    elif config.reference == "interval":
        chosen = count % config.reference_interval == 0
    else:
        chosen = jnp.zeros((), bool)
    best = jnp.maximum(score, known.best)
    return Reference(select(chosen, actor, known.params), best, score, count)


def adopted(known: Reference, actor: Params) -> Reference:
    """After alignment: the aligned policy if it scored higher than the one before it, else that one stays."""
    better = known.latest > known.best
    return dataclasses.replace(
        known, params=select(better, actor, known.params), best=jnp.maximum(known.best, known.latest)
    )


def followed(config: Referenced, known: Reference, actor: Params) -> Reference:
    """After an update: the reference's Polyak average, where that is the rule."""
    if config.reference != "polyak" or config.stage != "finetune":
        return known
    moved = jax.tree.map(lambda old, new: old + config.reference_tau * (new - old), known.params, actor)
    return dataclasses.replace(known, params=moved)


def select(condition: jax.Array, new: Any, old: Any) -> Any:
    """`new` where the condition [...] holds, else `old`, leaf by leaf [..., any]."""
    reach = lambda x: condition.reshape(condition.shape + (1,) * (x.ndim - condition.ndim))
    return jax.tree.map(lambda a, b: jnp.where(reach(a), a, b), new, old)


def sampled_kl(log_prob: jax.Array, reference_log_prob: jax.Array, floor: float = -50.0) -> jax.Array:
    """`log pi(a|s) - max(log pi_ref(a|s), floor)` [B], one sample a ~ pi a row (OCR-CFT, O2SAC, KL^).

    `log_prob` and `reference_log_prob` [B] are of the same action. The floor bounds what one action costs that the
    reference would hardly ever take; below it no gradient flows through the reference's density.
    """
    chex.assert_rank(log_prob, 1)
    chex.assert_equal_shape([log_prob, reference_log_prob])
    return log_prob - jnp.maximum(reference_log_prob, floor)


def squared_distance(action: jax.Array, reference: jax.Array) -> jax.Array:
    """Mean over dimensions of `(pi(s) - pi_ref(s))^2` [B] of actions [B, A] (OCR-CFT, O2TD3, L_pi and M).

    M, the penalty in O2TD3's backup, is the mean of it over the rows.
    """
    chex.assert_rank(action, 2)
    chex.assert_equal_shape([action, reference])
    return jnp.square(action - reference).mean(-1)
