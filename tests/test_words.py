import dataclasses
import inspect

import pytest

import fastrl
from fastrl import words
from fastrl.config import RunOptions
from fastrl.errors import UserError, unknown
from fastrl.methods import ALGORITHMS
from fastrl.planning.request import PARAMETERS, split_options

OPTIONS = {field.name for kind in (RunOptions, *ALGORITHMS.values()) for field in dataclasses.fields(kind)}


def test_every_answer_is_an_option_and_no_word_is_one_itself():
    elsewhere = {"from", "policy", "noise", "episodes", "env_option"}  # of other commands
    assert {option for options in words.ELSEWHERE for option in options} <= OPTIONS | set(PARAMETERS) | elsewhere
    assert not words.MEANINGS.keys() & OPTIONS
    listed = [word for each in words.ELSEWHERE.values() for word in each.split()]
    assert len(listed) == len(set(listed))
    assert set(PARAMETERS) <= set(inspect.signature(fastrl.run).parameters)


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("--learning-rate", "; did you mean --actor-lr or --critic-lr?"),
        ("--lr", "; did you mean --actor-lr or --critic-lr?"),
        ("--gamma", "; did you mean --discount?"),
        ("--Total_Timesteps", "; did you mean --steps?"),
        ("--actor_lr", "; did you mean --actor-lr?"),  # of parts
        ("--eval", "; did you mean --eval-every?"),
        ("--discuont", "; did you mean --discount?"),  # of spelling
        ("--buffer-size", ""),  # there is no --capacity here
        ("--wandb", "; did you mean --log?"),
        ("--wandb-entity", f"; {words.NOTES['wandb_entity']}"),
        ("--zzz", ""),
    ],
)
def test_an_option_is_answered_by_meaning_then_parts_then_spelling_or_not_at_all(word, meant):
    known = ["--actor-lr", "--critic-lr", "--discount", "--steps", "--eval-every", "--log"]
    error = str(words.unknown_option(word, known, "fastrl run --help lists all"))
    assert error == f"unknown option {word}{meant} (fastrl run --help lists all)"


def test_python_is_answered_in_its_own_spelling():
    with pytest.raises(UserError, match="unknown option 'lr'; did you mean 'actor_lr' or 'critic_lr'"):
        split_options({"lr": 1e-3})
    with pytest.raises(UserError, match="unknown option 'save_dir'; did you mean 'out'"):
        split_options({"save_dir": "x"})


def test_a_name_is_answered_with_one_that_is_near_or_with_where_all_stand():
    assert (
        str(unknown("recipe", "wrsl", ["sac", "wsrl"], "there"))
        == "unknown recipe 'wrsl'; did you mean 'wsrl'? (there)"
    )
    assert str(unknown("task", "hopper-V5", ["Hopper-v5"])) == "unknown task 'hopper-V5'; did you mean 'Hopper-v5'?"
    assert str(unknown("recipe", "ppo", ["sac", "wsrl"], "look there")) == "unknown recipe 'ppo'; look there"
    assert str(unknown("algorithm", "td3", ["sac", "bc"])) == "unknown algorithm 'td3'; there are sac, bc"
    many = [f"name{i}" for i in range(100)]
    assert str(unknown("task", "zzz", many)) == "unknown task 'zzz'; no name is near it"
