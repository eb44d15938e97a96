"""A run with every logger, one that raises and one that hangs: what the real packages wrote, read back."""

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import trackio.sqlite_storage
import trackio.utils

import fastrl
from fastrl.engine.record import Record
from fastrl.loggers import beside, names
from fastrl.loggers.beside import Loggers
from fastrl.runs import processes
from fastrl.runs.progress import Progress

pytestmark = pytest.mark.usefixtures("quick")


class Raises:
    def start(self, about): ...

    def log(self, number, row):
        raise OSError("no space left")

    def finish(self, summary, complete): ...


class Hangs(Raises):
    def log(self, number, row):
        threading.Event().wait()


class Keeps(Raises):
    def __init__(self):
        self.calls = []

    def start(self, about):
        self.about = about

    def log(self, number, row):
        self.calls.append((number, row))

    def finish(self, summary, complete):
        self.calls.append((summary, complete))


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """Nobody is logged in, nothing is asked, and Trackio writes here."""
    folder = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("WANDB", "TRACKIO", "HF_"))]:
            patch.delenv(name)
        patch.setenv("HOME", str(folder))
        patch.setenv("NETRC", str(folder / "netrc"))
        patch.setenv("TRACKIO_DIR", str(folder))
        for module in (trackio, trackio.utils, trackio.sqlite_storage):  # it has read the variable as it was imported
            patch.setattr(module, "TRACKIO_DIR", folder)
        yield folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory, alone, tiny, probe_data, quick):
    """(folder, run, what was said)."""
    path, said = tmp_path_factory.mktemp("loggers") / "one", io.StringIO()
    log = ("tensorboard", "wandb", "trackio", Raises())
    arguments = {"env": "probe-action", "dataset": probe_data("probe-action"), "out": path, "progress": Progress(said)}
    options = {name: value for name, value in tiny.items() if name not in ("cql_actions", "backup_actions")}
    run = fastrl.run("iql", **arguments, **options, log=log)
    return path, run, said.getvalue()


def curve(rows, kind, name, online=True):
    """(step, mean, values) of the rows of one kind, from metrics.jsonl."""
    rows = [row for row in rows if row["kind"] == kind and name in row and (row["phase"] != "pretrain") == online]
    return [(row["online" if online else "offline"], np.mean(row[name]), row[name]) for row in rows]


def test_wandb_has_the_curves_the_configuration_and_the_summary(finished, wandb_files):
    path, run, _ = finished
    found = wandb_files(path)
    assert found["ids"] == {json.loads((path / "wandb.json").read_text())["id"]} and found["exits"] == [0]
    assert (found["name"], found["group"], found["tags"]) == ("one", "iql-probe-action", ["iql", "probe-action"])
    assert found["axes"]["eval/*"] == found["axes"]["seed/*"] == "environment_steps"
    assert found["axes"]["pretrain/*"] == "gradient_steps"
    steps = [step["_step"] for step in found["history"]]
    assert steps == sorted(set(steps)) and steps[-1] == len(run.rows) - 1
    for name, axis, online, kind, of in (
        ("eval/return", "environment_steps", True, "eval", "return"),
        ("pretrain/train/critic/loss", "gradient_steps", False, "train", "critic/loss"),
    ):
        start = name.removesuffix(f"{kind}/{of}")
        there = [
            (step[axis], step[name], [step[f"{start}seed/{n}/{kind}/{of}"] for n in range(2)])
            for step in found["history"]
            if name in step
        ]
        here = curve(run.rows, kind, of, online)
        assert len(here) > 1 and [row[0] for row in there] == [row[0] for row in here]
        assert [row[2] for row in there] == [row[2] for row in here]
        assert [row[1] for row in there] == pytest.approx([row[1] for row in here])
    config = json.loads((path / "config.json").read_text())
    assert found["config"]["dataset_sha256"] == config["identity"]["dataset"]["sha256"]
    assert found["config"]["versions"] == config["versions"] and "git_revision" in found["config"]
    assert found["config"]["finetune"]["actor_hidden"] == [8] and found["config"]["pretrain"]["steps"] == 20
    returns = [mean for _, mean, _ in curve(run.rows, "eval", "return")]
    assert found["summary"]["final/eval/return"] == pytest.approx(returns[-1])
    assert found["summary"]["best/eval/return"] == pytest.approx(max(returns))


def test_trackio_has_the_same(finished, alone, trackio_rows):
    path, run, _ = finished
    rows, (config,) = trackio_rows(alone / "fastrl.db")
    name = f"one-{json.loads((path / 'trackio.json').read_text())['id']}"
    assert {found for found, _, _ in rows} == {name}
    there = [(step, metrics["eval/return"]) for _, step, metrics in rows if "eval/return" in metrics]
    assert there == [(step, pytest.approx(mean)) for step, mean, _ in curve(run.rows, "eval", "return")]
    there = [(s, m["pretrain/seed/1/train/critic/loss"]) for _, s, m in rows if "pretrain/train/critic/loss" in m]
    assert there == [(step, values[1]) for step, _, values in curve(run.rows, "train", "critic/loss", online=False)]
    assert config["recipe"] == "iql" and config["finetune"]["batch_size"] == 8
    assert rows[-1][2]["best/eval/return"] >= rows[-1][2]["final/eval/return"]


def test_one_that_raises_is_one_line_and_the_run_ends_well(finished):
    path, _, said = finished
    assert said.count("--log ") == 1 and said.count("wandb: nobody is logged in") == 1
    assert "--log Raises is off: OSError: no space left; the run goes on without it" in said
    assert (path / "report.md").exists() and any((path / "tensorboard").iterdir())
    assert json.loads((path / "config.json").read_text())["log"] == ["tensorboard", "wandb", "trackio", "Raises"]


def test_one_that_hangs_keeps_nobody_waiting(tmp_path, monkeypatch):
    monkeypatch.setattr(beside, "PATIENCE", 0.3)
    said, keeps = [], Keeps()
    loggers = Loggers(tmp_path, names.find([Hangs(), keeps]), said.append)
    rows = [{"kind": "eval", "phase": "finetune", "step": n, "online": n, "return": [n, n]} for n in range(4)]
    began = time.monotonic()
    loggers.start(rows[:1])
    for row in rows[1:]:
        loggers.append(row)
    assert time.monotonic() - began < 0.3
    loggers.finish(rows, complete=True)
    assert said == ["--log Hangs is off: it has not finished 0.3 seconds after the run; the run goes on without it"]
    summary = {"final/eval/return": 3, "best/eval/return": 3, "best/eval/return/environment_steps": 3}
    assert keeps.calls == [*enumerate(rows), (summary, True)] and keeps.about.folder == tmp_path


def _copy(path: Path, run: fastrl.Run, folder: Path) -> list:
    folder.mkdir()
    (folder / "config.json").write_text((path / "config.json").read_text())
    return json.loads(json.dumps(run.rows))


def test_a_run_that_is_continued_is_the_same_run_there_with_each_row_once(
    finished, alone, tmp_path, wandb_files, trackio_rows
):
    rows, said = _copy(*finished[:2], tmp_path / "cut"), []
    for kept, new, complete in ((0, 7, False), (5, len(rows), True), (len(rows), len(rows), True)):
        loggers = Loggers(tmp_path / "cut", names.find("wandb,trackio"), said.append)
        loggers.start(rows[:kept])
        for row in rows[kept:new]:
            loggers.append(row)
        loggers.finish(rows[:new], complete)
    whole, cut = wandb_files(finished[0]), wandb_files(tmp_path / "cut")
    strip = lambda history: [{k: v for k, v in x.items() if k not in ("_runtime", "_timestamp")} for x in history]
    assert strip(cut["history"]) == strip(whole["history"])
    assert len(cut["ids"]) == 1 and cut["ids"] != whole["ids"] and cut["exits"] == [1, 0]
    found, _ = trackio_rows(alone / "fastrl.db")
    ours = [(step, metrics) for name, step, metrics in found if name.startswith("cut-")]
    assert ours == [(step, metrics) for name, step, metrics in found if name.startswith("one-")]
    assert all("wandb: nobody is logged in" in line for line in said)


def test_a_wrong_key_is_one_line_and_the_run_is_written_offline(finished, alone, tmp_path, wandb_files, monkeypatch):
    monkeypatch.setenv("WANDB_API_KEY", "short")
    rows, said = _copy(*finished[:2], tmp_path / "key"), []
    loggers = Loggers(tmp_path / "key", names.find("wandb"), said.append)
    loggers.start(rows[:2])
    loggers.finish(rows[:2], complete=True)
    assert len(said) == 1 and "WANDB_API_KEY invalid" in said[0] and "this run is written offline" in said[0]
    assert len(wandb_files(tmp_path / "key")["history"]) == 2


KILLED = """
import json, os, pathlib, signal, sys, time
from fastrl.loggers import names
from fastrl.loggers.beside import Loggers
folder = pathlib.Path(sys.argv[1])
loggers = Loggers(folder, names.find("wandb,trackio"), print)
loggers.start([])
for row in json.loads(sys.stdin.read()):
    loggers.append(row)
files = [folder / "wandb.json", folder / "trackio.json"]
while not all(path.exists() and json.loads(path.read_text())["rows"] == 6 for path in files):
    time.sleep(0.05)
time.sleep(1.0)  # Trackio writes twice a second
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_run_leaves_readable_files(finished, alone, tmp_path, wandb_files, trackio_rows):
    rows = _copy(*finished[:2], tmp_path / "killed")
    words = [sys.executable, "-c", KILLED, str(tmp_path / "killed")]
    done = subprocess.run(words, input=json.dumps(rows[:6]), text=True, check=False, capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert [step["_step"] for step in wandb_files(tmp_path / "killed", rows=6)["history"]] == list(range(6))
    found, _ = trackio_rows(alone / "fastrl.db")
    assert len([name for name, _, _ in found if name.startswith("killed-")]) == 6


def test_without_a_folder_only_the_default_is_left_out():
    with pytest.raises(fastrl.UserError, match="name one with out=FOLDER"):
        fastrl.run("sac", env="probe-action", steps=10, warmup=2, batch_size=2, utd=1, log="wandb")
    names.check_folder(names.find("tensorboard"))


def test_of_several_processes_the_first_alone_logs(plan_of, tmp_path, monkeypatch):
    plan = plan_of("sac", log="wandb")
    for first in (True, False):
        monkeypatch.setattr(processes, "first", lambda first=first: first)
        assert (Record(plan, tmp_path, Progress(io.StringIO())).loggers is not None) == first
