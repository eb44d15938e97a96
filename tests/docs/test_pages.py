"""Every ```bash and ```python block of the pages runs, in order, in a folder a page with an agent, a run, data."""

import contextlib
import io
import linecache
import os
import re
import shlex
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fastrl.cli import main as cli

pytestmark = [pytest.mark.usefixtures("quick", "in_process"), pytest.mark.slow]
ROOT = Path(__file__).parents[2]
PAGES = ["README.md", *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(bash|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
RUN = (
    "run wsrl --env pointmaze-umaze --dataset maze.hdf5 --seeds 2 --pretrain-steps 30 --steps 60 --warmup 40"
    " --actor-hidden 8 --critic-hidden 8 --num-critics 2 --batch-size 8 --utd 1 --cql-actions 2 --backup-actions 2"
    " --eval-every 60 --eval-episodes 1 --probe-every 0 --out runs/wsrl"
)
SHELL = set("|&;<>$`(")


def blocks(text: str) -> list[tuple[str, str]]:
    """(language, source) of every block that runs."""
    return BLOCK.findall(text)


def commands(source: str) -> list[list[str]] | None:
    """The words of every line, where all are plain `fastrl` commands; None where a shell has to read them."""
    lines = [line for line in source.replace("\\\n", " ").splitlines() if line.strip() and not line.startswith("#")]
    words = [shlex.split(line, comments=True) for line in lines]
    plain = all(line[0] == "fastrl" for line in words) and not any(SHELL & set(re.sub("'[^']*'", "", x)) for x in lines)
    return words if plain else None


def play(language: str, source: str, names: dict[str, Any]) -> None:
    """Runs one block in the present folder; Python blocks of a page share their names."""
    if language == "python":
        name = f"<block {len(linecache.cache)}>"
        linecache.cache[name] = (
            len(source),
            None,
            source.splitlines(keepends=True),
            name,
        )  # for dataclasses and traces
        exec(compile(source, name, "exec"), names)
    elif (found := commands(source)) is not None:
        for words in found:
            said = io.StringIO()
            with contextlib.redirect_stderr(said):
                code = cli.main(words[1:])
            assert code == 0, f"{shlex.join(words)}: {said.getvalue()[-2000:]}"
    else:
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", source], env=os.environ | {"PATH": path}, capture_output=True, text=True
        )
        assert done.returncode == 0, f"{source}{done.stderr[-2000:]}"


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands run here; jax is set up by the tests already."""
    monkeypatch.setattr(cli, "prepare", lambda *words: None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, quick: None) -> Path:
    """What every page finds: `maze.hdf5`, `runs/wsrl` and `agent/`."""
    path = tmp_path_factory.mktemp("pages")
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stderr(io.StringIO()):
        patch.chdir(path)
        patch.setattr(cli, "prepare", lambda *words: None)
        assert cli.main(["collect", "pointmaze-umaze", "maze.hdf5", "--steps", "2000"]) == 0
        assert cli.main(RUN.split()) == 0
    shutil.copytree(path / "runs/wsrl/agent", path / "agent")
    return path


@pytest.fixture
def page_folder(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of it that the page may write into."""
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))
    yield tmp_path


@pytest.mark.parametrize("page", [page for page in PAGES if blocks((ROOT / page).read_text())])
def test_what_a_page_shows_runs(page, page_folder):
    names: dict[str, Any] = {"__name__": f"page_{Path(page).stem}"}
    module = type(sys)(names["__name__"])  # dataclasses look their module up
    module.__dict__.update(names)
    sys.modules[module.__name__] = module
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            for language, source in blocks((ROOT / page).read_text()):
                play(language, source, module.__dict__)
    finally:
        del sys.modules[module.__name__]


def test_a_block_that_fails_is_noticed(page_folder):
    with pytest.raises(AssertionError, match="hoper"):
        play("bash", "fastrl evaluate agent --env hoper", {})
    with pytest.raises(AssertionError, match="nowhere"):
        play("bash", "cd nowhere && ls", {})
    with pytest.raises(ZeroDivisionError):
        play("python", "1 / 0", {})
    assert commands("fastrl recipes  # all\nfastrl envs \\\n  hopper\n") == [
        ["fastrl", "recipes"],
        ["fastrl", "envs", "hopper"],
    ]
    assert commands("fastrl recipes | head") is None
    assert blocks("```text\nno\n```\n```bash\nyes\n```\n") == [("bash", "yes\n")]
