"""The papers' ablations are options: what each of them changes, and nothing else."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fastrl.engine.run import upload
from fastrl.replay import draws
from fastrl.replay import ring as replay

pytestmark = pytest.mark.usefixtures("quick")


def agent_of(snapshot, group):
    return {path: x for path, x in snapshot.items() if path.startswith(f"seeds.agent.{group}")}


def same(one, other):
    return one.keys() == other.keys() and all(np.array_equal(one[path], other[path]) for path in one)


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        ({"initialise": "actor"}, {"actor", "temperature"}),
        ({"initialise": "critics"}, {"critic"}),
        ({"initialise": "neither"}, set()),
        ({"initialise": "actor", "pretrainer": "iql"}, {"actor"}),
    ],
)
def test_only_the_networks_that_are_asked_for_are_taken_over(plan_of, driver_of, leaves_of, options, kept):
    driver = driver_of(plan_of("wsrl", layer_norm=True, **options))
    before = driver._enter(0, None)
    known = leaves_of(before)
    after = leaves_of(driver._enter(1, before))
    for group in ("actor", "critic"):
        params = f"{group}.params"
        assert same(agent_of(known, params), agent_of(after, params)) == (group in kept), group


def test_optimisers_start_anew_where_they_should(plan_of, walk):
    pretrained, warm = (snapshots[n] for snapshots, n in zip(walk(plan_of("wsrl", reset_optimizers=True))[:2], (1, 0)))
    for group in ("actor", "critic"):
        params, opt = (f"{group}.{part}" for part in ("params", "opt"))
        assert same(agent_of(pretrained, params), agent_of(warm, params))
        assert all((x == 0).all() for x in agent_of(warm, opt).values())
        assert any((x != 0).any() for x in agent_of(pretrained, opt).values())


def test_the_critics_learn_alone_while_the_actor_is_frozen(plan_of, walk):
    plan = plan_of("wsrl", freeze_actor=10)
    assert [(phase.name, phase.steps) for phase in plan.phases[1:]] == [
        ("warmup", 20),
        ("critics", 10),
        ("finetune", 10),
    ]
    (before, after), (_, end) = walk(plan)[2:]
    for group, moves in (("actor", False), ("temperature", False), ("critic.params", True), ("critic.target", True)):
        assert same(agent_of(before, group), agent_of(after, group)) != moves, group
    assert not same(agent_of(after, "actor"), agent_of(end, "actor"))


def test_the_warm_up_may_be_rows_of_the_dataset(plan_of, walk):
    plan = plan_of("wsrl", warmup_by="dataset")
    assert [phase.steps for phase in plan.phases] == [20, 1, 39]
    rows, data = walk(plan)[1][0]["ring.rows"], np.asarray(upload(plan))
    for seed in rows:
        assert {row.tobytes() for row in seed[:20]} <= {row.tobytes() for row in data}
    assert not np.array_equal(rows[0, :20], rows[1, :20])


def test_an_untrained_policy_warms_up_and_the_trained_one_learns(plan_of, walk):
    untrained = walk(plan_of("wsrl", warmup_by="untrained"))
    trained = walk(plan_of("wsrl"))
    for mine, theirs in zip(untrained[1], trained[1], strict=True):
        assert same(agent_of(mine, ""), agent_of(theirs, ""))
    actions = [replay.unpack(snapshots[1][1]["ring.rows"], 1, 1).action for snapshots in (untrained, trained)]
    assert not np.array_equal(*actions)


def test_an_offline_share_moves_on_a_line():
    draw = draws.mixed(draws.UNIFORM, 0.5, (0.0, 100))
    assert (draw.offline, draw.annealed) == (0.5, (0.0, 100))
    ring = replay.create(2, 10, 1, 1)
    ring = replay.advance(replay.insert(ring, jnp.ones((2, 10, 7))), 10)
    keys = jax.random.split(jax.random.key(0), 2)
    for step, expected in ((0, 8), (25, 6), (50, 4), (100, 0), (1_000, 0)):
        stock = draws.Stock(ring, jnp.full((5, 7), -1.0), jnp.int32(0), jnp.int32(step))
        rows = draw.take(stock, None, jax.random.clone(keys), 3, 16)
        assert rows.shape == (2, 3, 16, 7)
        assert (np.asarray(rows[..., 0] < 0).sum(-1) == expected).all()


def test_a_share_that_moves_takes_its_rows_from_the_clock_of_the_run(plan_of, execute):
    plan = plan_of("wsrl", offline_ratio=0.5, offline_ratio_end=0.0, offline_ratio_steps=30)
    assert plan.dataset is not None and plan.phases[-1].draw.annealed == (0.0, 30)
    assert np.isfinite(execute(plan).rows[-1]["return"]).all()


@pytest.mark.parametrize("recipe", ["o2sac", "o2td3"])
@pytest.mark.parametrize(
    ("alignment", "moving"),
    [("aligned", {"actor", "critic"}), ("fixed", {"actor"}), ("followed", {"actor", "critic", "critic's target"})],
)
def test_what_moves_while_the_policy_is_aligned(plan_of, driver_of, leaves_of, recipe, alignment, moving):
    driver, carry = driver_of(plan_of(recipe, alignment=alignment, pretrain_steps=10)), None
    for number in range(2):
        carry = driver._phase(number, driver._enter(number, carry))
    carry = driver._enter(2, carry)
    before = leaves_of(carry)
    after = leaves_of(driver._phase(2, carry))
    parts = {"actor": "inner.actor.params", "critic": "inner.critic.params", "critic's target": "inner.critic.target"}
    plain = {name: part.removeprefix("inner.") for name, part in parts.items()}
    found = {
        name
        for name in parts
        if any(not same(agent_of(before, part), agent_of(after, part)) for part in (parts[name], plain[name]))
    }
    assert found == moving
