import dataclasses
import os
import re
import subprocess
import sys

import pytest

from fastrl.cli import defaults, subjects
from fastrl.cli import help as help_pages
from fastrl.cli import main as cli
from fastrl.config import RunOptions, reads
from fastrl.methods import ALGORITHMS, SAC, CalQL
from fastrl.planning import checks
from fastrl.recipes import names
from fastrl.recipes.table import RECIPES


def page(capsys, *words):
    with pytest.raises(SystemExit) as caught:
        cli.main(list(words))
    assert caught.value.code == 0
    return capsys.readouterr().out


def flags(text):
    """The options that a page has a paragraph for, in its order."""
    return [found.split()[-1] for found in re.findall(r"^  ((?:-h, )?--[a-z-]+)", text, re.MULTILINE)]


def paragraph(text, flag):
    """What a page says of an option, in one line."""
    lines = text.split(f"\n  {flag} ", 1)[1].split("\n")
    rest = [line for line in lines[1:] if line.startswith("   ")]
    return " ".join(
        " ".join([lines[0], *rest[: next((i for i, x in enumerate(lines[1:]) if x not in rest), 99)]]).split()
    )


@pytest.mark.parametrize("command", help_pages.UNUSED)
@pytest.mark.parametrize("columns", [80, 120])
def test_help_is_a_short_page_that_fits_the_terminal(capsys, monkeypatch, command, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    text = page(capsys, command, "--help")
    assert max(map(len, text.splitlines())) <= columns
    assert len(text.splitlines()) <= 75 and 17 <= len(flags(text)) <= 27
    assert text.startswith(f"usage: fastrl {command} ") and len(text.splitlines()[0]) < 80
    assert f"fastrl {command} --help-all" in text and text.count("\n  fastrl ") == 4  # two examples, two pages
    assert max(map(len, page(capsys, command, "--help-all").splitlines())) <= columns


def test_what_people_set_exists():
    known = {field.name for kind in (RunOptions, *ALGORITHMS.values()) for field in dataclasses.fields(kind)}
    words = {
        "recipe",
        "algorithm",
        "named",
        "env",
        "env_option",
        "start",
        "out",
        "resume",
        "sweep",
        "download",
        "actions",
    }
    words |= {
        "dataset",
        "dataset_sha256",
        "dataset_order",
        "next_observations",
        *subjects.COMMON["to look before you run"],
    }
    for names_ in (*subjects.COMMON.values(), *subjects.SUBJECTS.values()):
        assert set(names_) <= known | words


def test_all_options_are_there_once(capsys):
    text = page(capsys, "run", "--help-all")
    found = flags(text)
    fields = {field.name for kind in (RunOptions, *ALGORITHMS.values()) for field in dataclasses.fields(kind)}
    assert {f"--{name.replace('_', '-')}" for name in fields} <= set(found) and len(found) == len(set(found))
    assert "\nof iql:\n  --expectile X" in text.replace("  --inverse-temperature X", "", 1) or "of iql:" in text
    assert paragraph(text, "--utd").endswith("(default: 4, 1 or 10 by method)")
    assert "(default: 2; of xql)" not in text and "of ppo, o2ppo)" in text


def test_a_recipe_shows_what_its_phases_have_with_its_own_defaults(capsys):
    text = page(capsys, "run", "wsrl", "--help-all", "--env", "antmaze-umaze")
    assert paragraph(text, "--utd").endswith("(default: pretrain 1, finetune 4)")
    assert paragraph(text, "--gap").endswith("(default: 0.8)")  # Cal-QL's on AntMaze
    assert paragraph(text, "--pretrain-steps").endswith("(default: 1000000)")
    assert paragraph(text, "--reward-bias").endswith("(default: -5)")
    assert "the paper's)" not in text and "pretrain    1,000,000 gradient steps, calql" in text
    for flag in ("--expectile", "--members", "--align", "--rollout"):
        assert flag not in flags(text)
    assert "--pretrain-steps" not in flags(page(capsys, "run", "sac", "--help-all"))
    assert "--initialise" not in flags(page(capsys, "run", "sac", "--help-all"))


@pytest.mark.parametrize("recipe", RECIPES)
def test_what_a_recipe_shows_is_what_it_takes(recipe):
    shown = defaults.of_recipe(recipe, None)
    spec = defaults.spec_of(None)
    phases = defaults.of_recipe(recipe, "hopper").kinds
    assert shown.kinds == phases and spec.domain == "locomotion"
    for option in shown.defaults.keys() - {field.name for field in dataclasses.fields(RunOptions)}:
        checks.has(recipe, shown.kinds, [option])  # raises where none has it
    missing = {
        field.name
        for kind in shown.kinds
        for field in dataclasses.fields(kind)
        if reads(kind, field.name) and field.name not in shown.defaults
    }
    assert missing == set() and callable(names.find(recipe))


def test_a_method_shows_its_own(capsys):
    text = page(capsys, "pretrain", "calql", "--help-all")
    taken = {f"--{field.name.replace('_', '-')}" for field in dataclasses.fields(CalQL)} - {"--utd"}
    assert taken <= set(flags(text)) and "--expectile" not in flags(text) and "--warmup" not in flags(text)
    assert paragraph(text, "--steps") == "N gradient steps (default: none, they must be given)"
    text = page(capsys, "pretrain", "iql", "--env", "antmaze-umaze", "--help-all")
    assert paragraph(text, "--expectile").endswith("(default: 0.9)")
    assert "--warmup" in flags(page(capsys, "finetune", "--help"))


def test_both_pages_are_instant_and_import_no_jax():
    code = (
        "import sys; from fastrl.cli import main\n"
        "for words in (['run', '--help'], ['run', '--help-all'], ['pretrain', 'iql', '--help-all']):\n"
        "    try: main.main(words)\n"
        "    except SystemExit: pass\n"
        "sys.exit('jax' in sys.modules)"
    )
    before = os.times()
    subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    after = os.times()
    assert after.children_user + after.children_system - before.children_user - before.children_system < 0.8


OWN = """
import dataclasses
import fastrl

@dataclasses.dataclass(frozen=True)
class Regression(fastrl.Options):
    \"\"\"Imitates.\"\"\"

    noise: float = fastrl.option(0.3, "std of the exploring noise")
"""


RECIPES_OF_ONES_OWN = (
    OWN
    + """
    tau: float = fastrl.option(0.7, "a temperature")

    def build(self, spec):
        import jax.numpy as jnp
        act = lambda state, obs, key, explore: jnp.zeros((*obs.shape[:-1], spec.action_size))
        return fastrl.Algorithm(lambda key: jnp.zeros(1), act, lambda state, batches, key, clock: (state, {}))

def written(builder):
    return [builder.offline(Regression()), builder.online(Regression(), warmup=100)]

def mixed(builder):
    return [builder.offline(Regression()), builder.online(builder.config("sac", utd=2), warmup=100)]
"""
)


@pytest.fixture
def mine(monkeypatch, tmp_path):
    """A folder with a file of one's own, mine.py, where the command is called."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(RECIPES_OF_ONES_OWN)


ALGORITHMS_OPTIONS = {
    f"--{field.name}".replace("_", "-") for kind in ALGORITHMS.values() for field in dataclasses.fields(kind)
}


@pytest.mark.parametrize("listing", ["--help", "--help-all"])
def test_a_recipe_of_ones_own_shows_what_it_takes_and_nothing_else(capsys, mine, listing):
    text = page(capsys, "run", "mine.py:written", "--env", "pointmaze-umaze", listing)
    assert not ALGORITHMS_OPTIONS & set(flags(text)) and "--pretrain-steps" in flags(text)
    assert paragraph(text, "--warmup").endswith("(default: 256)") and "--initialise" not in flags(text)
    assert "The recipe itself gives mine.py:Regression its options" in " ".join(text.split())
    assert max(map(len, text.splitlines())) <= 80
    text = page(capsys, "run", "mine.py:mixed", listing)
    found = ALGORITHMS_OPTIONS & set(flags(text))
    sac = {f"--{field.name}".replace("_", "-") for field in dataclasses.fields(SAC) if reads(SAC, field.name)}
    assert found == sac if listing == "--help-all" else {"--utd", "--actor-lr"} <= found < sac
    assert paragraph(text, "--utd").endswith("(default: pretrain 1, finetune 2)")


def test_what_a_recipe_of_ones_own_does_not_show_it_refuses(capsys, mine):
    for recipe, option, value in (
        ("written", "tau", "0.1"),
        ("written", "actor-lr", "0.1"),
        ("mixed", "expectile", "1"),
    ):
        words = ("run", f"mine.py:{recipe}", "--env", "pointmaze-umaze", "--print-config")
        assert f"--{option}" not in flags(page(capsys, *words, "--help-all"))
        assert cli.main([*words, f"--{option}", value]) == 2
    capsys.readouterr()
    words = ("run", "mine.py:mixed", "--env", "pointmaze-umaze", "--print-config", "--tau", "0.1")
    assert cli.main(list(words)) == 0 and '"finetune.tau": {"value": 0.1' in capsys.readouterr().out


@pytest.mark.parametrize("command", ["pretrain", "finetune"])
def test_an_algorithm_of_ones_own_shows_what_it_has_and_nothing_else(capsys, monkeypatch, tmp_path, command):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("fastrl.cli.train.prepare", lambda *given: None)
    (tmp_path / "mine.py").write_text(OWN)
    words = (command, "mine.py:Regression") if command == "pretrain" else (command, "--algorithm", "mine.py:Regression")
    text = page(capsys, *words, "--help-all")
    assert f"{command} mine.py:Regression: Imitates." in text
    assert paragraph(text, "--noise") == "X std of the exploring noise (default: 0.3)"
    online = {"--utd"} if command == "finetune" else set()
    assert ALGORITHMS_OPTIONS & set(flags(text)) == {"--discount", "--batch-size"} | online
    text = page(capsys, *words, "--help")
    assert "--actor-lr" not in flags(text) and paragraph(text, "--batch-size").endswith("(default: 256)")


def test_an_option_of_ones_own_needs_a_default(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("fastrl.cli.train.prepare", lambda *given: None)
    bare = OWN.replace("frozen=True", "frozen=True, kw_only=True").replace(' = fastrl.option(0.3, "std of the', "  # ")
    (tmp_path / "mine.py").write_text(bare)
    assert cli.main(["pretrain", "mine.py:Regression", "--help"]) == 2
    assert "option noise of mine.py:Regression has no default" in capsys.readouterr().err
