import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from fastrl import startup


def test_only_the_version_that_knows_the_flags_gets_them():
    assert startup.flags("0.11.0", True) == {}
    assert "--xla_cpu_prefer_vector_width" not in startup.flags("0.10.2", False)
    assert startup.flags("0.10.2", True)["--xla_cpu_prefer_vector_width"] == "512"


def test_what_the_user_set_stays():
    present = "--xla_cpu_use_xnnpack=true --xla_dump_to=x"
    merged = startup.merge(present, {"--xla_cpu_use_xnnpack": "false", "--b": ""}).split()
    assert merged == [*present.split(), "--b="]
    assert startup.merge("", {}) == ""


def test_jax_starts_with_the_flags_and_launch_imports_no_jax():
    code = (
        "import sys; from fastrl import startup; startup.prepare(); assert 'jax' not in sys.modules;"
        "import jax.numpy as jnp; assert (jnp.ones((9, 9)) @ jnp.ones((9, 9)))[0, 0] == 9"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    "setting",
    [{"JAX_PLATFORMS": "cuda"}, {"JAX_PLATFORMS": "nonsense"}, {"JAX_PLATFORMS": "", "JAX_ENABLE_X64": "nonsense"}],
    ids=str,
)
def test_a_device_or_a_setting_that_is_not_there_is_one_line(setting):
    command = [sys.executable, "-m", "fastrl.cli", "recipes", "wsrl"]
    if setting["JAX_PLATFORMS"] == "cuda" and Path("/dev/nvidiactl").exists():
        pytest.skip("there is one")
    result = subprocess.run(command, env=os.environ | setting, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith("fastrl: jax cannot start")
    assert ("JAX_PLATFORMS=cpu takes the CPU" in line) == (setting["JAX_PLATFORMS"] != "")


def _lost():
    raise RuntimeError("Could not determine home directory.")


def test_a_cache_needs_a_home_that_can_be_written_to(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert startup.cache("x") == tmp_path / ".cache/fastrl/x" == startup.cache("x")
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # read-only: the folder is there
    assert startup.cache("x") is None
    monkeypatch.undo()
    (tmp_path / "file").touch()
    for home in (lambda: tmp_path / "none", lambda: tmp_path / "file", lambda: Path("/proc"), _lost):
        monkeypatch.setattr(Path, "home", home)
        assert startup.cache("x") is None
    assert not (tmp_path / "none").exists()


def test_commands_work_without_a_home(tmp_path):
    script = (
        "import pathlib, sys; from fastrl.cli import main as cli\n"
        "def lost(): raise RuntimeError('Could not determine home directory.')\n"
        "pathlib.Path.home = lost\n"
        "sys.exit(cli.main(['datasets']))"
    )
    environment = {name: value for name, value in os.environ.items() if name != "MINARI_DATASETS_PATH"}
    for home in (tmp_path / "none", Path("/proc")):
        environment["HOME"] = str(home)
        found = subprocess.run(
            [sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert (found.returncode, found.stdout, found.stderr) == (0, "no datasets found\n", "")
    assert list(tmp_path.iterdir()) == []


def test_little_address_space_is_said(monkeypatch):
    for most, line in ((resource.RLIM_INFINITY, None), (1 << 33, None), (1 << 30, "may have 1024 MB of address space")):
        monkeypatch.setattr(resource, "getrlimit", lambda kind, most=most: (most, most))
        found = startup.limited()
        assert found is None if line is None else line in found
