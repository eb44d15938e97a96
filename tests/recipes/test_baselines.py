"""What each phase of AWAC, PEX, SO2 and JSRL changes and leaves, what crosses the switch, and the papers' defaults."""

import jax
import numpy as np
import pytest

from fastrl import presets
from fastrl.config import RunOptions
from fastrl.planning.builder import Builder
from fastrl.recipes import names
from fastrl.replay import fills
from fastrl.types import Spec

pytestmark = pytest.mark.usefixtures("quick")

AGENT = "seeds.agent."
PARTS = [
    f"{group}.{part}"
    for group in ("actor", "critic", "value", "temperature", "alpha")
    for part in ("params", "opt", "target")
]
PARTS += ["offline"]


def moved(*groups):
    return {f"{group}.{part}" for group in groups for part in ("params", "opt")}


SOFT = moved("actor", "critic", "temperature") | {"critic.target"}
IMPLICIT = moved("actor", "critic", "value") | {"critic.target"}
PHASES = {
    "awac": {
        "pretrain": moved("actor", "critic") | {"critic.target"},
        "warmup": set(),
        "finetune": moved("actor", "critic") | {"critic.target"},
    },
    "pex": {"pretrain": IMPLICIT, "warmup": set(), "finetune": IMPLICIT},
    "so2": {"pretrain": SOFT, "warmup": set(), "finetune": SOFT},
    "jsrl": {"pretrain": SOFT, "warmup": set(), "finetune": SOFT},
}


def parts(snapshot):
    found = {}
    for path, leaf in snapshot.items():
        if path.startswith(AGENT):
            name = path.removeprefix(AGENT)
            part = next((part for part in PARTS if name == part or name.startswith(f"{part}.")), name)
            found.setdefault(part, {})[path] = leaf
    return found


def same(one, other):
    return len(one) == len(other) and all(
        np.array_equal(a, b, equal_nan=True) for a, b in zip(one.values(), other.values(), strict=True)
    )


@pytest.fixture(scope="module")
def walked(plan_of, walk, quick):
    """Snapshots at both ends of every phase, by phase."""

    def of(recipe):
        plan = plan_of(recipe)
        return dict(zip([phase.name for phase in plan.phases], walk(plan), strict=True))

    return {recipe: of(recipe) for recipe in PHASES}


@pytest.mark.parametrize("recipe", PHASES)
def test_each_phase_changes_what_it_should_and_nothing_else(recipe, walked):
    for phase, expected in PHASES[recipe].items():
        before, after = (parts(snapshot) for snapshot in walked[recipe][phase])
        assert {name for name in before if not same(before[name], after[name])} == expected, phase


def test_pex_freezes_the_offline_policy_and_begins_a_new_one(walked):
    offline, online = (parts(walked["pex"][phase][end]) for phase, end in (("pretrain", 1), ("warmup", 0)))
    assert same(offline["actor.params"], online["offline"])
    assert not same(offline["actor.params"], online["actor.params"])
    for part in ("critic.params", "critic.target", "critic.opt", "value.params", "value.opt"):
        assert same(offline[part], online[part]), part
    assert not any(leaf.any() for leaf in online["actor.opt"].values())  # the optimiser of the new one starts anew


@pytest.mark.parametrize("recipe", ["pex", "so2"])
def test_an_agent_of_the_same_method_goes_on_with_all_it_has(recipe, plan_of):
    phase = plan_of(recipe).phases[1]
    shapes = jax.eval_shape(phase.config.build(phase.spec).init, jax.random.key(0))
    fresh, before = (jax.tree.map(lambda x, n=n: np.full((2, *x.shape), n, x.dtype), shapes) for n in (1, 2))
    jax.tree.map(np.testing.assert_array_equal, phase.entry(fresh, before), before)
    assert phase.entry(fresh, None) is fresh


def test_awac_puts_the_data_into_the_ring_and_so2_goes_on_with_everything(walked, plan_of):
    assert plan_of("awac").phases[-1].fill is fills.EVERYTHING
    assert plan_of("awac", retention="none").phases[-1].fill is None
    assert plan_of("awac", retention="mixed").phases[-1].offline_ratio == 0.5
    assert walked["awac"]["warmup"][0]["ring.size"] == 40
    assert walked["so2"]["warmup"][0]["ring.size"] == 0
    offline, online = (parts(walked["so2"][phase][end]) for phase, end in (("pretrain", 1), ("warmup", 0)))
    assert all(same(offline[part], online[part]) for part in online)


@pytest.mark.parametrize(
    ("recipe", "env", "domain", "expected"),
    [
        ("awac", "hopper", "locomotion", {"advantage_temperature": 0.33, "utd": 1}),
        ("awac", "halfcheetah", "locomotion", {"advantage_temperature": 1.0, "squash": False, "std": "uniform"}),
        ("awac", "antmaze-umaze", "antmaze", {"advantage_temperature": 0.1}),
        (
            *("pex", "hopper", "locomotion"),
            {"expectile": 0.7, "inverse_temperature": 10.0, "tanh_mean": True, "min_log_std": -5.0},
        ),
        ("pex", "antmaze-umaze", "antmaze", {"expectile": 0.9, "choice_temperature": 10.0}),
        ("pex", "pointmaze-umaze", "pointmaze", {"expectile": 0.9, "choice_temperature": 1.0}),
        ("so2", "hopper", "locomotion", {"num_critics": 10, "subset_size": 2, "target_noise": 0.3, "noise_limit": 0.6}),
        ("so2", "antmaze-umaze", "antmaze", {"subset_size": 1, "backup": "max_actions"}),
        ("jsrl", "antmaze-umaze", "antmaze", {"subset_size": 1, "backup": "max_actions", "roll_in": 0.5}),
    ],
)
def test_the_papers_defaults(recipe, env, domain, expected):
    known = presets.find(domain)
    options = presets.resolve(RunOptions(), known, names.run_defaults(recipe, domain))
    phases = names.find(recipe)(Builder(Spec(env, 3, 2, 10, domain=domain), known, options, {}))
    found = phases[-1].config
    assert {name: getattr(found, name) for name in expected} == expected
    if recipe == "pex":
        assert (phases[-1].offline_ratio, phases[1].steps) == (0.5, presets.warmup(known))
        assert presets.warmup(known) == (1_000 if domain == "pointmaze" else 5_000)
        same_before = ("expectile", "inverse_temperature", "tanh_mean", "actor_hidden", "critic_hidden", "num_critics")
        assert all(getattr(phases[0].config, name) == getattr(found, name) for name in same_before)
    if recipe in ("awac", "pex") and domain == "antmaze":  # their temperatures are for r - 1
        assert (options.reward_scale, options.reward_bias) == (1.0, -1.0)
    else:
        assert options.reward_scale is None
