"""Each rule on measurements made by hand, and the evidence against the pages that it names."""

import re
from pathlib import Path

import numpy as np
import pytest

from fastrl.experiments import advice, evidence, reproduce
from fastrl.experiments.measurements import Critic, Measurements

ROOT = Path(__file__).parents[2]


def critic(data=-10.0, own_error=0.0, spread=4.0, episodes=10, noise=0.1):
    """Q of the data's rows where their return is -10; errors on own episodes scatter around `own_error`."""
    errors = own_error + noise * np.linspace(-1, 1, episodes)
    one = np.ones(1)
    return Critic(data * one, -10.0, spread, (-8 + own_error) * one, -8 * one, errors, one, one)


def measured(**changes):
    given = {
        "env": "kitchen-mixed",
        "algorithm": "calql",
        "sparse": False,
        "rows": 100,
        "data": np.array([1.0, 2.0, 3.0]),
        "mode": np.full((1, 10), 2.0),
        "sampled": np.full((1, 10), 2.0),
        "inside": np.ones(1),
        "unlikely": np.zeros(1),
        "critic": critic(),
    }
    return Measurements(**(given | changes))


def maze(success=0.8, **changes):
    return measured(
        env="pointmaze-medium",
        sparse=True,
        data=np.array([0.0, 1.0]),
        mode=np.full((1, 10), success),
        sampled=np.full((1, 10), success),
        **changes,
    )


def test_where_nothing_was_found_nothing_is_favoured():
    for one in advice.advise(measured()):
        assert one.says.startswith(advice.NOTHING)
        assert any(line.startswith("not tested here") for line in one.basis)
        assert not any(line.startswith("run here") for line in one.basis)


def test_data_with_successes_is_kept_where_the_agent_has_none():
    found = advice.retention(maze(0.0))
    assert found.says.startswith("keep the data") and "1 of 2 trajectories of the data succeed" in found.basis[0]
    assert "antmaze-umaze, 2 seeds" in found.basis[1] and "not tested here" in found.basis[-1]
    barren = maze(0.0)
    nothing = measured(env="door-binary", sparse=True, data=np.zeros(3), mode=barren.mode, sampled=barren.sampled)
    assert advice.retention(nothing).says == advice.NOTHING
    lucky = maze(0.0)
    lucky.sampled[0, 0] = 1.0
    assert not advice.retention(lucky).says.startswith("keep the data")


def test_what_was_found_on_the_same_task_is_favoured_from_a_start_as_good():
    assert "wsrl" in advice.retention(maze()).says and advice.method(maze()).says == advice.NOTHING
    larger = lambda success: measured(
        **{"env": "pointmaze-large", "sparse": True},
        **dict.fromkeys(("mode", "sampled"), np.full((1, 10), success)),
    )
    assert advice.method(larger(0.8)).says.startswith("wsrl")
    assert any("demo.md" in line for line in advice.method(maze()).basis)
    weak = advice.method(larger(0.3))
    assert weak.says == advice.NOTHING and "0.30 at the switch, below the 0.50" in weak.basis[-1]
    assert advice.method(measured(env="pointmaze-umaze")).says == advice.NOTHING


def test_a_comparison_that_was_run_is_not_said_to_be_untested():
    found = advice.warmup(measured(env="pointmaze-large", mode=np.full((1, 10), 0.8), sparse=True))
    assert found.says.startswith("the pre-trained policy's own actions")
    assert not any(line.startswith("not tested") for line in found.basis)
    found = advice.warmup(measured(env="halfcheetah"))  # a run with a warm-up, none without
    assert any("1,416.8" in line for line in found.basis) and found.basis[-1].startswith("not tested here")


@pytest.mark.parametrize(
    ("error", "noise", "judged"),
    [
        (0.0, 0.1, "not off"),
        (1.9, 0.1, "not off"),
        (3.0, 0.1, "too high"),
        (-3.0, 0.1, "too low"),
        (3.0, 30.0, "not off"),
    ],
)
def test_q_at_the_switch(error, noise, judged):
    one = critic(own_error=error, noise=noise)
    assert advice.at_the_switch(one) == judged
    found = advice.warmup(measured(critic=one))
    assert ("is not there" if judged == "not off" else f"Q is {judged} at the switch") in found.says
    assert found.basis[0].startswith("measured now: on own episodes Q is")


def test_q_that_cannot_be_judged():
    assert advice.at_the_switch(critic(episodes=1)) == "not known"
    found = advice.warmup(measured(critic=critic(episodes=0)))
    assert found.says == advice.NOTHING and "cannot be judged" in found.basis[0]
    found = advice.method(measured(critic="every trajectory of the data is cut before its return is known"))
    assert found.says == advice.NOTHING and "is cut before" in found.basis[0]


def test_an_agent_without_critics_needs_some():
    found = advice.method(measured(algorithm="bc", critic="bc has no critic of actions"))
    assert "o2sac, o2td3 or o2ppo" in found.says and "by construction" in found.basis[1]
    assert "no critic" in advice.warmup(measured(algorithm="bc", critic="bc has no critic of actions")).basis[0]


@pytest.mark.parametrize(("data", "pessimistic"), [(-10.0, False), (-11.9, False), (-12.1, True), (-5.0, False)])
def test_pessimism_on_the_data_is_ocr_cfts_reason(data, pessimistic):
    found = advice.method(measured(env="hopper", critic=critic(data=data)))
    assert found.says.startswith(advice.NOTHING) and ("too low on the data" in found.says) == pessimistic
    assert sum("ocr-cft" in line for line in found.basis) == 2


def test_a_result_of_one_kind_of_agent_is_said_of_that_kind():
    rows = {"mode": np.full((1, 10), 0.6), "sampled": np.full((1, 10), 0.6), "sparse": True}
    iql, calql = (
        advice.retention(measured(env="pointmaze-large", algorithm=name, **rows)) for name in ("iql", "calql")
    )
    assert iql.says.startswith("keeping data for IQL") and calql.says == advice.NOTHING
    assert iql.basis == calql.basis and "docs/claims.md" in calql.basis[0]


@pytest.mark.parametrize("entry", evidence.EVIDENCE, ids=lambda entry: f"{entry.about}-{entry.env}")
def test_every_number_of_the_evidence_stands_in_its_source(entry):
    """To the digits that it is quoted with, whatever its sign: the loser's loss is the winner's gain."""
    known = {float(number) for number in numbers((ROOT / entry.source).read_text())}
    for number in numbers(entry.found.removeprefix(evidence.MAZE).removeprefix(evidence.LARGE)):
        digits = len(number.partition(".")[2])
        assert any(abs(value - float(number)) <= 0.51 * 10**-digits for value in known), number


def numbers(text: str) -> list[str]:
    return [number.replace(",", "") for number in re.findall(r"\d[\d,]*(?:\.\d+)?", text)]


def test_the_figures_that_would_decide_exist():
    for words in advice.FIGURES.values():
        paper, _, number = words.split()
        assert reproduce.select(paper, [number])
