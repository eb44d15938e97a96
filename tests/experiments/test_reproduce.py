"""A reproduction of two made-up figures on a probe environment: what is shared, what is written, how it continues."""

import io
import json
import sys
import types

import matplotlib.image
import pytest

from fastrl.errors import Failure, UserError
from fastrl.experiments import ocr_cft, quantities, reproduce, tasks, wsrl
from fastrl.experiments.claims import Claim
from fastrl.experiments.figures import Agent, Arm, Figure, Panel, Task
from fastrl.presets import Domain
from fastrl.runs.progress import Progress

pytestmark = pytest.mark.usefixtures("quick")

NETWORKS = {"num_critics": 2, "layer_norm": True}
SIZES = {"actor_hidden": (8,), "critic_hidden": (8,), "batch_size": 8, "cql_actions": 2, "backup_actions": 2, "utd": 2}


@pytest.fixture(scope="module")
def paper(quick):
    """Two figures with two arms each, one of them shared."""
    arms = {
        "one": Arm("the first", "wsrl", "calql", {"warmup": 20}),
        "two": Arm("the second", "wsrl", "calql", {"warmup": 20, "initialise": "actor"}),
        "three": Arm("the third, from scratch", "sac", None, {"warmup": 20}),
    }
    claim = Claim("the first is better", quantities.average, "one", "two")
    figures = (
        Figure(
            "1", "First", ("probe",), (Panel("both", ("one", "two")), Panel("Q", ("one",), "offline/q", "Q")), (claim,)
        ),
        Figure("2", "Second", ("probe",), (Panel("both", ("one", "three")),), ()),
    )
    return types.SimpleNamespace(arms=lambda task: arms, FIGURES=figures)


@pytest.fixture
def known(monkeypatch, paper, probe_data):
    def write(path):
        from fastrl.data import d4rl

        data = probe_data("probe-truncation")
        d4rl.write(
            path,
            {
                "observations": data.obs,
                "actions": data.action,
                "rewards": data.reward,
                "terminals": data.mask == 0,
                "timeouts": data.boundary,
                "next_observations": data.next_obs,
            },
        )

    task = Task(
        name="probe",
        env="probe-truncation",
        why="it is small",
        dataset=write,
        domain=Domain(shared={**SIZES, **NETWORKS}),
        pretrain_steps=20,
        agents={"calql": Agent("calql", NETWORKS)},
        online={"steps": 40, "eval_every": 10, "eval_episodes": 2},
        warmup=20,
    )
    monkeypatch.setitem(reproduce.PAPERS, "made-up", paper)
    monkeypatch.setitem(reproduce.BUDGETS, "small", {"probe": task})


def test_figures_share_runs_and_an_interrupted_reproduction_continues(known, tmp_path):
    text = io.StringIO()
    first = reproduce.reproduce("made-up", ["1"], "small", 2, tmp_path, Progress(text))
    home = tmp_path / "probe"
    assert {folder.name for folder in (home / "arms").iterdir()} == {"one", "two"}
    stamp = (home / "arms" / "one" / "metrics.jsonl").read_bytes()
    trained = (home / "arms" / "one" / "timing.json").stat().st_mtime_ns
    assert "| the first is better | probe | 2 |" in first
    second = reproduce.reproduce("made-up", [], "small", 2, tmp_path, Progress(text))
    assert {folder.name for folder in (home / "arms").iterdir()} == {"one", "two", "three"}
    assert (home / "arms" / "one" / "metrics.jsonl").read_bytes() == stamp
    assert (home / "arms" / "one" / "timing.json").stat().st_mtime_ns == trained
    assert "## Figure 2: Second" in second and "it is small" in second
    for number in (1, 2):
        picture = matplotlib.image.imread(tmp_path / f"made-up-figure-{number}.png")
        assert picture.shape[0] > 300 and picture.std() > 0.01
    found = json.loads((tmp_path / "claims.json").read_text())
    assert [row["figure"] for row in found["claims"]] == ["1"]
    assert (tmp_path / "claims.md").read_text().strip() == second.strip()


def test_bad_names_are_one_line(known, tmp_path):
    with pytest.raises(UserError, match="unknown figure of made-up '9'"):
        reproduce.reproduce("made-up", ["9"], "small", 2, tmp_path, Progress(io.StringIO()))
    with pytest.raises(UserError, match="unknown run 'probe/arms/nine'"):
        reproduce.one("made-up", "small", 2, tmp_path, "probe/arms/nine", Progress(io.StringIO()))


def test_runs_go_side_by_side_as_commands_of_their_own(known, tmp_path, monkeypatch):
    """Agents before arms, each run once by its name; what a command says that fails is the error."""
    seen = tmp_path / "seen"
    write = "import sys; open(sys.argv[1], 'a').write(sys.argv[2] + chr(10)); sys.exit(int(sys.argv[3]))"
    command = lambda run, code="0": [sys.executable, "-c", write, str(seen), run, code]
    monkeypatch.setattr(reproduce, "summarise", lambda *args: "done")
    text = io.StringIO()
    made = reproduce.reproduce("made-up", [], "small", 2, tmp_path / "out", Progress(text), command)
    assert made == "done" and seen.read_text().splitlines()[0] == "probe/calql"
    assert sorted(seen.read_text().splitlines()[1:]) == [f"probe/arms/{name}" for name in ("one", "three", "two")]
    assert "(3 of 3)" in text.getvalue() and (tmp_path / "out/probe/data.hdf5").exists()
    for code, error in (("2", UserError), ("1", Failure)):
        with pytest.raises(error, match=f"probe/calql: exit code {code} "):
            reproduce.reproduce(
                *("made-up", [], "small", 2, tmp_path / "out", Progress(text)),
                lambda run, code=code: command(run, code),
            )


@pytest.mark.parametrize("paper", [wsrl, ocr_cft])
@pytest.mark.parametrize("budget", [tasks.SMALL, tasks.PAPER])
def test_every_figure_names_arms_tasks_and_agents_that_exist(paper, budget):
    for figure in paper.FIGURES:
        for name in figure.tasks:
            if name not in budget:
                continue
            arms = paper.arms(budget[name])
            for arm in figure.arms:
                assert arms[arm].start is None or arms[arm].start in budget[name].agents, (figure.number, arm)
    assert len({figure.number for figure in paper.FIGURES}) == len(paper.FIGURES)
