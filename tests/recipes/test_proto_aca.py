"""What each phase of PROTO, PROTO+TD3 and ACA changes and leaves, what crosses the switch, and the papers' defaults."""

import jax
import numpy as np
import pytest

from fastrl import presets
from fastrl.config import RunOptions
from fastrl.data.datasets import Dataset
from fastrl.engine.run import upload
from fastrl.planning.builder import Builder
from fastrl.recipes import names
from fastrl.recipes.proto import temperature
from fastrl.types import Spec

pytestmark = pytest.mark.usefixtures("quick")

AGENT = "seeds.agent."
PARTS = [
    f"{group}.{part}"
    for group in ("actor", "critic", "value", "temperature", "baseline")
    for part in ("params", "opt", "target")
]
PARTS += ["offline", "weight"]


def moved(*groups):
    return {f"{group}.{part}" for group in groups for part in ("params", "opt")}


OFFLINE = moved("actor", "critic") | {"critic.target"}
PHASES = {
    "proto": {
        "pretrain": OFFLINE | moved("value"),
        "warmup": set(),
        "finetune": moved("actor", "critic", "temperature") | {"critic.target", "actor.target"},
    },
    "proto-td3": {
        "pretrain": OFFLINE | moved("value"),
        "warmup": set(),
        "finetune": moved("actor", "critic") | {"critic.target", "actor.target"},
    },
    "aca": {
        "pretrain": OFFLINE | moved("temperature", "baseline"),
        "warmup": set(),
        "finetune": moved("actor", "critic", "temperature") | {"critic.target", "weight"},
    },
}


def parts(snapshot):
    """{part of the agent: its leaves by path}."""
    found = {}
    for path, leaf in snapshot.items():
        if path.startswith(AGENT):
            own = path.removeprefix(AGENT)
            part = next(part for part in PARTS if own == part or own.startswith(f"{part}."))
            found.setdefault(part, {})[own.removeprefix(part)] = leaf
    return found


def same(one, other):
    return one.keys() == other.keys() and all(np.array_equal(one[path], other[path]) for path in one)


def changed(before, after):
    old, new = parts(before), parts(after)
    assert old.keys() == new.keys()
    return {name for name in old if not same(old[name], new[name])}


@pytest.mark.parametrize("recipe", PHASES)
def test_each_phase_changes_what_it_should_and_nothing_else(recipe, plan_of, walk):
    plan = plan_of(recipe, eval_every=20)
    named = [phase.name for phase in plan.phases]
    assert named == list(PHASES[recipe])
    seen = dict(zip(named, walk(plan), strict=True))
    for name, wanted in PHASES[recipe].items():
        assert changed(*seen[name]) == wanted, name
    assert changed(seen["warmup"][1], seen["finetune"][0]) == set()
    before, after = parts(seen["pretrain"][1]), parts(seen["warmup"][0])
    the_switch_keeps_what_it_should(recipe, before, after)
    the_ring_starts_as_it_should(plan, seen["warmup"])


def the_switch_keeps_what_it_should(recipe, before, after):
    policies = {"aca": ("actor.params", "offline")}.get(recipe, ("actor.params", "actor.target"))
    for name in policies:
        assert same(before["actor.params"], after[name]), name
    fresh = lambda name: not any(leaf.any() for leaf in after[name].values())
    if recipe == "aca":
        assert same(before["actor.opt"], after["actor.opt"]) and fresh("critic.opt") and fresh("temperature.opt")
        assert same(after["critic.params"], after["critic.target"])
        (kernel,) = (leaf for path, leaf in after["critic.params"].items() if "dense_0" in path and "kernel" in path)
        (below,) = (leaf for path, leaf in before["baseline.params"].items() if "dense_0" in path and "kernel" in path)
        np.testing.assert_array_equal(kernel[:, :, :1], below)  # one observation, one action
        assert not kernel[:, :, 1:].any() and kernel.shape[2] == 2
        assert (after["weight"][""] == 1).all() and not any(leaf.any() for leaf in after["temperature.params"].values())
    else:
        for name in ("critic.params", "critic.target", "critic.opt"):
            assert same(before[name], after[name]), name
        assert fresh("actor.opt") and "value.params" in before and "value.params" not in after


def the_ring_starts_as_it_should(plan, warmup):
    count = 0 if plan.phases[1].fill is None else 20
    assert count == getattr(plan.phases[1].config, "initial_rows", 0)
    before, _ = warmup
    assert before["ring.size"] == count
    data = {tuple(row) for row in np.asarray(upload(plan))}
    assert all(tuple(row) in data for rows in before["ring.rows"] for row in rows[:count])


@pytest.mark.parametrize("recipe", PHASES)
def test_the_draws(recipe, plan_of):
    plan = plan_of(recipe)
    assert plan.phases[-1].offline_ratio == (0.5 if recipe == "proto" else 0)
    assert plan_of("proto", offline_ratio=0.25).phases[-1].offline_ratio == 0.25
    assert plan_of("proto-td3", initial_rows=0).phases[-1].fill is None


# -- the papers' options ---------------------------------------------------------------------------------------------


def made(recipe, env, domain, dataset, data=None, **overrides):
    """Resolved run options and the phases' configurations by name."""
    found = presets.find(domain)
    options = presets.resolve(RunOptions(), found, names.run_defaults(recipe, domain))
    builder = Builder(Spec(env, 5, 2, 100, domain=domain), found, options, overrides, dataset, data=data)
    return options, {phase.name: phase for phase in names.find(recipe)(builder)}


def holds(config, **expected):
    assert {name: getattr(config, name) for name in expected} == expected


def trajectories(*returns):
    """A dataset of trajectories of two steps with these returns."""
    reward = np.array([half for each in returns for half in (each, 0.0)])
    boundary = np.arange(len(reward)) % 2 == 1
    rows = np.zeros((len(reward), 2))
    return Dataset.from_arrays(
        np.zeros((len(reward), 5)), rows, reward, ~boundary, np.zeros((len(reward), 5)), boundary
    )


def test_proto_on_mujoco():
    data = trajectories(100.0, 600.0, 350.0)
    options, phases = made("proto", "hopper", "locomotion", "hopper-medium-v2", data)
    holds(options, pretrain_steps=100_000, steps=1_000_000, eval_every=5_000, eval_episodes=10)
    assert phases["warmup"].steps == 1 and phases["warmup"].fill.rows(0) == 10_000
    offline, online = phases["pretrain"].config, phases["finetune"].config
    shapes = {"actor_hidden": (256, 256), "critic_hidden": (256, 256), "num_critics": 2, "layer_norm": True}
    shapes |= {"actor_layer_norm": False, "std": "uniform", "min_log_std": -5.0, "batch_size": 256, "tau": 0.005}
    holds(offline, **shapes, value_temperature=1.0, inverse_temperature=1.0, max_weight=100.0, subset_size=2)
    holds(online, **shapes, regularization_weight=1.0, regularization_tau=0.005, backup_regularization=True)
    holds(online, subset_size=2, utd=1, initial_temperature=0.01, actor_q="mean", target_entropy=None)
    assert online.regularization_steps == pytest.approx(1e6 / 0.9)
    rates = {"actor_lr": 3e-4, "critic_lr": 3e-4}
    holds(offline, **rates)
    holds(online, **rates, temperature_lr=3e-4)
    phases = made("proto-td3", "halfcheetah", "locomotion", "x", data)[1]
    holds(phases["pretrain"].config, layer_norm=False)
    holds(phases["finetune"].config, layer_norm=False, q_weight=2.5, exploration_noise=0.2, policy_delay=2)
    assert phases["warmup"].fill.rows(0) == 25_000 and phases["finetune"].offline_ratio == 0


def test_proto_on_antmaze_and_adroit():
    options, phases = made("proto", "antmaze-large", "antmaze", "antmaze-large-play-v2")
    holds(options, pretrain_steps=200_000, steps=1_000_000, eval_every=50_000, eval_episodes=100)
    holds(options, reward_scale=1.0, reward_bias=-1.0)
    holds(phases["pretrain"].config, value_temperature=0.5, inverse_temperature=2.0, subset_size=2)
    own = {"regularization_tau": 5e-5, "backup_regularization": False}
    holds(phases["finetune"].config, **own, regularization_weight=0.5, subset_size=1, critic_hidden=(256, 256))
    for recipe, subset in (("proto", 2), ("proto-td3", 1)):
        phases = made(recipe, "pen", "adroit", "x")[1]
        holds(phases["finetune"].config, **own, regularization_weight=2.0, subset_size=subset)


def test_the_temperature_is_on_the_scale_of_the_rewards(plan_of):
    spec = lambda domain: Spec("x", 5, 2, 100, domain=domain)
    of = lambda domain, data=None, **given: temperature(
        Builder(spec(domain), presets.find(domain), RunOptions(), given, data=data)
    )
    assert of("pointmaze") == 5.0 and of("antmaze") == 5.0  # of rewards 10 r - 5
    assert of("locomotion", trajectories(0.0, 3000.0)) == 6.0
    assert of("locomotion", trajectories(7.0, 7.0)) == of("locomotion") == of("kitchen") == 2.0
    assert of("antmaze", value_temperature=0.25) == 0.25
    phases = plan_of("proto", value_temperature=4.0).phases
    holds(phases[0].config, value_temperature=4.0, inverse_temperature=0.25)
    holds(phases[-1].config, regularization_weight=4.0)


ALIGNED = {  # dataset: beta, n * 1000, w at last, trajectories
    "hopper-medium-v2": (7, 40_000, 0.5, 0),
    "hopper-medium-replay-v2": (7, 40_000, 0.5, 50),
    "walker2d-random-v2": (7, 10_000, 0, 0),
    "walker2d-medium-expert-v2": (15, 100_000, 1, 50),
    "halfcheetah-expert-v2": (15, 100_000, 1, 50),
}


@pytest.mark.parametrize("dataset", ALIGNED)
def test_aca_by_dataset(dataset):
    data = trajectories(*range(60))
    options, phases = made("aca", dataset.split("-")[0], "locomotion", dataset, data)
    holds(options, pretrain_steps=500_000, steps=100_000)
    offline, config = phases["pretrain"].config, phases["finetune"].config
    found = (config.density_floor, config.density_steps, config.density_end, config.initial_trajectories)
    assert found == ALIGNED[dataset]
    fill = phases["warmup"].fill
    assert (fill is None) == (found[-1] == 0) and (fill is None or fill.rows(120) == 100)
    assert phases["warmup"].steps == (256 if fill is None else 1)  # no warm-up: one batch
    few = made("aca", "hopper", "locomotion", dataset, trajectories(1.0, 2.0))[1]["finetune"].config
    assert few.initial_trajectories == min(found[-1], 2)
    shapes = {"actor_hidden": (256, 256), "critic_hidden": (256, 256), "num_critics": 2, "layer_norm": False}
    shapes |= {"squash": True, "target_entropy": None, "actor_lr": 3e-4, "critic_lr": 3e-4, "temperature_lr": 3e-4}
    holds(offline, **shapes, q_weight=30.0, initial_temperature=1.0, actor_grad_clip=None)
    holds(config, **shapes, initial_temperature=1.0, actor_grad_clip=0.25, utd=1)


def test_aca_on_antmaze_is_not_squashed():
    options, phases = made("aca", "antmaze-medium", "antmaze", "antmaze-medium-play-v2")
    holds(options, reward_scale=1.0, reward_bias=-1.0)
    own = {"squash": False, "std": "uniform", "target_entropy": -1.0, "critic_hidden": (256, 256)}
    holds(phases["pretrain"].config, **own)
    aligned = {"density_floor": 3.0, "density_steps": 200_000.0, "density_end": 0.5, "initial_trajectories": 0}
    holds(phases["finetune"].config, **own, **aligned)


def test_on_pointmaze_all_of_it_happens_within_the_run():
    for recipe in PHASES:
        options, phases = made(recipe, "pointmaze-umaze", "pointmaze", "maze")
        config = phases["finetune"].config
        assert options.steps == 4_000 and config.actor_hidden == (64, 64) and config.num_critics == 2
        if recipe == "aca":
            holds(config, density_steps=1_600.0)
        else:
            assert config.regularization_steps * 0.9 == pytest.approx(4_000) and config.initial_rows <= 25


@pytest.mark.parametrize("recipe", PHASES)
def test_an_agent_of_the_same_method_goes_on_with_all_it_has(recipe, plan_of):
    phase = plan_of(recipe).phases[1]
    shapes = jax.eval_shape(phase.config.build(phase.spec).init, jax.random.key(0))
    fresh, before = (jax.tree.map(lambda x, n=n: np.full((2, *x.shape), n, x.dtype), shapes) for n in (1, 2))
    jax.tree.map(np.testing.assert_array_equal, phase.entry(fresh, before), before)
    assert phase.entry(fresh, None) is fresh
