"""What each phase of O2SAC, O2TD3, O2PPO, TD3 and PPO changes and leaves; the flags; the paper's defaults."""

import dataclasses
import itertools
import math
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fastrl import envs, presets
from fastrl.algorithms import reference
from fastrl.algorithms.distil import Distil
from fastrl.config import RunOptions
from fastrl.methods import CQL, IQL, O2PPO, O2SAC, O2TD3, SAC, TD3BC
from fastrl.planning import plan as plans
from fastrl.planning import request as requests
from fastrl.planning.builder import Builder
from fastrl.recipes import distillation, names, ocr_cft
from fastrl.recipes.wsrl import adopt_all
from fastrl.types import Spec

pytestmark = pytest.mark.usefixtures("quick")

AGENT = "seeds.agent."
BOOKS = ("params", "best", "latest", "evaluations")
PARTS = [
    f"{group}.{part}"
    for group in ("actor", "critic", "value", "temperature", "multiplier")
    for part in ("params", "opt", "target")
]
PARTS += ["offline", *(f"reference.{name}" for name in BOOKS)]

TINY = {"seeds": 2, "actor_hidden": (8,), "critic_hidden": (8,), "batch_size": 8, "steps": 40, "eval_episodes": 2}
OFFLINE = {"pretrain_steps": 20, "reevaluate_steps": 20, "align_steps": 20, "eval_every": 20}
OPTIONS = {
    "o2sac": {**OFFLINE, "warmup": 20, "utd": 2, "cql_actions": 2, "normalize_observations": True, "actor_lr": 1e-2},
    "o2td3": {**OFFLINE, "warmup": 20, "normalize_observations": True, "actor_lr": 1e-2},
    "o2ppo": {**OFFLINE, "rollout": 16, "epochs": 2},
    "td3": {"warmup": 20, "eval_every": 20},
    "ppo": {"rollout": 16, "epochs": 2, "eval_every": 20},
}


@pytest.fixture(scope="module")
def planned(probe_data):
    """`(recipe, options) -> Plan` in an environment whose score is the policy's own."""

    def make(recipe, **options):
        run, overrides = requests.split_options({**TINY, **OPTIONS[recipe], **options})
        data = probe_data("probe-action") if "pretrain_steps" in OPTIONS[recipe] else None
        env = envs.make("probe-action")
        return plans.make(requests.Request(recipe, names.find(recipe), env, data, None, {}, run, overrides))[0]

    return make


def part_of(path):
    if path in (f"{AGENT}mean", f"{AGENT}std"):
        return "normaliser"
    path = path.removeprefix(AGENT).removeprefix("inner.")
    return next((part for part in PARTS if path == part or path.startswith(f"{part}.")), path)


def parts(snapshot):
    """{part of the agent: its leaves by path}."""
    found = {}
    for path, leaf in snapshot.items():
        if path.startswith(AGENT):
            found.setdefault(part_of(path), {})[path] = leaf
    return found


def same(one, other):
    """Leaf by leaf, whatever their paths."""
    assert len(one) == len(other)
    return all(np.array_equal(a, b) for a, b in zip(one.values(), other.values(), strict=True))


def changed(before, after):
    old, new = parts(before), parts(after)
    assert old.keys() == new.keys()
    return {name for name in old if not same(old[name], new[name])}


def moved(*groups):
    return {f"{group}.{part}" for group in groups for part in ("params", "opt")}


JUDGED = {"reference.latest", "reference.best"}
NOTED = {"reference.evaluations"}
ADOPTED = {"reference.params", "reference.best", "reference.latest"}
"""Online, where the score is a better one."""

PHASES = {
    # phase: (changes, may change); nothing else does
    "o2sac": {
        "reevaluate": (moved("critic") | {"critic.target"} | JUDGED, set()),
        "align": (moved("actor", "critic") | {"reference.latest"}, set()),
        "warmup": (NOTED, ADOPTED),
        "finetune": (moved("actor", "critic", "temperature", "multiplier") | {"critic.target"} | NOTED, ADOPTED),
    },
    "o2td3": {
        "reevaluate": (moved("critic") | {"critic.target"} | JUDGED, set()),
        "align": (moved("actor", "critic") | {"reference.latest"}, set()),
        "warmup": (NOTED, ADOPTED),
        "finetune": (moved("actor", "critic", "multiplier") | {"actor.target", "critic.target"} | NOTED, ADOPTED),
    },
    "o2ppo": {"reevaluate": (moved("value") | JUDGED, set()), "finetune": (moved("actor", "value") | NOTED, ADOPTED)},
    "td3": {
        "warmup": (set(), set()),
        "finetune": (moved("actor", "critic") | {"actor.target", "critic.target"}, set()),
    },
    "ppo": {"finetune": (moved("actor", "value"), set())},
}


@pytest.mark.parametrize("recipe", PHASES)
def test_each_phase_changes_what_it_should_and_nothing_else(recipe, planned, walk):
    plan = planned(recipe)
    named = [phase.name for phase in plan.phases]
    assert [name for name in named if name != "pretrain"] == list(PHASES[recipe])
    seen = dict(zip(named, walk(plan), strict=True))
    for name, (must, may) in PHASES[recipe].items():
        found = changed(*seen[name])
        assert must <= found <= must | may, (name, must - found, found - must - may)
    if "reevaluate" in seen:
        the_policy_alone_is_taken_over(seen)
        the_boundaries_are_as_they_should(named, seen)


def the_policy_alone_is_taken_over(seen):
    before, after = parts(seen["pretrain"][1]), parts(seen["reevaluate"][0])
    for name in {"actor.params", "actor.target", "offline", "reference.params"} & set(after):
        assert same(before["actor.params"], after[name]), name
    assert same(before["normaliser"], after["normaliser"])
    for name in {"critic.params", "critic.target", "temperature.params"} & set(after) & set(before):
        assert not same(before[name], after[name]), name  # fresh
    for name in after:
        assert not name.endswith(".opt") or not any(leaf.any() for leaf in after[name].values()), name
    assert (np.asarray([*after["reference.best"].values()]) == reference.UNJUDGED).all()


def the_boundaries_are_as_they_should(named, seen):
    for earlier, later in itertools.pairwise(named[1:]):
        end, start = seen[earlier][1], seen[later][0]
        before, after = parts(end), parts(start)
        found = changed(end, start)
        if earlier == "align":  # the targets become copies
            for name in {"critic", "actor"}:
                if f"{name}.target" in after:
                    assert same(after[f"{name}.target"], after[f"{name}.params"])
                    assert not same(before[f"{name}.target"], after[f"{name}.target"])
            best, latest = (next(iter(before[f"reference.{name}"].values())) for name in ("best", "latest"))
            leaves = zip(*(before[name].values() for name in ("reference.params", "actor.params")))
            chosen = [np.where((latest > best).reshape(-1, *(1,) * (a.ndim - 1)), b, a) for a, b in leaves]
            assert all(np.array_equal(a, b) for a, b in zip(chosen, after["reference.params"].values()))
            assert found - {"reference.params", "reference.best"} <= {"critic.target", "actor.target"}
        elif "value.params" in after:  # V is as it was fitted; its learning rate falls from the start of fine-tuning
            assert found == {"value.opt"}
            assert not any(leaf.any() for leaf in after["value.opt"].values())
        else:
            assert found == set(), (earlier, later)


# -- flags -----------------------------------------------------------------------------------------------------------

FULL = ["pretrain", "reevaluate", "align", "warmup", "finetune"]


@pytest.mark.parametrize("recipe", ["o2sac", "o2td3"])
def test_flags_leave_phases_out(recipe, planned):
    listed = lambda **flags: [phase.name for phase in planned(recipe, **flags).phases]
    assert listed() == FULL
    assert listed(reevaluate=False) == ["pretrain", "align", "warmup", "finetune"]
    assert listed(align=False) == ["pretrain", "reevaluate", "warmup", "finetune"]
    assert listed(reevaluate=False, align=False) == ["pretrain", "warmup", "finetune"]
    assert listed(constrain=False) == FULL
    stages = {phase.name: phase.config.stage for phase in planned(recipe).phases[1:]}
    assert stages == {"reevaluate": "reevaluate", "align": "align", "warmup": "finetune", "finetune": "finetune"}
    assert planned(recipe).phases[-1].offline_ratio == 0.5


def test_o2ppo_has_no_alignment(planned):
    assert [phase.name for phase in planned("o2ppo").phases] == ["pretrain", "reevaluate", "finetune"]
    assert [phase.name for phase in planned("o2ppo", reevaluate=False).phases] == ["pretrain", "finetune"]


def states(phases):
    """A random state of each phase's algorithm, with a seed axis of 2; nothing is compiled."""
    random = np.random.default_rng(0)
    for phase in phases:
        shapes = jax.eval_shape(jax.vmap(phase.config.build(phase.spec).init), jax.random.split(jax.random.key(0), 2))
        draw = lambda x: jnp.asarray(
            random.normal(size=x.shape) if x.dtype.kind == "f" else np.full(x.shape, 7), x.dtype
        )
        yield phase.name, jax.tree.map(draw, shapes)


def equal(one, other):
    return jax.tree.all(jax.tree.map(np.array_equal, one, other))


@pytest.mark.parametrize("recipe", ["o2sac", "o2td3"])
def test_without_alignment_targets_are_not_copied(recipe, planned):
    phases = {phase.name: phase for phase in planned(recipe, align=False).phases}
    before, fresh = dict(states([phases["reevaluate"]]))["reevaluate"], dict(states([phases["warmup"]]))["warmup"]
    known = dataclasses.replace(before.reference, best=jnp.array([1.0, 2.0]), latest=jnp.array([1.0, 2.0]))
    before = dataclasses.replace(before, reference=known)
    assert equal(phases["warmup"].entry(fresh, before), before)


@pytest.mark.parametrize("left", [("align",), ()], ids=["aligned", "not aligned"])
@pytest.mark.parametrize("recipe", ["o2sac", "o2td3"])
def test_without_re_evaluation_the_offline_critic_is_kept(recipe, left, planned):
    phases = planned(recipe, reevaluate=False, align=bool(left)).phases
    (_, offline), (_, fresh) = states(phases[:2])
    state = phases[1].entry(fresh, offline)
    assert equal(state.critic.params, offline.critic.params) and equal(state.critic.target, offline.critic.target)
    assert equal(state.critic.opt, fresh.critic.opt) and equal(state.actor.opt, fresh.actor.opt)
    for policy in (state.actor.params, state.offline, state.reference.params):
        assert equal(policy, offline.actor.params)
    assert equal(state.multiplier, fresh.multiplier)


def test_after_alignment_each_seed_takes_the_better_policy(planned):
    phase = next(phase for phase in planned("o2td3").phases if phase.name == "warmup")
    (_, before), (_, fresh) = (*states([phase]), *states([phase]))
    known = dataclasses.replace(before.reference, best=jnp.array([1.0, 2.0]), latest=jnp.array([2.0, 2.0]))
    state = phase.entry(fresh, dataclasses.replace(before, reference=known))
    pick = lambda tree, n: jax.tree.map(lambda x: x[n], tree)
    assert equal(pick(state.reference.params, 0), pick(before.actor.params, 0))
    assert equal(pick(state.reference.params, 1), pick(known.params, 1))
    assert state.reference.best.tolist() == [2.0, 2.0]
    assert equal(state.critic.target, before.critic.params) and equal(state.actor.target, before.actor.params)
    assert equal((state.actor.opt, state.critic.opt), (before.actor.opt, before.critic.opt))


# -- the paper's options ---------------------------------------------------------------------------------------------


def made(recipe, env, domain, dataset, **overrides):
    """Resolved run options and the phases by name."""
    spec = Spec(env, 5, 2, 100, domain=domain)
    found = presets.find(domain)
    options = presets.resolve(RunOptions(), found, names.run_defaults(recipe, domain))
    phases = names.find(recipe)(Builder(spec, found, options, overrides, dataset))
    return options, {phase.name: phase for phase in phases}


TASKS = {
    # env, domain, dataset: (alpha, eps from, eps to, lambda) of O2SAC, (sigma, eps from, eps to) of O2TD3, T_end
    ("hopper", "locomotion", "hopper-medium-v2"): ((0.2, 0.125, 2.0, 1.0), (0.1, 0.0025, 0.04), 250e3),
    ("walker2d", "locomotion", "walker2d-medium-replay-v2"): ((0.2, 0.125, 2.0, 1.0), (0.1, 0.0025, 0.04), 250e3),
    ("hopper", "locomotion", "hopper-medium-expert-v2"): ((0.5, 0.005, 0.125, 1.0), (0.05, 2.5e-5, 6.25e-4), 500e3),
    ("halfcheetah", "locomotion", "halfcheetah-expert-v2"): ((0.5, 0.005, 0.125, 1.0), (0.05, 2.5e-5, 6.25e-4), 500e3),
    ("antmaze-umaze", "antmaze", "antmaze-umaze-v2"): ((0.2, 0.125, 2.0, 1.0), (0.1, 0.0025, 0.04), 250e3),
    ("antmaze-umaze", "antmaze", "antmaze-umaze-diverse-v2"): ((0.2, 0.125, 2.0, 1.0), (0.1, 0.0025, 0.04), 250e3),
    ("antmaze-medium", "antmaze", "antmaze-medium-play-v2"): ((0.5, 0.125, 2.0, 2.0), None, 250e3),
    ("antmaze-large", "antmaze", "antmaze-large-diverse-v2"): ((0.5, 0.125, 2.0, 2.0), None, 250e3),
}


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task[2])
def test_the_options_of_each_dataset(task):
    sac, td3, fading = TASKS[task]
    config = made("o2sac", *task)[1]["finetune"].config
    limits = (config.constraint_start, config.constraint_end)
    assert (config.initial_temperature, *limits, config.initial_multiplier) == sac
    assert config.constraint_steps == 1e5
    if td3 is not None:
        config = made("o2td3", *task)[1]["finetune"].config
        assert (config.exploration_noise, config.constraint_start, config.constraint_end) == td3
        assert config.constraint_steps == 1e5 and config.initial_multiplier == 1
    config = made("o2ppo", *task)[1]["finetune"].config
    assert config.auxiliary_steps == fading
    narrow = task[0] == "hopper" and "expert" in task[2]
    assert config.epochs == (5 if narrow else 10)
    assert config.max_log_std == (math.log(0.05) if narrow else None)


BOTH = {"locomotion": ("hopper", "locomotion", "hopper-medium-v2"), "antmaze": ("antmaze-large", "antmaze", "x")}


def holds(config, **expected):
    found = {name: getattr(config, name) for name in expected}
    assert found == expected


@pytest.mark.parametrize("domain", BOTH)
def test_the_options_of_o2sac(domain):
    maze = domain == "antmaze"
    options, phases = made("o2sac", *BOTH[domain])
    run = {"pretrain_steps": 1_000_000, "reevaluate_steps": 500_000, "align_steps": 1_000_000 if maze else 500_000}
    run |= {"steps": 200_000, "eval_every": 5_000, "eval_episodes": 100} if maze else {}
    run |= {} if maze else {"steps": 100_000, "eval_every": 1_000, "eval_episodes": 10}
    holds(options, **run)
    assert phases["warmup"].steps == (5_000 if maze else 1_000)
    shapes = {
        "actor_hidden": (256,) * 3,
        "critic_hidden": (256,) * (5 if maze else 3),
        "layer_norm": True,
        "std": "scaled",
    }
    shapes |= {
        "actor_layer_norm": False,
        "num_critics": 1 if maze else 2,
        "kernel_scale": 1.0,
        "kernel_scale_final": None,
    }
    shapes |= {"normalize_observations": not maze, "discount": 0.99, "batch_size": 256, "tau": 5e-3}
    shapes |= {"kernel_scale_final": None}
    config = phases["finetune"].config
    holds(config, **shapes, actor_lr=1e-4, critic_lr=3e-4, temperature_lr=3e-4, multiplier_lr=5e-5, utd=10)
    assert config.target_entropy is None and config.temperature_form == "exp"
    penalty = {
        "alpha": 5.0,
        "gap": 0.8,
        "clip_gap": 200.0,
        "backup": "max_actions",
        "backup_actions": 10,
        "actor_lr": 1e-4,
    }
    plain = {"alpha": 10.0, "gap": None, "backup": "sample", "actor_lr": 3e-5}
    holds(phases["pretrain"].config, **shapes, **(penalty if maze else plain), cql_actions=10, penalized="all")
    assert phases["pretrain"].config.backup_actions == 10


@pytest.mark.parametrize("domain", BOTH)
def test_the_options_of_o2td3(domain):
    maze = domain == "antmaze"
    options, phases = made("o2td3", *BOTH[domain])
    holds(options, steps=200_000 if maze else 100_000, align_steps=1_000_000 if maze else 500_000)
    if maze:
        holds(options, reward_scale=1.0, reward_bias=-1.0)
    shapes = {
        "actor_hidden": (256, 256),
        "critic_hidden": (256, 256),
        "layer_norm": not maze,
        "actor_layer_norm": False,
    }
    shapes |= {"kernel_scale": 1.0, "num_critics": 2, "normalize_observations": True, "tau": 5e-3}
    own = {
        "actor_lr": 1e-4,
        "critic_lr": 3e-4,
        "multiplier_lr": 5e-5,
        "utd": 1,
        "target_noise": 0.2,
        "noise_limit": 0.5,
    }
    holds(phases["finetune"].config, **shapes, **own, policy_delay=2, distance_weight=1.0, distance_limit=0.2)
    holds(phases["pretrain"].config, **shapes, q_weight=2.5, actor_lr=3e-4)


@pytest.mark.parametrize("domain", BOTH)
def test_the_options_of_o2ppo(domain):
    options, phases = made("o2ppo", *BOTH[domain])
    episodes = 100 if domain == "antmaze" else 10
    holds(options, steps=250_000, reevaluate_steps=1_000_000, eval_every=2_500, eval_episodes=episodes)
    shapes = {"actor_hidden": (256, 256), "layer_norm": False, "normalize_observations": True, "std": "uniform"}
    own = {
        "actor_lr": 3e-5,
        "critic_lr": 2e-4,
        "linear_steps": 250_000,
        "batch_size": 128,
        "rollout": 2048,
        "entropy_weight": 0.01,
    }
    config = phases["finetune"].config
    holds(config, **shapes, **own, critic_hidden=(256,) * 3, grad_clip=0.5, clip=0.2, trace=0.95)
    holds(config, auxiliary_weight=2.0, entropy_weight=0.01)
    assert config.auxiliary == "per-sample"
    holds(phases["reevaluate"].config, value_lr=1e-4, batch_size=512, stage="reevaluate")
    expected = (0.9, 10.0) if domain == "antmaze" else (0.7, 3.0)
    iql = phases["pretrain"].config
    assert (iql.expectile, iql.inverse_temperature) == expected and iql.tanh_mean and not iql.squash


@pytest.mark.parametrize("recipe, end", [("o2sac", 0.5), ("o2td3", 0.01)])
def test_a_reference_at_intervals_has_a_quarter_of_the_limit(recipe, end):
    _, phases = made(recipe, *BOTH["locomotion"], reference="interval")
    assert phases["finetune"].config.constraint_end == end


def test_halfcheetahs_rewards_are_divided_by_the_std_of_the_discounted_return():
    reward, boundary = np.array([1.0, 2.0, 4.0, 8.0], np.float32), np.array([False, True, False, False])
    data = types.SimpleNamespace(reward=reward, boundary=boundary)
    for env, expected in (("halfcheetah", np.std([1.0, 2.99, 4.0, 11.96])), ("hopper", 1.0)):
        spec, found = Spec(env, 5, 2, 100, domain="locomotion"), presets.find("locomotion")
        options = presets.resolve(RunOptions(), found, names.run_defaults("o2ppo", "locomotion"))
        for given, scale in (({}, expected), ({"return_scale": 3.0}, 3.0)):
            phases = names.find("o2ppo")(Builder(spec, found, options, given, "x", data=data))
            np.testing.assert_allclose([phase.config.return_scale for phase in phases[1:]], scale, rtol=1e-6)


SLOW, EACH = (10, 0.25), (1, None)
INTERVALS = [
    *((recipe, "hopper", data, SLOW) for recipe in ("o2sac", "o2td3") for data in ("expert", "Medium-Expert")),
    *(("o2td3", "walker2d", *case) for case in (("expert", SLOW), ("medium-expert", EACH))),
    *(("o2sac", *case) for case in (("walker2d", "expert", EACH), ("hopper", "medium", EACH))),
    *(("o2ppo", "hopper", *case) for case in (("expert", (4, None)), ("medium-expert", EACH))),
]


@pytest.mark.parametrize("recipe, env, data, expected", INTERVALS)
def test_the_intervals_of_the_reference_and_the_actors_clip(recipe, env, data, expected):
    _, phases = made(recipe, env, "locomotion", f"{env}-{data}-v2", reference="interval")
    config = phases["finetune"].config
    assert (config.reference_interval, config.actor_grad_clip) == expected
    assert made(recipe, env, "locomotion", f"{env}-{data}-v2")[1]["finetune"].config.actor_grad_clip is None


# -- transfer --------------------------------------------------------------------------------------------------------


def test_an_agent_of_another_class_is_distilled_first():
    spec = Spec("made-up", 3, 2, 10)
    builder = Builder(spec, presets.find("default"), RunOptions(distil_steps=17), {})
    tiny = {"actor_hidden": (8,), "critic_hidden": (8,)}
    for config, teacher, fits in (
        (O2SAC(**tiny), SAC(**tiny, layer_norm=False), False),
        (O2SAC(**tiny), CQL(**tiny, std="scaled", actor_layer_norm=False), True),
        (O2TD3(**tiny), TD3BC(**tiny), True),
        (O2TD3(**tiny), SAC(**tiny), False),
        (O2PPO(**tiny), TD3BC(**tiny), False),
        (O2PPO(**tiny), IQL(**tiny, layer_norm=False), False),  # the same parameters, whose mean has no tanh
        (O2PPO(**tiny), IQL(**tiny, layer_norm=False, squash=True), False),
        (O2PPO(**tiny, max_log_std=-3.0), IQL(**tiny, layer_norm=False, tanh_mean=True), True),
    ):
        random = np.random.default_rng(0)
        shapes = jax.eval_shape(jax.vmap(teacher.build(spec).init), jax.random.split(jax.random.key(0), 2))
        state = jax.tree.map(lambda x: jnp.asarray(random.normal(size=x.shape), x.dtype), shapes)
        first, start = types.SimpleNamespace(config=config), types.SimpleNamespace(config=teacher, state=state)
        found = distillation.phases(builder, first, start)
        assert [phase.name for phase in found] == ([] if fits else ["distil"])
        if found:
            assert found[0].steps == 17 and not found[0].online
            assert found[0].config == Distil(batch_size=config.batch_size, student=config, teacher=teacher)
            fresh = jax.eval_shape(found[0].config.build(spec).init, jax.random.key(0))
            assert found[0].entry(fresh, "an agent").teacher == "an agent"


def test_an_agent_that_goes_on_with_everything_is_its_own_reference():
    spec, tiny = Spec("made-up", 3, 2, 10), {"actor_hidden": (8,), "critic_hidden": (8,)}
    config = O2SAC(**tiny)
    draw = lambda options, seed: options.build(spec).init(jax.random.key(seed))
    entry, fresh = ocr_cft.whole_entry(config), draw(config, 0)
    before = draw(CQL(**tiny, std="scaled", num_critics=2, kernel_scale=1.0, actor_layer_norm=False), 1)
    after = entry(fresh, before)
    for params in (after.actor.params, after.reference.params, after.offline):
        jax.tree.map(np.testing.assert_array_equal, params, before.actor.params)
    jax.tree.map(np.testing.assert_array_equal, after.critic.params, before.critic.params)
    assert float(after.temperature.params) == float(fresh.temperature.params)  # another form of the number
    same = draw(config, 2)
    jax.tree.map(np.testing.assert_array_equal, entry(fresh, same), same)
    assert ocr_cft.whole_entry(SAC()) is adopt_all
