"""Each sentence of SECURITY.md that says what a stranger's file cannot do, by its number."""

import ast
import json
import os
import re
import shutil
import socket
from pathlib import Path

import h5py
import jax
import numpy as np
import pytest

from fastrl import agent as agents
from fastrl import envs, errors
from fastrl.agent import Agent
from fastrl.cli.main import main
from fastrl.data import datasets
from fastrl.errors import UserError
from fastrl.methods import SAC
from fastrl.reports import report
from fastrl.runs.manifest import Damaged, verify

ROOT = Path(__file__).parents[1]
PACKAGES = ("fastrl", "envs", "kernels")
ESCAPE = "\x1b]0;owned\x07\x1b[2J\u202e"
PICKLES = {"fastrl/data/adroit_npy.py", "fastrl/statistics/arrays.py"}

pytestmark = pytest.mark.usefixtures("quick")


class Runs:
    """What a pickle can do: its reading runs a command."""

    def __reduce__(self):
        return os.system, ("touch ran",)


@pytest.fixture(scope="module")
def saved(quick, tmp_path_factory):
    config = SAC(actor_hidden=(8,), critic_hidden=(8,), num_critics=2)
    spec = envs.make("probe-truncation").spec
    state = jax.jit(lambda keys: jax.lax.map(config.build(spec).init, keys))(jax.random.split(jax.random.key(0), 1))
    path = tmp_path_factory.mktemp("agent") / "a"
    Agent(config, spec, state).save(path)
    return path


@pytest.fixture
def copy(saved, tmp_path, monkeypatch):
    """A copy of the agent, in the folder where the test runs; `change(key, field, value)` edits its agent.json."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(saved, tmp_path / "a")

    def change(*path_and_value):
        *path, value = path_and_value
        content = json.loads(Path("a/agent.json").read_text())
        at = content
        for key in path[:-1]:
            at = at[key]
        at[path[-1]] = value
        Path("a/agent.json").write_text(json.dumps(content))

    return change


def calls(path):
    """The dotted names of everything that a file calls, and whether it says allow_pickle=True."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            allowed = any(k.arg == "allow_pickle" and ast.unparse(k.value) == "True" for k in node.keywords)
            yield ast.unparse(node.func) + ("(allow_pickle)" if allowed else "")


def test_1_no_file_is_a_program(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez("d.npz", observations=np.array([Runs()], object), actions=np.zeros((1, 1)))
    np.save("d.npy", np.array([Runs()], object), allow_pickle=True)
    for name in ("d.npz", "d.npy"):
        with pytest.raises(UserError):
            datasets.load(name)
    assert main(["datasets", "convert", "d.npy", "--out", "d.hdf5"]) == 2
    from fastrl import statistics

    with pytest.raises(UserError):
        statistics.load("d.npy")
    assert not Path("ran").exists()


def test_1_nothing_else_reads_a_pickle_or_runs_text():
    risky = re.compile(
        r"(c?[pP]ickle\.(load|loads|Unpickler)|dill\..*|joblib\.load|marshal\.loads?|eval|exec|yaml\.load"
        r"|.*\(allow_pickle\))"
    )
    found = {
        str(path.relative_to(ROOT)): sorted(name for name in calls(path) if risky.fullmatch(name))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if not path.is_relative_to(ROOT / "fastrl" / "benchmarks")
    }
    assert {path for path, names in found.items() if names} <= PICKLES
    assert found["fastrl/data/adroit_npy.py"] == ["np.load(allow_pickle)"]


def test_2_an_agent_that_names_code_of_its_own_is_refused(copy):
    Path("own.py").write_text("open('ran', 'w')\n")
    for field in ("algorithm", "actor", "critic", "actor_optimizer", "critic_optimizer"):
        before = Path("a/agent.json").read_text()
        for named in ("own:Net", "own.py:Net"):
            copy("config", field, named)
            with pytest.raises(UserError, match="names code"):
                agents.load("a")
        Path("a/agent.json").write_text(before)
    assert not Path("ran").exists() and agents.load("a").seeds == 1


def test_3_an_agents_environment_imports_nothing(copy, capsys, monkeypatch):
    monkeypatch.syspath_prepend(".")
    Path("own.py").write_text("open('ran', 'w')\n")
    copy("spec", "name", "gymnasium:own:Env-v0")
    assert main(["evaluate", "a", "--episodes", "1"]) == 2
    assert "name it with --env" in capsys.readouterr().err
    assert not Path("ran").exists()


def test_4_links_out_of_a_folder_are_refused(copy, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("{}")
    target = next(path for path in Path("a/checkpoints").rglob("*") if path.is_file())
    target.unlink()
    target.symlink_to(secret)
    with pytest.raises(UserError, match="is a link out of the folder"):
        agents.load("a")


@pytest.mark.parametrize("how", ["link", "external", "virtual"])
def test_4_hdf5_reads_no_other_file(tmp_path, how):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = np.zeros((4, 1), np.float32)
    with h5py.File(tmp_path / "d.hdf5", "w") as file:
        for key in ("actions", "rewards", "terminals"):
            file[key] = np.zeros((4, 1)[: 2 if key == "actions" else 1], np.float32)
        if how == "link":
            file["observations"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "x")
        elif how == "external":
            shape = {"shape": (4, 1), "dtype": "f4"}
            file.create_dataset("observations", **shape, external=[(str(tmp_path / "other.h5"), 0, 16)])
        else:
            layout = h5py.VirtualLayout((4, 1), "f4")
            layout[:] = h5py.VirtualSource(str(tmp_path / "other.h5"), "x", (4, 1))
            file.create_virtual_dataset("observations", layout)
    with pytest.raises(UserError, match="is stored outside of the file"):
        datasets.load(tmp_path / "d.hdf5")


def test_4_a_manifest_names_nothing_outside(tmp_path):
    (tmp_path / "step").mkdir()
    (tmp_path / "secret").write_text("x")
    for name in ("../secret", str(tmp_path / "secret")):
        with pytest.raises(UserError, match="is outside of it"):
            verify(tmp_path / "step", {name: {"bytes": 1, "sha256": "0"}})


def hostile_run(folder, name):
    """A run folder whose every name is `name`."""
    folder.mkdir()
    rows = [{"kind": "eval", "phase": name, "online": n, "offline": 0, "return": [1.0, 2.0]} for n in (0, 10)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = {"recipe": name, "env": name, "command": name, "identity": {"env_options": {}, "dataset": {"name": name}}}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_5_nothing_is_written_outside_of_out(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = hostile_run(tmp_path / "r", "../../outside")
    before = set(tmp_path.rglob("*"))
    assert main(["report", str(run), "--out", "c.png"]) == 0
    assert {path.name for path in set(tmp_path.rglob("*")) - before} == {"c.png", "c.html"}
    assert not list(tmp_path.parent.glob("outside*")) and not list(tmp_path.parent.parent.glob("outside*"))


def test_6_names_steer_no_terminal(copy, tmp_path, capsys):
    run = hostile_run(tmp_path / "r", ESCAPE + "$x_<script>alert(1)</script>")
    assert main(["report", str(run), "--out", "c.png"]) == 0
    report.write_report(run)
    copy("spec", "name", ESCAPE)
    assert main(["evaluate", "a"]) == 2
    copy("config", "algorithm", ESCAPE)
    assert main(["evaluate", "a"]) == 2
    with h5py.File("d.hdf5", "w") as file:
        file["observations"] = np.zeros((4, 1), np.float32)
        file[ESCAPE] = np.zeros(4)
    assert main(["datasets", "d.hdf5"]) == 2
    assert main([ESCAPE]) == 2
    shown = "".join(capsys.readouterr())
    assert "owned" in shown and not re.search("[\x00-\x08\x0b-\x1f\x7f\u202e]", shown)
    page = Path("c.html").read_text()
    assert "<script>alert" not in page and not re.search("[\x00-\x08\x0b-\x1f\x7f\u202e]", page)
    assert "default-src 'none'" in page, "the page's own policy: nothing from elsewhere"


def test_6_what_is_printable_stays_as_it_is():
    text = "käfer 蟻 ✓ – 0.5 [0.1, 0.9]\tx\ny"
    assert errors.printable(text) == text
    assert errors.printable("a\x1b[1mb\r\u202ec") == r"a\x1b[1mb\r\u202ec"


def test_7_no_command_uses_the_network(copy, tmp_path, monkeypatch, capsys):
    def refuse(self, address, *rest):
        raise AssertionError(f"connected to {address}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    assert main(["evaluate", "a", "--episodes", "1"]) == 0
    assert main(["run", "sac", "--env", "probe-truncation", "--dataset", "D4RL/door/human-v2"]) == 2
    assert "give a run --download" in capsys.readouterr().err
    assert main(["report", str(hostile_run(tmp_path / "r", "x")), "--out", "c.png"]) == 0


def test_8_damage_is_noticed(copy):
    path = max((p for p in Path("a/checkpoints").rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises((UserError, Damaged)):
        agents.load("a")
    np.savez(
        "d.npz", observations=np.zeros((4, 1)), actions=np.zeros((4, 1)), rewards=np.zeros(4), terminals=np.ones(4)
    )
    with pytest.raises(UserError, match="has sha256"):
        datasets.load("d.npz", sha256="0" * 64)


def test_every_numbered_sentence_has_its_test():
    numbers = set(re.findall(r"^(\d+)\. ", (ROOT / "SECURITY.md").read_text(), re.M))
    tested = set(re.findall(r"^def test_(\d+)_", Path(__file__).read_text(), re.M))
    assert numbers and numbers == tested
