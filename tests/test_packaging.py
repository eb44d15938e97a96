"""The archives hold what they should: built from a copy of the sources, so that nothing is left in them."""

import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
SOURCES = ("fastrl", "envs", "kernels", "benchmarks", "tests", ".ci")
CONTAINED = ("cuda13", "robotics", "hub", "export", "wandb", "trackio")  # extras that the container's versions are of
MAPPED = ("envs", "kernels", "benchmarks")  # top folders that install inside fastrl

pytestmark = pytest.mark.slow


def setuptools_version() -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in importlib.metadata.version("setuptools").split(".")[:1])
    except importlib.metadata.PackageNotFoundError:
        return (0,)


@pytest.fixture(scope="module")
def dist(tmp_path_factory) -> Path:
    """A folder with the sdist, and the wheel that was built from it."""
    if setuptools_version() < (77,):
        pytest.skip("setuptools >= 77 is not installed here, and a build without isolation needs it")
    copy = tmp_path_factory.mktemp("source")
    for name in SOURCES:
        if (ROOT / name).exists():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, copy / name, symlinks=True, ignore=ignored)
    for path in ROOT.iterdir():
        if path.is_file():
            shutil.copy(path, copy)
    out = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(copy)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-2000:]
    return out


def test_the_wheel_holds_every_module_and_nothing_beside_fastrl(dist):
    (path,) = dist.glob("*.whl")
    with zipfile.ZipFile(path) as wheel:
        names = set(wheel.namelist())
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"fastrl"}
    for folder in MAPPED:
        assert {f"fastrl/{folder}/{path.name}" for path in (ROOT / folder).glob("*.py")} <= names
    package_dir = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-dir"]
    assert set(package_dir) == {"fastrl", *(f"fastrl.{folder}" for folder in MAPPED)}
    own = {str(path.relative_to(ROOT)) for path in (ROOT / "fastrl").rglob("*.py")}
    assert {name for name in own if name.split("/")[1] not in MAPPED} <= names
    assert "fastrl/py.typed" in names
    assert {f"fastrl/behaviours/{path.name}" for path in (ROOT / "fastrl" / "behaviours").iterdir()} <= names
    assert {f"fastrl/reports/page.{kind}" for kind in ("html", "css", "js")} <= names
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_the_sdist_can_be_tested(dist):
    (path,) = dist.glob("*.tar.gz")
    with tarfile.open(path) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    for file in ("tests/conftest.py", "tests/replay/test_ring.py", "envs/maze.py", "kernels/update.py", "Makefile"):
        assert file in names
    assert {path.name for path in ROOT.glob("*.md")} <= names
    assert not any("__pycache__" in name for name in names)


def test_every_python_that_is_taken_is_named():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    low, high = map(int, re.fullmatch(r">=3\.(\d+),<3\.(\d+)", project["requires-python"]).groups())
    named = [line.rpartition("3.")[2] for line in project["classifiers"] if "Python :: 3." in line]
    assert named == [str(minor) for minor in range(low, high)]
    assert f"3.{low} to 3.{high - 1}" in (ROOT / "CONTRIBUTING.md").read_text()


@pytest.mark.parametrize(
    ("words", "folder"), [([], ".venv"), (["PYTHON=python3"], ".venv"), (["PYTHON=python3.12"], ".venv-python3.12")]
)
def test_a_python_that_is_named_has_a_folder_of_its_own(words, folder):
    outer = ("PYTHON", "MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES")  # of the make that runs the tests
    environment = {name: value for name, value in os.environ.items() if name not in outer}
    command = ["make", "-n", "-B", *words, "test"]
    lines = subprocess.check_output(command, cwd=ROOT, text=True, env=environment).splitlines()
    python = words[0].partition("=")[2] if words else "python3"
    assert lines[0] == f"{python} -m venv {folder}"
    assert lines[-1].startswith(f"{folder}/bin/python -m pytest")


def test_the_container_pins_what_is_installed_and_within_its_range():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = [
        line for line in (ROOT / "docker" / "constraints.txt").read_text().splitlines() if not line.startswith("#")
    ]
    pinned = dict(line.split("==") for line in lines)
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *(need for name in CONTAINED for need in extras[name])]
    for requirement in map(Requirement, wanted):
        assert requirement.specifier.contains(pinned[canonicalize_name(requirement.name)]), requirement
    text = (ROOT / "Dockerfile").read_text()
    asked = re.findall(r"EXTRAS=(\S+)", text)
    assert asked and {name for each in asked for name in each.split(",")} <= set(CONTAINED)
    assert "docker/constraints.txt" in text
