"""`--peer`: the contract of an adapter, the worker on a made-up one, the ratios by hand. No network is used."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fastrl.benchmarks import beside, peer_worker, schema
from fastrl.cli import main
from fastrl.errors import UserError

PEERS = Path(beside.__file__).parent / "peers"
GOOD = '''
"""Sleeps."""
import time

PART = "replay"
REQUIRES = ()
EQUAL = ("the night",)
NOT_EQUAL = ("the dreams",)


def prepare(case):
    print("loud")
    return lambda: time.sleep(0.001 * case["seeds"]), 10
'''


@pytest.fixture
def write(tmp_path):
    def write(text: str) -> Path:
        path = tmp_path / "sleeper.py"
        path.write_text(text)
        return path

    return write


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("def prepare(case)", "def ready(case)", "it has no prepare"),
        ("def prepare(case)", "def prepare()", "it has no prepare"),
        ('"replay"', '"loop"', "its PART is 'loop', not 'replay'"),
        ('PART = "replay"', "", "its PART is None"),
        ("REQUIRES = ()", 'REQUIRES = ("numpy",)', "'numpy' without a version"),
        ("REQUIRES = ()", 'REQUIRES = "numpy==2"', "write a tuple of strings"),
        ("REQUIRES = ()", "REQUIRES = tuple(time.tzname)", "REQUIRES is computed"),
        ("REQUIRES = ()", 'CASE = {"envv": 1}', "replay has obs, action, batch, capacity"),
        ("import time", "import", "cannot be read as Python"),
    ],
)
def test_what_breaks_the_contract_is_one_line_and_exit_code_2(write, capsys, old, new, said):
    path = write(GOOD.replace(old, new))
    assert main.main(["bench", "replay", "--peer", str(path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line and "sleeper.py" in line


@pytest.mark.parametrize(
    ("part", "launches", "said"), [("learner", 1, "loop or replay"), ("replay", 0, "--launches must be above 0")]
)
def test_what_cannot_be_measured_is_refused(write, part, launches, said):
    with pytest.raises(UserError, match=said):
        beside.run(part, write(GOOD), launches)


def test_an_adapter_is_read_without_running_it(write):
    found = beside.adapter(write(GOOD + '\nCASE = {"batch": 3}\nraise SystemExit'), "replay")
    assert (found.name, found.equal, found.not_equal) == ("sleeper", ("the night",), ("the dreams",))
    assert found.case == {**beside.CASES["replay"], "batch": 3}


@pytest.mark.parametrize("name", ["brax_sac", "rejax_sac", "flashbax_replay"])
def test_the_worked_adapters_keep_the_contract(name):
    path = PEERS / f"{name}.py"
    part = "replay" if path.stem.endswith("replay") else "loop"
    found = beside.adapter(path, part)
    assert found.requires and found.equal and found.not_equal
    if "brax" in path.stem:  # both sides see the same library
        assert {"brax==0.14.2", "mujoco-mjx==3.17.0"} <= set(found.requires)


def test_the_worker_times_a_made_up_adapter_without_fastrl(write):
    code = "import runpy, sys; sys.modules |= {'jax': None, 'fastrl': None}; sys.argv = sys.argv[1:]; "
    code += "runpy.run_path(sys.argv[0], run_name='__main__')"
    words = [str(PEERS.parent / "peer_worker.py"), str(write(GOOD)), '{"seeds": 2}']
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)  # one line: what the adapter printed went to the error stream
    assert len(found["wall"]) == len(found["cpu"]) == peer_worker.ROUNDS
    assert min(found["wall"]) >= 2_000 / 10  # 2 ms of 10 units
    assert max(found["cpu"]) < min(found["wall"])
    assert set(found["ceilings"]) == set(schema.CEILINGS) and min(found["ceilings"].values()) > 0
    assert found["versions"]["python"].startswith("3.")


def test_the_worker_counts_busy_time(tmp_path):
    path = tmp_path / "busy.py"
    path.write_text(
        "import time\ndef prepare(case):\n    def call():\n        end = time.process_time() + 0.004\n"
        "        while time.process_time() < end: pass\n    return call, 4\n"
    )
    found = peer_worker.measure(path, {}, rounds=2, length=0.02)
    assert all(1_000 <= each < 2_000 for each in found["cpu"])


@pytest.mark.parametrize(
    ("body", "said"),
    [("raise RuntimeError('no\\nluck')", "RuntimeError: no luck"), ("return 3, print", "prepare(case) must return")],
)
def test_an_adapter_that_fails_is_one_line(write, body, said):
    path = write(GOOD.replace('print("loud")', body))
    with pytest.raises(UserError) as error:
        beside.launch(sys.executable, "-P", path, {"part": "replay", "seeds": 1}, str(path.parent))
    assert said in str(error.value) and "\n" not in str(error.value)


def measured(wall: list[float], provenance: bool = False) -> dict:
    found = {
        "wall": wall,
        "cpu": [x / 2 for x in wall],
        "first_call_seconds": 1.0,
        "ceilings": {"sgemm_gflops": 10.0, "copy_gigabytes_per_second": 1.0},
        "versions": {"python": "3.11.1", "numpy": "1"},
    }
    return found | ({"provenance": dict.fromkeys(schema.PROVENANCE, "here")} if provenance else {})


def test_the_ratios_of_a_run_by_hand(write, monkeypatch, tmp_path, capsys):
    ours, theirs = iter([[1, 2, 3], [3, 4, 9], [5, 6, 7]] * 2), iter([[6, 6, 6], [8, 8, 8], [7, 12, 40]] * 2)
    order = []

    def launch(python, isolated, path, case, programs):
        order.append(path.stem)
        return measured(next(ours), True) if path.stem == "ours" else measured(next(theirs))

    monkeypatch.setattr(beside, "launch", launch)
    monkeypatch.setattr(beside, "environment", lambda requires: Path(sys.executable))
    out = tmp_path / "lines.jsonl"
    assert beside.run("replay", write(GOOD), 3, out) == 0
    lines = [json.loads(line) for line in out.read_text().splitlines()]
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == lines
    assert order == ["ours", "sleeper", "sleeper", "ours", "ours", "sleeper"] * 2
    assert [line["arm"] for line in lines] == [*["ours", "sleeper"] * 3, "ratio"] * 2
    assert [line["microseconds"] for line in lines[:6]] == [2, 6, 4, 8, 6, 12]
    ratio = lines[6]
    assert (ratio["times"], ratio["best_times"], ratio["cpu_times"]) == (8 / 4, 6 / 1, 2.0)
    assert 6 / 6 <= ratio["interval"][0] <= 2 <= ratio["interval"][1] <= 12 / 2
    assert (ratio["equal"], ratio["not_equal"]) == (["the night"], ["the dreams"])
    assert [line["case"]["seeds"] for line in lines] == [1] * 7 + [8] * 7
    assert lines[1]["provenance"]["numpy"] == "1" and lines[1]["provenance"]["fastrl"] is None
    for line in lines:
        assert set(schema.PROVENANCE) <= set(line["provenance"]) and schema.figures(line)


def test_an_environment_is_named_by_what_it_holds():
    name = beside.fingerprint(["a==1", "b==2"])
    assert name == beside.fingerprint(("b==2", "a==1"))
    assert len({name, beside.fingerprint(["a==1"]), beside.fingerprint(["a==1", "b==3"])}) == 3


def test_an_environment_is_made_once_and_a_failed_one_is_not_kept(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    commands = []
    real = subprocess.run

    def run(command, **options):
        commands.append(command)
        if "venv" in command:  # no pip of its own, which takes seconds
            command = [sys.executable, "-m", "venv", "--without-pip", "--system-site-packages", command[-1]]
        return real(command, **options)

    monkeypatch.setattr(subprocess, "run", run)
    python = beside.environment(())
    assert python.is_file() and beside.environment(()) == python
    assert len(commands) == 1
    assert real([str(python), "-c", ""]).returncode == 0
    with pytest.raises(UserError) as error:
        beside.environment(("no-such-package-of-ours==1",))
    assert "no-such-package-of-ours==1" in str(error.value) and "\n" not in str(error.value)
    assert [path.name for path in (tmp_path / ".cache" / "fastrl" / "peers").iterdir()] == [python.parents[1].name]
    assert time.time() - python.lstat().st_mtime < 600
