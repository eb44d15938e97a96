import subprocess
import sys

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


def test_an_environment_of_your_own_gets_a_name_and_a_time_limit():
    register("my-probe", constant)
    assert "my-probe" in names()
    assert make("my-probe", horizon=7).spec.horizon == 7
    with pytest.raises(UserError, match="registered already"):
        register("hopper", constant)


@pytest.mark.parametrize("name", names())
def test_the_facts_of_a_row_are_the_specs(name):
    spec, row = make(name).spec, registry.row(name)
    facts = (spec.obs_size, spec.action_size, spec.horizon, spec.backend, spec.domain)
    assert (row.obs_size, row.action_size, row.horizon, row.backend, row.domain) == facts
    assert spec.name == name


def test_the_facts_of_your_own_environment_are_its_specs():
    register("own-probe", constant)
    assert registry.row("own-probe")[1:] == (1, 1, 10, "jax", "default")
    assert registry.options("own-probe") == {} and registry.options("hopper") == {"version": "v5"}
    assert registry.options("pen-binary") == {"timeout": 60.0}


def test_no_simulator_is_imported_before_an_environment_needs_it():
    code = (
        "import sys, fastrl.envs as e; e.make('probe-constant'); e.names();"
        "sys.exit(any(m.split('.')[0] in ('mujoco', 'gymnasium', 'brax') for m in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
