import subprocess
import sys

from fastrl import launch


def test_only_the_version_that_knows_the_flags_gets_them():
    assert launch.flags("0.11.0", True) == {}
    assert "--xla_cpu_prefer_vector_width" not in launch.flags("0.10.2", False)
    assert launch.flags("0.10.2", True)["--xla_cpu_prefer_vector_width"] == "512"


def test_what_the_user_set_stays():
    present = "--xla_cpu_use_xnnpack=true --xla_dump_to=x"
    merged = launch.merge(present, {"--xla_cpu_use_xnnpack": "false", "--b": ""}).split()
    assert merged == [*present.split(), "--b="]
    assert launch.merge("", {}) == ""


def test_jax_starts_with_the_flags_and_launch_imports_no_jax():
    code = (
        "import sys; from fastrl import launch; launch.prepare(); assert 'jax' not in sys.modules;"
        "import jax.numpy as jnp; assert (jnp.ones((9, 9)) @ jnp.ones((9, 9)))[0, 0] == 9"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
