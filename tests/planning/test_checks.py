"""An option that no phase uses is one line, from Python as on the command line."""

import dataclasses

import jax.numpy as jnp
import pytest

from fastrl import envs
from fastrl.agent import Agent
from fastrl.methods import ALGORITHMS, IQL, SAC, CalQL
from fastrl.planning import asked, checks
from fastrl.planning import plan as plans
from fastrl.planning import request as requests
from fastrl.recipes import names
from fastrl.recipes.table import RECIPES
from fastrl.types import UserError

AGENT = Agent(SAC(), envs.make("probe-truncation").spec, {"w": jnp.zeros((1, 3))})
OTHERS = {  # an option of an algorithm that each recipe lacks
    "wsrl": "expectile",
    "calql": "squash",
    "cql": "bound_random_actions",
    "iql": "gap",
    "rlpd": "cql_actions",
    "sac": "warmup_steps",
    "jsrl": "expectile",
    "so2": "expectile",
    "awac": "expectile",
    "pex": "gap",
    "td3": "q_weight",
    "ppo": "auxiliary_weight",
    "o2sac": "distance_limit",
    "o2td3": "value_lr",
    "o2ppo": "constraint_end",
    "proto": "expectile",
    "proto-td3": "temperature_lr",
    "aca": "value_temperature",
    "off2on": "expectile",
    "odt": "tau",
}


@pytest.mark.parametrize("recipe", RECIPES)
def test_an_option_of_another_algorithm_is_refused(plan_of, recipe):
    option = OTHERS[recipe]
    with pytest.raises(UserError, match=rf"no phase of {recipe} has --{option.replace('_', '-')}; it is an option of"):
        plan_of(recipe, **{option: 1})


@pytest.mark.parametrize(
    ("recipe", "start", "options", "match"),
    [
        ("sac", None, {"expectile": 0.9}, "no phase of sac has --expectile; it is an option of iql, pex; leave it out"),
        ("sac", None, {"pretrain_steps": 5}, "no phase of sac uses --pretrain-steps: it is for an offline phase"),
        ("rlpd", None, {"pretrainer": "iql"}, "no phase of rlpd uses --pretrainer"),
        ("calql", None, {"pretrainer": "iql"}, "calql is not pre-trained by iql; leave --pretrainer out"),
        ("wsrl", AGENT, {"cql_actions": 4}, "no phase of wsrl --from an agent has --cql-actions"),
        ("wsrl", AGENT, {"pretrain_steps": 5}, "uses --pretrain-steps: .* which the agent replaces; leave it out"),
        ("sac", None, {"retention": "mixed"}, "sac has --retention mixed: offline data is used not at all"),
        ("sac", None, {"retention": "append"}, "no phase of sac has --retention append"),
        ("sac", None, {"offline_ratio": 0.5}, "no phase of sac uses --offline-ratio"),
        ("sac", None, {"initialise": "actor"}, "no phase of sac uses --initialise: it is for the recipe wsrl"),
        ("calql", None, {"online": "calql"}, "no phase of calql uses --online"),
        ("ppo", None, {"warmup_by": "uniform"}, "no phase of ppo uses --warmup-by: .* whose rows are replayed"),
        ("td3", None, {"freeze_actor": 10}, "--freeze-actor: TD3 has no step of its critics alone"),
        ("o2sac", None, {"freeze_actor": 10}, "--freeze-actor: O2SAC has no step of its critics alone"),
        ("rlpd", None, {"offline_ratio_steps": 20}, "--offline-ratio-steps needs --offline-ratio-end"),
        ("rlpd", None, {"offline_ratio_end": 1.5}, "--offline-ratio-end must be at least 0 and at most 1"),
        ("wsrl", None, {"warmup_by": "dataset", "retention": "append"}, "--warmup-by dataset: the ring starts with"),
        ("rlpd", None, {"retention": "append"}, "rlpd has --retention append: offline data is used in every batch"),
        ("rlpd", None, {"retention": "none"}, "rlpd has offline data in every batch; leave --retention none out"),
        (
            "wsrl",
            None,
            {"align.actor_lr": 1e-5},
            "--align.actor-lr: no phase of wsrl is called align; it has pretrain, w",
        ),
        ("wsrl", None, {"finetune.cql_actions": 5}, "--finetune.cql-actions: phase finetune has no such option"),
        ("wsrl", None, {"pretrain.utd": 5}, "--pretrain.utd: phase pretrain has no such option"),
        ("o2sac", None, {"align.steps": 5, "align_steps": 6}, "--align.steps and --align-steps are the same"),
        ("wsrl", None, {"warmup.actor_lr": 1.0}, "--warmup.actor-lr: phase warmup has no such option"),
        ("wsrl", None, {"finetune.normalize_observations": True}, "all phases see the same observations"),
        ("ppo", None, {"tau": 0.1}, "no phase of ppo has --tau; it is an option of"),
        ("td3", None, {"dropout": 0.1}, "no phase of td3 has --dropout"),
        ("o2sac", AGENT, {"ghost_adam": True}, "no phase of o2sac --from an agent has --ghost-adam"),
        ("o2sac", AGENT, {"backup_entropy": False}, "no phase of o2sac --from an agent has --backup-entropy"),
        ("o2ppo", None, {"rollout": 24, "batch_size": 10}, "--rollout 24 must be a multiple of --batch-size 10"),
        ("ppo", None, {"capacity": 19}, "--capacity 19 does not hold the 20 rows that a first update needs"),
        ("wsrl", None, {"finetune.num_critics": 5}, "--finetune.num_critics: this changes what the phase's agent"),
        ("wsrl", None, {"finetune.actor_lt": 5}, "unknown option.*actor.lt"),
    ],
)
def test_what_no_phase_uses_is_refused(plan_of, recipe, start, options, match):
    with pytest.raises(UserError, match=match):
        plan_of(recipe, start=start, **options)


@pytest.mark.parametrize(
    ("recipe", "start", "options"),
    [
        ("sac", None, {"retention": "none", "offline_ratio": 0.0}),
        ("rlpd", None, {"retention": "mixed", "offline_ratio": 0.25, "capacity": 100}),
        ("wsrl", None, {"pretrainer": "iql", "expectile": 0.9, "temperature_lr": 1e-3}),
        ("wsrl", AGENT, {"retention": "append", "utd": 1}),
        ("calql", None, {"retention": "mixed", "offline_ratio": 0.0, "pretrainer": "calql"}),
    ],
)
def test_what_some_phase_uses_is_taken(plan_of, recipe, start, options):
    plan = plan_of(recipe, start=start, **options)
    for name, value in options.items():
        assert not hasattr(SAC, name) or getattr(plan.phases[-1].config, name) == value


@pytest.mark.parametrize("option", ["warmup", "num_envs", "capacity", "offline_ratio", "retention"])
def test_pre_training_alone_has_no_environment_steps(plan_of, option):
    config, value = CalQL(actor_hidden=(8,)), "none" if option == "retention" else 0.5 if option[0] == "o" else 20
    with pytest.raises(UserError, match=f"uses --{option.replace('_', '-')}: it is for steps in an environment"):
        checks.used(
            "pretrain", dataclasses.replace(checks.RunOptions(), **{option: value}), {}, [_offline(config)], False
        )


def test_a_configuration_of_ones_own_is_not_overridden():
    with pytest.raises(UserError, match=r"utd belongs to the algorithm; write it into its configuration, IQL\(utd=8\)"):
        checks.used("pretrain iql", checks.RunOptions(), {"utd": 8}, [_offline(IQL())], False)
    checks.used("pretrain iql", checks.RunOptions(), {"utd": 8}, [_offline(IQL(utd=8))], False)


def test_every_option_of_an_algorithm_is_some_algorithms_own():
    for kind in ALGORITHMS.values():
        own = [field.name for field in dataclasses.fields(kind) if field.name not in kind.unused]
        checks.has("any", [kind], own)
        assert set(kind.unused) <= {field.name for field in dataclasses.fields(kind)}


def _offline(config):
    from fastrl.engine.phase import Phase

    return Phase("pretrain", config, None, 5)


def test_an_option_of_one_phase_is_that_phases_alone(plan_of):
    own = {"align.actor_lr": 1e-5, "reevaluate.batch_size": 4, "finetune.utd": 3, "actor_lr": 2e-4}
    phases = {phase.name: phase for phase in plan_of("o2sac", **own).phases}
    rates = {name: phase.config.actor_lr for name, phase in phases.items()}
    assert rates == dict.fromkeys(phases, 2e-4) | {"align": 1e-5}
    assert requests.split_options({"align.steps": 7})[0].align_steps == 7
    assert [phases[name].batch_size for name in ("reevaluate", "align", "finetune")] == [4, 8, 8]
    assert [phases[name].utd for name in ("align", "warmup", "finetune")] == [1, 3, 3]


def test_an_agent_that_learnt_on_another_scale_of_reward_gives_its_policy_and_not_its_values(plan_of):
    other = dataclasses.replace(AGENT, reward=(10.0, -5.0))
    with pytest.raises(UserError, match=r"the agent learnt on reward \* 10 \+ -5 and this run has \* 1 \+ 0"):
        plan_of("wsrl", start=other)
    called = [phase.name for phase in plan_of("o2sac", start=other).phases]
    assert called == ["distil", "reevaluate", "align", "warmup", "finetune"]
    with pytest.raises(
        UserError, match="--no-reevaluate keeps the agent's critic, and this agent's policy is of another"
    ):
        plan_of("o2sac", start=AGENT, reevaluate=False, reevaluate_steps=None)
    called = [phase.name for phase in plan_of("o2ppo", start=AGENT, reevaluate=False, reevaluate_steps=None).phases]
    assert called == ["distil", "finetune"]  # it takes the policy alone


def test_a_sweep_and_an_option_of_one_phase_do_not_contradict_each_other(plan_of):
    request = requests.Request(
        "sac",
        names.find("sac"),
        "probe-action",
        overrides={"finetune.actor_lr": 1e-3},
        sweep={"actor_lr": [1e-4, 3e-4]},
    )
    with pytest.raises(UserError, match=r"--sweep actor_lr and --finetune\.actor-lr: give one of the two"):
        plans.make(request)
    noise = {"warmup.exploration_noise": 0.5, "finetune.exploration_noise": 0.2}
    phases = {phase.name: phase for phase in plan_of("o2td3", **noise).phases}
    assert [phases[name].config.exploration_noise for name in ("align", "warmup", "finetune")] == [0.1, 0.5, 0.2]


def test_a_warmup_that_becomes_longer_is_said():
    line = "--warmup 10: the first update needs the rows of 32 steps, so that the warm-up has 32"
    for warmup, copies, lines in ((10, 1, [line]), (10, 4, [line]), (32, 1, []), (33, 4, []), (None, 1, [])):
        options = {"batch_size": 8, "utd": 4, "steps": 6_000, "warmup": warmup, "num_envs": copies}
        request = asked.recipe("sac", env="probe-action", start=None, env_options={}, sweep={}, options=options)
        assert plans.warnings(request, plans.make(request)[0]) == lines
