import subprocess
import sys

import numpy as np
import pytest

from fastrl.envs import make, names, register, registry
from fastrl.envs.probe import constant
from fastrl.types import UserError


def test_unknown_names_and_options_are_answered_with_the_nearest():
    with pytest.raises(UserError, match="did you mean 'hopper'"):
        make("hoper")
    with pytest.raises(UserError, match="did you mean 'goal_in_obs'"):
        make("pointmaze-umaze", goal_in_ob=True)
    with pytest.raises(UserError, match="horizon"):
        make("probe-constant", horizn=3)
    with pytest.raises(UserError, match="at least 1"):
        make("probe-constant", horizon=0)


@pytest.mark.parametrize(
    ("name", "options", "match"),
    [
        ("probe-constant", {"horizon": "long"}, "horizon is 'long', it must be a whole number"),
        ("pointmaze-umaze", {"horizon": 2.5}, "horizon is 2.5"),
        ("pointmaze-umaze", {"frame_skip": True}, "frame_skip is True, it must be a whole number"),
        ("pointmaze-umaze", {"goal_in_obs": "no"}, "goal_in_obs is 'no', it must be true or false"),
        ("antmaze-umaze", {"goal_seed": "x"}, "goal_seed is 'x', it must be a whole number"),
        ("gymnasium:Pendulum-v1", {"timeout": "x"}, "timeout is 'x', it must be a number"),
        ("brax:ant", {"backend": 3}, "backend is 3, it must be text"),
    ],
)
def test_values_of_another_type_are_refused(name, options, match):
    with pytest.raises(UserError, match=match):
        make(name, **options)


def test_numpy_numbers_and_cells_are_values_too():
    spec = make("pointmaze-umaze", horizon=np.int32(7), frame_skip=np.int64(2), goal=(1, 1), start_distance=1).spec
    assert spec.horizon == 7
    assert make("pen-binary", timeout=5).spec.obs_size == 45


def test_options_do_not_belong_into_the_name():
    with pytest.raises(UserError, match="'hopper' stands alone; its options follow"):
        make("hopper:version=v4")


def test_an_environment_of_your_own_gets_a_name_and_a_time_limit(monkeypatch):
    monkeypatch.setattr(registry, "_REGISTERED", {})
    register("my-probe", constant)
    assert "my-probe" in names()
    assert make("my-probe", horizon=7).spec.horizon == 7
    with pytest.raises(UserError, match="registered already"):
        register("hopper", constant)
    register("no-spec", object)
    with pytest.raises(UserError, match=r"'no-spec' has no spec; give it a fastrl.Spec"):
        make("no-spec")


@pytest.mark.parametrize("name", names())
def test_the_facts_of_a_row_are_the_specs(name):
    spec, row = make(name).spec, registry.row(name)
    facts = (spec.obs_size, spec.action_size, spec.horizon, spec.backend, spec.domain)
    assert (row.obs_size, row.action_size, row.horizon, row.backend, row.domain) == facts
    assert spec.name == name


def test_the_facts_of_your_own_environment_are_its_specs(monkeypatch):
    monkeypatch.setattr(registry, "_REGISTERED", {})
    register("own-probe", constant)
    assert registry.row("own-probe")[1:] == (1, 1, 10, "jax", "default")
    assert registry.options("own-probe") == {} and registry.options("hopper") == {"version": "v5", "backend": "native"}
    assert registry.options("pen-binary") == {"timeout": 60.0}


def test_no_simulator_is_imported_before_an_environment_needs_it():
    code = (
        "import sys, fastrl.envs as e; e.make('probe-constant'); e.names();"
        "sys.exit(any(m.split('.')[0] in ('mujoco', 'gymnasium', 'brax') for m in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
