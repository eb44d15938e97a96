import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fastrl import envs
from fastrl.agent import Agent
from fastrl.data.datasets import Dataset
from fastrl.data.sources import Source
from fastrl.methods import IQL, SAC, CalQL
from fastrl.planning import plan as plans
from fastrl.planning import request as requests
from fastrl.recipes import names
from fastrl.replay import fills
from fastrl.types import Spec, UserError


def phases(plan):
    return [(phase.name, phase.steps) for phase in plan.phases]


def test_wsrl_is_three_phases_and_the_data_is_for_the_first_only(plan_of):
    plan = plan_of("wsrl")
    assert phases(plan) == [("pretrain", 20), ("warmup", 20), ("finetune", 20)]
    offline, warmup, finetune = plan.phases
    assert (offline.offline_ratio, offline.online, offline.updates) == (1.0, False, 1)
    assert (warmup.updates, warmup.offline_ratio, warmup.fill) == (0, 0.0, None)
    assert (finetune.updates, finetune.utd, finetune.offline_ratio, finetune.fill) == (1, 2, 0.0, None)
    assert type(offline.config) is CalQL and type(finetune.config) is SAC
    assert plan.capacity == 40 and plan.dataset.rows == 40


def test_the_warmup_is_at_least_what_the_first_update_needs(plan_of):
    assert phases(plan_of("sac", warmup=0)) == [("warmup", 16), ("finetune", 24)]  # a batch of 8 for each of 2 updates
    assert phases(plan_of("rlpd", warmup=0)) == [("warmup", 8), ("finetune", 32)]  # half of it offline
    assert phases(plan_of("calql", warmup=0, retention="append")) == [("pretrain", 20), ("warmup", 5), ("finetune", 35)]
    assert phases(plan_of("sac", warmup=0, num_envs=5))[0] == ("warmup", 20)
    with pytest.raises(UserError, match="--steps 20 leaves nothing after the 20 steps"):
        plan_of("sac", steps=20)


@pytest.mark.parametrize(
    ("recipe", "options", "ratio", "append"),
    [
        ("cql", {"retention": "mixed"}, 0.5, False),
        ("cql", {"offline_ratio": 0.25}, 0.25, False),
        ("cql", {"retention": "append"}, 0.0, True),
        ("cql", {"retention": "none"}, 0.0, False),
        ("rlpd", {}, 0.5, False),
        ("sac", {}, 0.0, False),
    ],
)
def test_retention(plan_of, recipe, options, ratio, append):
    plan = plan_of(recipe, **options)
    assert (plan.phases[-1].offline_ratio, plan.phases[-1].fill) == (ratio, fills.EVERYTHING if append else None)
    assert plan.capacity == 40 + 40 * append
    assert (plan.dataset is None) == (recipe == "sac")


def test_reward_of_the_domain_and_of_the_user(plan_of):
    env = envs.make("pointmaze-umaze", horizon=20)
    task = plan_of("sac", env, None).task
    assert (task.reward_scale, task.reward_bias, task.failure) == (10.0, -5.0, -5.0)
    task = plan_of("sac", env, None, reward_scale=2.0, reward_bias=1.0).task
    assert (task.reward_scale, task.reward_bias, task.failure) == (2.0, 1.0, 1.0)
    assert plan_of("sac").task.failure is None


def other_task():
    rows = np.zeros((10, 3))
    return Dataset.from_arrays(rows, rows[:, :1], rows[:, 0], np.ones(10), rows, name="other.hdf5")


def test_the_rule_of_the_domain_is_applied_to_the_dataset():
    rows = np.zeros((4, 1))
    data = Dataset.from_arrays(rows, rows, [1, 4, 4, 2], np.ones(4), rows)
    spec = dataclasses.replace(envs.make("probe-truncation").spec, domain="kitchen")
    assert requests.load(data, spec).mask.tolist() == [1, 0, 0, 1]
    assert requests.load(data, None) is data


@pytest.mark.parametrize("where", ["unit", "environment"])
def test_sizes_come_before_where_the_actions_lie(tmp_path, where):
    rows = np.arange(10)
    arrays = {
        "observations": np.ones((10, 3)),
        "actions": np.full((10, 2), 2.0),
        "rewards": rows,
        "terminals": 0 * rows,
    }
    np.savez(tmp_path / "d.npz", **arrays)
    source = Source(tmp_path / "d.npz", actions=where)
    for obs, action, match in (
        (4, 3, "observations have size 3 but toy has 4; this is a dataset of another task"),
        (3, 3, "actions have size 2 but toy has 3; this is a dataset of another task"),
        (3, 2, r"'actions' (is 2 at row 0, outside \[-1, 1\]|leaves the bounds -1.0 to 1.0 at row 0)"),
    ):
        with pytest.raises(UserError, match=match):
            requests.load(source, Spec("toy", obs, action, horizon=5))


def test_the_order_of_a_dict_observation_is_part_of_the_identity(identity_of, probe_data):
    ordered = dataclasses.replace(probe_data(), order=("b", "a"))
    assert identity_of("wsrl", data=ordered)["dataset"]["order"] == ["b", "a"]
    assert "order" not in identity_of("wsrl")["dataset"]


@pytest.mark.parametrize(
    ("args", "options", "match"),
    [
        (("wsrl", "probe-truncation", None), {}, "'pretrain' learns from offline data; name it with --dataset"),
        (("rlpd", "probe-truncation", None), {}, "'finetune' learns from offline data; name it with --dataset"),
        (("wsrl", "probe-truncation", other_task()), {}, r"other.hdf5: observations have size 3 .* another task"),
        (("sac",), {"utd": 0}, "--utd must be above 0, not 0"),
        (("sac",), {"batch_size": -1}, "--batch-size must be above 0, not -1"),
        (("sac",), {"subset_size": 3}, "--subset-size 3 is more than --num-critics 2"),
        (("sac",), {"discount": 1.5}, "--discount must be between 0 and 1"),
        (("sac",), {"critic_lr": 0.0}, "--critic-lr must be above 0"),
        (("cql",), {"offline_ratio": 0.5, "retention": "append"}, "--offline-ratio needs --retention mixed"),
        (("cql",), {"capacity": 10, "retention": "append"}, "--capacity 10 is less than the 40 rows of the dataset"),
        (("calql",), {"capacity": 4}, "--capacity 4 does not hold the 5 rows"),
        (("sac",), {"utdd": 3}, r"unknown option 'utdd'; did you mean 'utd'\?"),
    ],
)
def test_bad_input_is_found_before_anything_runs(plan_of, args, options, match):
    with pytest.raises(UserError, match=match) as caught:
        plan_of(*args, **options)
    assert "\n" not in str(caught.value)


def test_the_identity_has_all_that_decides_the_bits(identity_of, probe_data):
    base = identity_of("wsrl")
    assert base == identity_of("wsrl", chunk=1, checkpoint_minutes=0.1)  # speed only
    changes = [
        {"seeds": 3},
        {"seed": 1},
        {"utd": 3},
        {"steps": 50},
        {"pretrain_steps": 30},
        {"warmup": 25},
        {"eval_every": 50},
        {"reward_scale": 2.0},
        {"pretrainer": "cql"},
        {"map_seeds": "vmap"},
        {"num_envs": 2},
        {"retention": "mixed"},
        {"data": probe_data(rows=35)},
    ]
    found = [identity_of("wsrl", **change) for change in changes]
    assert all(identity != base for identity in found)
    assert all(a != b for n, a in enumerate(found) for b in found[:n])


def test_a_start_replaces_the_offline_phase_and_is_part_of_the_identity(plan_of, identity_of):
    spec = envs.make("probe-truncation").spec
    agent, other = (Agent(SAC(), spec, {"w": jnp.full((1, 3), x)}) for x in (0.0, 1.0))
    plan = plan_of("wsrl", data=None, start=agent)
    assert phases(plan) == [("warmup", 20), ("finetune", 20)] and plan.dataset is None
    np.testing.assert_array_equal(plan.start["w"], np.zeros((2, 3)))
    assert identity_of("wsrl", start=agent) != identity_of("wsrl", start=other)
    wrong = Agent(SAC(), envs.make("pointmaze-umaze").spec, agent.state)
    with pytest.raises(UserError, match=r"the agent is of pointmaze-umaze .* and probe-truncation has 1 and 1"):
        plan_of("wsrl", start=wrong)


def test_options_are_split_by_where_they_belong():
    run, algorithm = requests.split_options({"seeds": 2, "utd": 7, "expectile": 0.9})
    assert run.seeds == 2 and algorithm == {"utd": 7, "expectile": 0.9}


def test_a_simulator_may_be_given_more_time_on_resume():
    options, overrides = requests.split_options({"steps": 6000})
    asked = requests.Request("sac", names.find("sac"), "gymnasium:Pendulum-v1", options=options, overrides=overrides)
    found = [
        plans.make(dataclasses.replace(asked, env_options=given))[1]["env_options"]
        for given in ({"g": 9.0}, {"g": 9.0, "timeout": 5.0})
    ]
    assert found == [{"g": 9.0}] * 2


@pytest.mark.parametrize(
    ("recipe", "options", "misread"),
    [
        ("pex", {}, True),
        ("pex", {"tanh_mean": True}, False),
        ("iql", {}, False),
        ("wsrl", {"std": "exp"}, True),
        ("wsrl", {"std": "exp", "squash": True}, False),
    ],
)
def test_an_agent_whose_policy_would_be_read_otherwise_is_refused(plan_of, recipe, options, misread):
    """A mean with a tanh and one without have parameters of the same shapes."""
    spec = envs.make("probe-truncation").spec
    config = IQL(actor_hidden=(8,), critic_hidden=(8,), layer_norm=recipe == "wsrl", **options)
    state = config.build(spec).init(jax.random.key(0))
    agent = Agent(config, spec, jax.tree.map(lambda x: x[None], state))
    if not misread:
        assert plan_of(recipe, start=agent).phases
        return
    with pytest.raises(UserError, match=r"the agent's policy \(iql\) has another form than"):
        plan_of(recipe, start=agent)
