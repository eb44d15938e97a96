"""What no linter knows: every package is declared, no import is relative, and imports only go down a layer."""

import ast
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
SETUPTOOLS: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
LAYERS: tuple[set[str], ...] = (
    {"errors", "types", "config", "methods", "presets", "words", "startup", "plugins"},
    {"kernels", "statistics"},
    {"envs"},
    {"networks", "data", "runs"},
    {"replay", "loggers"},
    {"algorithms"},
    {"engine"},
    {"agent"},
    {"planning", "recipes"},
    {"reports", "collect", "exports"},
    {"api", "experiments", "jobs", "cli", "benchmarks", "hub"},
)
FREE = (LAYERS[0], LAYERS[-1], {"planning", "recipes"})  # these may import each other
HANDED_OVER = ("engine", "algorithms")  # the engine is given its algorithm and imports none


def modules(root: Path, package_dir: dict[str, str]) -> dict[str, Path]:
    """Name -> file of every module; links are not followed."""
    found = {}
    for package, folder in package_dir.items():
        for path in sorted((root / folder).rglob("*.py")):
            parts = path.relative_to(root / folder).with_suffix("").parts
            found[".".join([package, *(part for part in parts if part != "__init__")])] = path
    return found


def packages(found: dict[str, Path]) -> set[str]:
    return {name for name, path in found.items() if path.name == "__init__.py"}


def imports(source: str) -> Iterator[tuple[int, str]]:
    """(line, absolute name) of everything imported, inside functions too; a relative one starts with a dot."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level:
            yield node.lineno, "." * node.level + (node.module or "")
        elif isinstance(node, ast.ImportFrom) and node.module == "fastrl":
            names = (alias.name for alias in node.names if not alias.name.startswith("__"))
            yield from ((node.lineno, f"fastrl.{name}") for name in names)
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, str(node.module)


def layer(part: str) -> int:
    return next((number for number, parts in enumerate(LAYERS) if part in parts), -1)


def breaches(module: str, source: str) -> list[str]:
    """One line for each import that the layers forbid."""
    own = module.split(".")[1]
    inside = {Path(folder).name for folder in SETUPTOOLS["package-dir"].values()} - {"fastrl"}
    lines = [] if layer(own) >= 0 else [f"{module} is in no layer"]
    for number, name in imports(source):
        top, _, rest = name.partition(".")
        part = rest.split(".")[0]
        if not top:
            lines.append(f"{module}:{number} relative import {name}")
        elif top in inside:
            lines.append(f"{module}:{number} {name} is installed as fastrl.{name}")
        elif top != "fastrl" or part == own:
            continue
        elif (own, part) == HANDED_OVER or layer(part) < 0:
            lines.append(f"{module}:{number} {own} must not import {name}")
        elif layer(part) >= layer(own) and not any({own, part} <= group for group in FREE):
            lines.append(f"{module}:{number} {own} is not above {name}")
    return lines


def test_every_package_on_disk_is_declared():
    found = modules(ROOT, SETUPTOOLS["package-dir"])
    assert packages(found) == set(SETUPTOOLS["packages"])
    homes = {name if path.name == "__init__.py" else name.rpartition(".")[0] for name, path in found.items()}
    assert homes <= set(SETUPTOOLS["packages"]), "a folder with modules has no __init__.py"


def test_a_forgotten_package_is_found(tmp_path):
    (tmp_path / "fastrl" / "new").mkdir(parents=True)
    (tmp_path / "fastrl" / "__init__.py").touch()
    (tmp_path / "fastrl" / "new" / "__init__.py").touch()
    assert packages(modules(tmp_path, {"fastrl": "fastrl"})) == {"fastrl", "fastrl.new"}


def test_imports_are_absolute_and_go_down():
    found = modules(ROOT, SETUPTOOLS["package-dir"])
    lines = [line for name, path in found.items() if name != "fastrl" for line in breaches(name, path.read_text())]
    assert not lines, "\n".join(lines)


@pytest.mark.parametrize(
    "source",
    [
        "from . import replay",
        "from .replay import Ring",
        "import fastrl.algorithms.sac",
        "from fastrl.engine import scan",
        "from fastrl import api",
        "from fastrl import unheard_of",
        "import envs",
        "from kernels.update import adam_polyak",
        "def late():\n    from fastrl.engine import run",
    ],
)
def test_a_planted_breach_is_caught(source):
    assert len(breaches("fastrl.replay.draws", source)) == 1


def test_what_is_allowed_is_not_a_breach():
    source = "from fastrl.data import replay\nfrom fastrl.types import Key\nimport jax"
    assert breaches("fastrl.replay.draws", source) == []
    assert breaches("fastrl.networks.critics", "from fastrl.kernels import ensemble") == []
    assert breaches("fastrl.cli", "from fastrl import __version__, presets\nfrom fastrl.api import run") == []
    assert breaches("fastrl.engine.scan", "from fastrl.algorithms import sac") != []
    assert breaches("fastrl.unheard_of", "") != []
