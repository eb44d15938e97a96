"""What each phase of Off2On changes and leaves, what crosses the switch, and the paper's defaults."""

import dataclasses

import numpy as np
import pytest

from fastrl import presets
from fastrl.config import RunOptions
from fastrl.data.datasets import Dataset
from fastrl.planning.builder import Builder
from fastrl.recipes import names, off2on
from fastrl.types import Spec, UserError

pytestmark = pytest.mark.usefixtures("quick")

AGENT, DRAW = "seeds.agent.", "seeds.draw."


def part_of(path):
    """`actor.params` of `seeds.agent.actor.params.trunk...`."""
    return ".".join(path.removeprefix(AGENT).split(".")[:2])


def changed(before, after, prefix=AGENT):
    paths = [path for path in before if path.startswith(prefix)]
    found = {path for path in paths if not np.array_equal(before[path], after[path])}
    return {part_of(path) for path in found} if prefix == AGENT else {path.removeprefix(prefix) for path in found}


def moved(*groups):
    return {f"{group}.{part}" for group in groups for part in ("params", "opt")}


LEARNT = moved("actor", "critic", "temperature", "density") | {"critic.target"}
PHASES = {
    "pretrain": moved("actor", "critic", "temperatures", "alpha") | {"critic.target"},
    "warmup": set(),
    "first": LEARNT,
    "finetune": LEARNT,
}


@pytest.fixture(scope="module")
def seen(plan_of, walk):
    plan = plan_of("off2on", gap=1.0, first_updates=3)
    return dict(zip([phase.name for phase in plan.phases], walk(plan), strict=True))


def test_each_phase_changes_what_it_should_and_nothing_else(seen):
    assert list(seen) == list(PHASES)
    for name, wanted in PHASES.items():
        assert changed(*seen[name]) == wanted, name
        assert np.isfinite(np.concatenate([x.ravel() for path, x in seen[name][1].items() if AGENT in path])).all()


def test_actors_and_critics_alone_cross_the_switch(seen):
    before, after = seen["pretrain"][1], seen["warmup"][0]
    of = lambda snapshot, part: {path.partition(part)[2]: x for path, x in snapshot.items() if part_of(path) == part}
    for old, new in (("actor.params",) * 2, ("critic.params",) * 2, ("critic.params", "critic.target")):
        ours, theirs = of(before, old), of(after, new)
        assert ours.keys() == theirs.keys() and len(ours) > 3
        for path in ours:
            np.testing.assert_array_equal(ours[path], theirs[path])
    for name in ("actor.opt", "critic.opt"):
        assert not any(x.any() for x in of(after, name).values())
    assert (after[f"{AGENT}temperature.params"] == 0).all()
    for earlier, later in (("warmup", "first"), ("first", "finetune")):
        assert changed(seen[earlier][1], seen[later][0]) == set()
        assert changed(seen[earlier][1], seen[later][0], DRAW) == set()


def test_priorities(seen):
    """40 rows of the dataset, beside which the first 20 of the ring shall make one half."""
    assert not any(path.startswith(DRAW) for path in seen["pretrain"][1])
    before, after = seen["warmup"]
    assert changed(before, after, DRAW) == {"ring", "pointer"}
    np.testing.assert_array_equal(before[f"{DRAW}data"], np.ones((2, 40)))
    np.testing.assert_array_equal(after[f"{DRAW}ring"], [[2.0] * 20 + [0.0] * 20] * 2)
    for name, pointer in (("first", 30), ("finetune", 0)):
        before, after = seen[name]
        assert {"data", "ring", "pointer"} <= changed(before, after, DRAW) <= {"data", "ring", "pointer", "maximum"}
        assert (after[f"{DRAW}pointer"] == pointer).all()
        assert (after[f"{DRAW}data"] > 0).all()


def test_the_first_steps_make_several_updates(plan_of):
    plan = plan_of("off2on", num_envs=2, utd=1, first_steps=9, first_updates=3, warmup=10, **{"first.actor_lr": 1e-2})
    phases = {phase.name: phase for phase in plan.phases}
    assert [phase.steps for phase in phases.values()] == [20, 10, 10, 20]
    assert [phase.updates for phase in phases.values()] == [1, 0, 6, 2]
    assert phases["pretrain"].batch_size == 2 * phases["finetune"].batch_size  # rows of each agent's own
    assert [phase.config.actor_lr for phase in phases.values()] == [1e-4, 3e-4, 1e-2, 3e-4]
    assert [phase.config.stage for phase in phases.values()] == ["pretrain"] + ["finetune"] * 3
    frozen = plan_of("off2on", freeze_actor=4, first_steps=5)
    assert [(phase.name, phase.steps) for phase in frozen.phases[1:]] == [
        *(("warmup", 20), ("critics", 4), ("first", 5), ("finetune", 11))
    ]


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"offline_ratio_end": 0.1}, "--offline-ratio-end: the share of offline rows follows from their priorities"),
        ({"warmup_by": "dataset"}, "--warmup-by dataset: the dataset's rows are drawn by priority already"),
        ({"offline_ratio": 0.0}, "--offline-ratio 0: rows that are drawn by priority are of both kinds"),
        ({"first_steps": 30}, "--steps leaves 20 steps that learn, and the first 30 of them make more updates"),
    ],
)
def test_what_its_rows_cannot_be_is_refused(plan_of, options, match):
    with pytest.raises(UserError, match=match):
        plan_of("off2on", **options)


def test_an_agent_of_another_class_is_refused():
    @dataclasses.dataclass(frozen=True)
    class Other:
        actor: int = 0

    with pytest.raises(UserError, match="Off2On goes on with an ensemble of agents"):
        off2on.from_agents(1, Other())


def test_the_papers_options():
    found = presets.find("locomotion")
    options = presets.resolve(RunOptions(), found, names.run_defaults("off2on", "locomotion"))
    assert (options.pretrain_steps, options.steps) == (1_000_000, 250_000)
    phases = {
        phase.name: phase
        for phase in names.find("off2on")(Builder(Spec("hopper", 11, 3, 1000, "locomotion"), found, options, {}))
    }
    assert [phase.steps for phase in phases.values()] == [1_000_000, 1_000, 1_000, 248_000]
    config, offline = phases["finetune"].config, phases["pretrain"].config
    for each in (config, offline):
        assert (each.members, each.num_critics, each.utd, each.batch_size) == (5, 2, 1, 256)
        assert (each.actor_hidden, each.critic_hidden, each.layer_norm) == ((256, 256), (256, 256), False)
        assert (each.critic_lr, each.discount, each.tau, each.penalized) == (3e-4, 0.99, 0.005, "all")
    assert (config.actor_lr, config.density_lr, config.density_temperature) == (3e-4, 3e-4, 5.0)
    assert phases["finetune"].draw.offline == 0.5 and phases["pretrain"].draw.offline == 1.0


@pytest.mark.slow
def test_it_leaves_the_data_for_the_best_action(plan_of, execute):
    """The data is bad actions, which the agents have cloned; online they find the best one, whose return is 0."""
    random = np.random.default_rng(0)
    action = np.clip(random.normal(-0.3, 0.3, (400, 1)), -0.99, 0.99)
    zeros = np.zeros((400, 1))
    data = Dataset.from_arrays(zeros, action, -((action[:, 0] - 0.5) ** 2), np.zeros(400), zeros)
    rates = dict.fromkeys(("actor_lr", "critic_lr", "temperature_lr", "density_lr"), 3e-3)
    sizes = {"batch_size": 64, "utd": 1, "pretrain_steps": 300, "steps": 700, "warmup": 100, "first_steps": 100}
    plan = plan_of("off2on", "probe-action", data, target_entropy=-3.0, discount=0.5, eval_every=250, **rates, **sizes)
    returns = {}
    for row in execute(plan).rows:
        if row["kind"] == "eval":
            returns[row["phase"]] = row["return"]
    assert max(returns["pretrain"]) < -0.4, returns
    assert min(returns["finetune"]) > -0.02, returns
