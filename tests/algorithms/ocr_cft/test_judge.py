"""What an evaluation makes of the reference, by stage and rule; what alignment adopts."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fastrl.algorithms import reference
from fastrl.methods import O2PPO, O2SAC, O2TD3

SCORES = [1.0, 3.0, 2.0, 3.0, 5.0, -4.0, 4.0]
SIZES = {"actor_hidden": (8,), "critic_hidden": (8,)}
KINDS = {"o2sac": O2SAC, "o2td3": O2TD3, "o2ppo": O2PPO}


def play(ref, spec, kind, stage, best=reference.UNJUDGED, **options):
    """[(state, score)] of an evaluation after each change of the actor: it is full of 1, then of 2, ..."""
    algorithm = KINDS[kind](**SIZES, stage=stage, **options).build(spec)
    state = ref.filled(algorithm)
    known = dataclasses.replace(state.reference, best=jnp.asarray(best), latest=jnp.asarray(reference.UNJUDGED))
    state, judge = dataclasses.replace(state, reference=known), jax.jit(algorithm.judge)
    for n, score in enumerate(SCORES, 1):
        params = jax.tree.map(lambda x: jnp.full(x.shape, float(n)), state.actor.params)
        before = dataclasses.replace(state, actor=dataclasses.replace(state.actor, params=params))
        state = judge(before, jnp.asarray(score))
        others = dataclasses.replace(before, reference=None), dataclasses.replace(state, reference=None)
        ref.close(ref.host(others[1]), ref.host(others[0]), 0)
        yield state.reference


def held(known):
    """The number of the evaluation whose policy the reference is, 0 for the first one."""
    values = {float(x) for leaf in jax.tree.leaves(known.params) for x in np.ravel(leaf)}
    return int(values.pop()) if len(values) == 1 else 0


RULES = {
    # options: whose policy is the reference after each evaluation
    "best": ({"reference": "best"}, [1, 2, 2, 2, 5, 5, 5]),
    "interval": ({"reference": "interval", "reference_interval": 3}, [0, 0, 3, 3, 3, 6, 6]),
    "polyak": ({"reference": "polyak"}, [0] * 7),
    "fixed": ({"reference": "fixed"}, [0] * 7),
}


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("kind", KINDS)
def test_fine_tuning_follows_the_rule(kind, rule, ref, spec):
    options, expected = RULES[rule]
    found = list(play(ref, spec, kind, "finetune", **options))
    assert [held(known) for known in found] == expected
    assert [float(known.best) for known in found] == [max(SCORES[: n + 1]) for n in range(7)]
    assert [float(known.latest) for known in found] == SCORES
    assert [int(known.evaluations) for known in found] == list(range(1, 8))


def test_the_score_of_the_policy_before_is_to_be_beaten(ref, spec):
    found = list(play(ref, spec, "o2sac", "finetune", best=3.0))
    assert [held(known) for known in found] == [0, 0, 0, 0, 5, 5, 5]


@pytest.mark.parametrize("kind", KINDS)
def test_a_frozen_policy_sets_the_score_to_beat(kind, ref, spec):
    for known, score in zip(play(ref, spec, kind, "reevaluate"), SCORES, strict=True):
        assert held(known) == 0 and int(known.evaluations) == 0
        assert float(known.best) == float(known.latest) == score


@pytest.mark.parametrize("best, expected", [(2.5, 2.5), (reference.UNJUDGED, SCORES[0])])
def test_alignment_notes_scores_alone(best, expected, ref, spec):
    """Without a score the first one counts as the offline policy's, which has not changed yet."""
    for known, score in zip(play(ref, spec, "o2td3", "align", best=best), SCORES, strict=True):
        assert held(known) == 0 and int(known.evaluations) == 0
        assert float(known.best) == expected and float(known.latest) == score


def test_what_alignment_adopts():
    """Seed by seed: worse, equal, better, never judged."""
    old, new = {"w": jnp.zeros((4, 2, 3)), "b": jnp.zeros(4)}, {"w": jnp.ones((4, 2, 3)), "b": jnp.ones(4)}
    best, latest = jnp.array([2.0, 2.0, 2.0, -jnp.inf]), jnp.array([1.0, 2.0, 3.0, -jnp.inf])
    found = reference.adopted(reference.Reference(old, best, latest, jnp.zeros(4, jnp.int32)), new)
    np.testing.assert_array_equal(found.params["b"], [0, 0, 1, 0])
    np.testing.assert_array_equal(found.params["w"][:, 1, 2], [0, 0, 1, 0])
    np.testing.assert_array_equal(found.best, [2, 2, 3, -np.inf])
    np.testing.assert_array_equal(found.latest, latest)


@pytest.mark.parametrize("kind", KINDS)
def test_a_policy_that_nobody_judged_has_finite_numbers(spec, kind):
    """A number that is not finite would freeze the seed, as in a pre-training without an environment."""
    fresh = jax.jit(KINDS[kind](**SIZES).build(spec).init)(jax.random.key(0))
    assert all(np.isfinite(x).all() for x in jax.tree.leaves(fresh))
    assert (np.asarray(fresh.reference.best) < -1e38).all()
