import dataclasses

import pytest

from fastrl import presets
from fastrl.config import RunOptions
from fastrl.errors import UserError
from fastrl.methods import ALGORITHMS, IQL, SAC, CalQL, describe, restore
from fastrl.planning import request as requests
from fastrl.planning.builder import Builder
from fastrl.recipes import names
from fastrl.recipes.table import RECIPES
from fastrl.types import Spec


def test_every_option_of_every_domain_exists():
    known = {field.name for kind in ALGORITHMS.values() for field in dataclasses.fields(kind)}
    run = {field.name for field in dataclasses.fields(RunOptions)}
    for domain in presets.DOMAINS.values():
        assert set(domain.shared) <= known and set(domain.run) <= run and domain.pretrainer in ALGORITHMS
        for name, options in domain.algorithms.items():
            assert set(options) <= {field.name for field in dataclasses.fields(ALGORITHMS[name])}
        for name, kind in ALGORITHMS.items():  # and makes a configuration
            assert type(presets.configure(kind, name, domain, {}, {})) is kind


def test_a_list_or_one_number_stands_for_a_tuple():
    assert SAC(actor_hidden=[8, 4], critic_hidden=8) == SAC(actor_hidden=(8, 4), critic_hidden=(8,))
    _, overrides = requests.split_options({"actor_hidden": [8, 4], "finetune.critic_hidden": 8, "utd": 8})
    assert overrides == {"actor_hidden": (8, 4), "finetune.critic_hidden": (8,), "utd": 8}


def test_the_papers_numbers():
    """WSRL, appendix: Cal-QL pre-trains AntMaze for 1M steps with gap 0.8 on rewards 10 r - 5."""
    maze, kitchen, adroit = (presets.find(name) for name in ("antmaze", "kitchen", "adroit"))
    assert (maze.reward_scale, maze.reward_bias, maze.pretrain_steps) == (10.0, -5.0, 1_000_000)
    calql = presets.configure(CalQL, "calql", maze, {}, {})
    assert calql.gap == 0.8 and calql.critic_hidden == (256,) * 4 and calql.alpha == 5.0
    iql = presets.configure(IQL, "iql", maze, {}, {})
    assert (iql.expectile, iql.inverse_temperature) == (0.9, 10.0)
    sac = presets.configure(SAC, "sac", presets.find("locomotion"), {}, {})
    assert (sac.utd, sac.num_critics, sac.subset_size, sac.batch_size) == (4, 10, 2, 256)
    assert (sac.actor_lr, sac.critic_lr, sac.temperature_lr, sac.discount, sac.tau) == (1e-4, 3e-4, 1e-4, 0.99, 0.005)
    assert (presets.find("locomotion").pretrainer, kitchen.mixed_ratio, adroit.pretrain_steps) == ("cql", 0.25, 20_000)
    assert presets.warmup(maze) == 5_000


def test_the_user_overrules_the_recipe_the_recipe_the_domain_the_domain_the_class():
    domain = presets.Domain(shared={"tau": 0.1, "utd": 2}, algorithms={"sac": {"utd": 3, "batch_size": 7}})
    layers = [({}, {}), ({"utd": 5}, {}), ({"utd": 5}, {"utd": 6, "expectile": 0.9})]
    found = [presets.configure(SAC, "sac", domain, recipe, user) for recipe, user in layers]
    assert [config.utd for config in found] == [3, 5, 6]
    assert {(config.tau, config.batch_size, config.discount) for config in found} == {(0.1, 7, 0.99)}


def test_an_unknown_domain_has_the_common_defaults():
    assert presets.find("moon") is presets.find("default")


def test_run_options_are_filled_in():
    options = presets.resolve(RunOptions(), presets.find("antmaze"))
    assert (options.steps, options.pretrain_steps, options.eval_every, options.eval_episodes) == (
        500_000,
        1_000_000,
        20_000,
        20,
    )
    assert options.warmup is None  # the recipe's
    few = presets.resolve(RunOptions(steps=1_000), presets.find("antmaze"))
    assert few.eval_every == 100


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"seeds": 0}, "--seeds must be above 0, not 0"),
        ({"steps": -5}, "--steps must be above 0, not -5"),
        ({"pretrain_steps": 0}, "--pretrain-steps must be above 0"),
        ({"eval_episodes": 0}, "--eval-episodes must be above 0"),
        ({"chunk": 0}, "--chunk must be above 0"),
        ({"warmup": -1}, "--warmup must be 0 or more"),
        ({"offline_ratio": 1.0}, "--offline-ratio must be at least 0 and below 1"),
        ({"steps": 10, "num_envs": 3}, "--steps 10 must be a multiple of --num-envs 3"),
    ],
)
def test_numbers_that_cannot_be(changes, match):
    with pytest.raises(UserError, match=match):
        presets.resolve(RunOptions(**changes), presets.find("default"))


def test_configurations_survive_json():
    import json

    for kind in ALGORITHMS.values():
        config = kind(actor_hidden=(3, 4), tau=0.25)
        assert restore(json.loads(json.dumps(describe(config)))) == config


def test_every_recipe_has_a_line_and_a_function():
    assert all(callable(names.find(name)) for name in RECIPES)
    with pytest.raises(UserError, match="unknown recipe 'wrsl'; did you mean 'wsrl'"):
        names.find("wrsl")


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_has_the_phases_that_its_row_says(name):
    domain = presets.find("locomotion")
    options = presets.resolve(RunOptions(), domain, names.run_defaults(name, "locomotion"))
    builder = Builder(Spec("hopper", 11, 3, 1_000, "locomotion"), domain, options, {})
    phases = [phase.name for phase in names.find(name)(builder)]
    assert phases == RECIPES[name].phases.split(", ")
