import jax
import numpy as np
import pytest

from fastrl.engine.run import upload
from fastrl.replay import ring as replay

pytestmark = pytest.mark.usefixtures("quick")

LIKE = {"layer_norm": True}  # networks alike in every recipe: fewer programs to compile

CASES = {
    "wsrl from calql": ("wsrl", {}),
    "wsrl from cql": ("wsrl", {"pretrainer": "cql"}),
    "wsrl from iql": ("wsrl", {"pretrainer": "iql"}),
    "calql": ("calql", {"retention": "none"}),
    "cql, mixed": ("cql", {"retention": "mixed"}),
    "iql, appended": ("iql", {"retention": "append"}),
    "rlpd": ("rlpd", {}),
    "sac": ("sac", {}),
    "jsrl": ("jsrl", {}),
    "wsrl on calql": ("wsrl", {"online": "calql"}),
    "wsrl, untrained warm-up": ("wsrl", {"warmup_by": "untrained"}),
    "iql, ten critics": ("iql", {"num_critics": 10}),
}


def changed(before, after, prefix):
    return {path for path in before if path.startswith(prefix) and not np.array_equal(before[path], after[path])}


def same_agent(before, after, part=""):
    names = [path for path in before if path.startswith(f"seeds.agent.{part}") and path in after]
    return names and all(np.array_equal(before[path], after[path], equal_nan=True) for path in names)


@pytest.mark.parametrize("case", CASES)
def test_each_phase_changes_what_it_should_and_nothing_else(case, plan_of, walk):
    recipe, options = CASES[case]
    plan = plan_of(recipe, **LIKE, **options)
    seen = dict(zip([phase.name for phase in plan.phases], walk(plan), strict=True))
    for before, after in seen.values():
        np.testing.assert_array_equal(before["keys"], after["keys"])
        assert before["step"] == 0 and after["step"] == 20
        assert before.keys() == after.keys()
    if "pretrain" in seen:
        before, after = seen["pretrain"]
        assert not any(path.startswith(("ring", "seeds.env", "seeds.draw")) for path in after)
        learnt = changed(before, after, "seeds.agent.")
        assert any(".actor." in path for path in learnt) and any(".critic." in path for path in learnt)
        kept = "actor.params" if recipe == "jsrl" else ""  # else everything both agents have is kept at the switch
        assert same_agent(after, seen["warmup"][0], kept)

    before, after = seen["warmup"]
    assert changed(before, after, "seeds.agent.") == set()  # not one bit
    assert {"ring.rows", "ring.size"} <= changed(before, after, "ring")
    assert "seeds.totals.steps" in changed(before, after, "seeds.totals")

    between, end = seen["finetune"]
    assert same_agent(after, between)
    for name in ("ring.rows", "ring.pointer", "ring.size", "seeds.env.obs", "seeds.env.length"):
        np.testing.assert_array_equal(after[name], between[name])
    learnt = changed(between, end, "seeds.agent.")
    assert any(".actor." in path for path in learnt) and any(".critic." in path for path in learnt)
    the_ring_holds_what_was_kept(plan, before, end)


def the_ring_holds_what_was_kept(plan, start, end):
    """Offline rows only with retention `append`; the rest are the environment's own steps."""
    kept = 40 if plan.phases[-1].fill else 0
    assert start["ring.size"] == kept and end["ring.size"] == kept + 40
    if kept:
        for rows in end["ring.rows"]:
            np.testing.assert_array_equal(rows[:40], upload(plan))
    rows = replay.unpack(end["ring.rows"][:, kept:], 1, 1)
    assert (np.abs(rows.action) < 1).all() and (rows.reward == 1).all() and (rows.mask == 1).all()
    returns = np.broadcast_to((1 - 0.99 ** (5 - np.arange(40) % 5)) / (1 - 0.99), (2, 40))
    calibrated = plan.phases[-1].config.needs_returns
    np.testing.assert_allclose(rows.mc_return, returns if calibrated else 0 * returns, rtol=1e-5)


def test_sac_finds_the_best_action(plan_of, execute):
    """-0.25 at the start, 0 at best, in 1500 steps of one seed after another."""
    rates = {"actor_lr": 3e-3, "critic_lr": 3e-3, "temperature_lr": 3e-3}
    sizes = {"batch_size": 64, "warmup": 128, "steps": 1_500, "eval_every": 686}
    outcome = execute(plan_of("sac", "probe-action", target_entropy=-3.0, discount=0.5, **rates, **sizes))
    returns = [row["return"] for row in outcome.rows if row["kind"] == "eval"]
    assert max(returns[0]) < -0.2, returns
    assert min(returns[-1]) > -0.01, returns
    assert jax.tree.leaves(outcome.carry.seeds.agent)[0].shape[0] == 2
