"""The pages tell the truth: every command parses, and every file and function named exists; tests/docs runs them."""

import ast
import functools
import re
import shlex
from pathlib import Path

import pytest

from fastrl.cli import main as cli
from fastrl.cli.options import Parser
from fastrl.envs import known
from fastrl.methods import ALGORITHMS
from fastrl.recipes.table import RECIPES

ROOT = Path(__file__).parents[1]
PAGES = (
    "README.md",
    "ARCHITECTURE.md",
    "PAPERS.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "benchmarks/README.md",
    *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md")),
)
NAMED = re.compile(r"`((?:fastrl|envs|kernels|benchmarks|tests)/[\w/]*\.py)(?:::([\w.]+))?`")
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")


def blocks(text: str, *languages: str) -> list[str]:
    fence = re.compile(rf"^```(?:{'|'.join(languages)})\n(.*?)^```$", re.MULTILINE | re.DOTALL)
    return fence.findall(text)


def command_lines(text: str) -> list[list[str]]:
    """The words of every `fastrl` line, comments and what a shell does with it left out, continued lines joined."""
    joined = "\n".join(blocks(text, "bash", "console", "text")).replace("\\\n", " ")
    lines = [shlex.split(line.removeprefix("$ "), comments=True) for line in joined.splitlines()]
    ends = [next((i for i, word in enumerate(words) if word in (">", "|")), None) for words in lines]
    found = [words[:end] for words, end in zip(lines, ends, strict=True) if words and words[0] == "fastrl"]
    return [words for words in found if not any(".py:" in word for word in words)]  # the reader's: test_plugins.py


COMMANDS = {shlex.join(words): words[1:] for page in PAGES for words in command_lines((ROOT / page).read_text())}


class Parsed(Exception):
    """Raised instead of running a command."""


@pytest.fixture
def parse_only(monkeypatch):
    original = Parser.parse

    def parse(self, words):
        raise Parsed(original(self, words))

    monkeypatch.setattr(Parser, "parse", parse)


@pytest.mark.parametrize("words", COMMANDS.values(), ids=COMMANDS.keys())
def test_commands_have_real_options(words, parse_only):
    with pytest.raises(Parsed) as parsed:
        cli.COMMANDS[words[0]](words[1:])
    found = parsed.value.args[0]
    assert getattr(found, "env", None) is None or known(found.env)
    assert getattr(found, "recipe", None) in (None, *RECIPES)
    assert getattr(found, "algorithm", None) in (None, *ALGORITHMS)


def test_every_command_is_in_the_table():
    table = (ROOT / "docs" / "quickstart.md").read_text().partition("## Every command")[2].partition("\n\nThe exit")[0]
    assert set(re.findall(r"`fastrl ([a-z]+)", table)) == set(cli.COMMANDS)


def test_commands_and_blocks_are_found():
    assert command_lines("```bash\n$ fastrl run x \\\n  --seeds 2  # two\nmake\n```") == [
        ["fastrl", "run", "x", "--seeds", "2"]
    ]
    assert len(COMMANDS) >= 50


@functools.cache
def definitions(path: Path) -> set[str]:
    """Names at the top of a file, and `Class.name` of what is inside its classes."""
    found = set()

    def collect(body: list[ast.stmt], prefix: str) -> None:
        for node in body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                found.add(prefix + node.name)
            if isinstance(node, ast.ClassDef):
                collect(node.body, f"{node.name}.")
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            found.update(prefix + target.id for target in targets if isinstance(target, ast.Name))

    collect(ast.parse(path.read_text()).body, "")
    return found


def missing(text: str) -> list[str]:
    """Files and functions that the text names and that do not exist."""
    lines = []
    for file, name in NAMED.findall(text):
        if not (ROOT / file).is_file():
            lines.append(file)
        elif name and name not in definitions(ROOT / file):
            lines.append(f"{file}::{name}")
    return lines


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_names_exists(page):
    text = (ROOT / page).read_text()
    assert missing(text) == []
    assert [target for target in LINK.findall(text) if not (ROOT / page).parent.joinpath(target).exists()] == []


def test_a_wrong_name_is_noticed():
    assert missing("`fastrl/nothing.py`") == ["fastrl/nothing.py"]
    where = "fastrl/methods/soft.py::SAC"
    assert missing(f"`{where}.utd` `{where}.udt`") == [f"{where}.udt"]


def test_papers_names_every_algorithm_and_recipe():
    text = (ROOT / "PAPERS.md").read_text()
    named = {file for file, _ in NAMED.findall(text)}
    assert {f"fastrl/algorithms/{name}.py" for name in ("sac", "cql", "iql")} <= named
    assert {f"fastrl/recipes/{name}.py" for name in ("wsrl", "continued", "scratch")} <= named
