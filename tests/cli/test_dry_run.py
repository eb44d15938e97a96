import json
import os
import re
from collections import Counter
from pathlib import Path

import pytest

from fastrl.cli import dry_run
from fastrl.cli import main as cli
from fastrl.planning import rehearsal
from fastrl.replay import ring
from fastrl.runs import lock

pytestmark = pytest.mark.usefixtures("quick")

SIZES = ("--actor-hidden", "8", "--critic-hidden", "8", "--batch-size", "8")
LENGTHS = ("--seeds", "2", "--utd", "2", "--steps", "60", "--warmup", "20")
OFTEN = ("--eval-every", "10", "--eval-episodes", "2", "--switch-eval-every", "2", "--probe-every", "5")
WORDS = ("run", "td3", "--env", "probe-truncation", *SIZES, *LENGTHS, *OFTEN)


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """(what --dry-run printed, the folder in which it was, and then the run itself, in `r`)."""
    home = tmp_path_factory.mktemp("dry")
    (home / "d.hdf5").write_bytes(b"no dataset")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fastrl.cli.train.prepare", lambda *given: None)
        patch.setattr(rehearsal, "SECONDS", 0.0)
        patch.chdir(home)
        printed = []
        patch.setattr("builtins.print", lambda *words, **more: printed.append(words[0]) if not more else None)
        assert cli.main([*WORDS, "--out", "r", "--dry-run"]) == 0
        assert sorted(path.name for path in home.iterdir()) == ["d.hdf5"]
        assert cli.main([*WORDS, "--out", "r"]) == 0
    return printed[0], home


@pytest.fixture(autouse=True)
def there(monkeypatch, ran):
    monkeypatch.setattr("fastrl.cli.train.prepare", lambda *given: None)
    monkeypatch.chdir(ran[1])


def test_it_says_what_the_run_then_does(ran):
    text, home = ran
    rows = [json.loads(line) for line in (home / "r/metrics.jsonl").read_text().splitlines()]
    evaluations = Counter(row["phase"] for row in rows if row["kind"] == "eval")
    table = {cells[0]: cells for cells in map(str.split, text.splitlines()) if cells and cells[0] in evaluations}
    lines = [line.split() for line in text.split("\n\n")[2].splitlines()[1:]]
    assert [(cells[0], int(cells[5])) for cells in lines] == list(evaluations.items()) and table
    assert [cells[1:5] for cells in lines] == [
        ["td3", "20", "environment", "0"],
        ["td3", "40", "environment", "80"],
    ]
    probes = sum(row["kind"] == "probe" for row in rows)
    assert f"({sum(evaluations.values())} times; " in text and f"({probes} times; " in text


def test_times_are_measured_and_add_up(ran):
    text, _ = ran
    measured = re.findall(
        r"^  (\w+) +about ([\d.]+) s \(measured over (\d+) steps: [\d.]+ [mu]?s a step\)$", text, re.M
    )
    assert [name for name, _, _ in measured] == ["warmup", "finetune"]
    assert all(0 < int(steps) <= 40 for _, _, steps in measured) and "compiling is extra: it took" in text
    parts = [float(seconds) for seconds in re.findall(r"^  \w+ +about ([\d.]+) s \(", text, re.M)]
    total = float(re.search(r"^time +about ([\d.]+) s,", text, re.M)[1])
    assert len(parts) == 4 and total == pytest.approx(sum(parts), abs=0.06 * len(parts))


def test_bytes_are_those_of_the_arrays(ran):
    text, home = ran
    bytes_ = 2 * 60 * ring.width(1, 1) * 4  # seeds, rows of each, float32
    found = dict(re.findall(r"^  (\w[\w ]+?)  +(\d[\d.,]* \wB)", text, re.MULTILINE))
    assert found["replay ring"] == dry_run.amount(bytes_ + 8) and "2 x 60 rows" in text  # a pointer and a size
    assert "disk     r would hold about" in text and "the newest 3, one every 5 minutes" in text
    checkpoint = sum(path.stat().st_size for path in (home / "r/checkpoints").glob("[0-9]*/**/*") if path.is_file())
    assert checkpoint > 0


def test_what_a_run_would_refuse_is_refused_and_nothing_is_written(capsys, ran):
    def refused(match, *more, words=WORDS):
        before = sorted(Path().rglob("*"))
        assert cli.main([*words, *more, "--dry-run"]) == 2
        out, error = capsys.readouterr()
        assert out == "" and len(error.splitlines()) == 1 and re.search(match, error), error
        assert sorted(Path().rglob("*")) == before

    refused("--out r exists; add --resume", "--out", "r")
    refused("other options \\(seed: 0 there, 1 now\\)", "--out", "r", "--resume", "--seed", "1")
    refused("utd: 2 there, 3 now", "--out", "r", "--resume", "--utd", "3")
    refused("there is no run in q", "--out", "q", "--resume")
    refused("d.hdf5/r cannot be made|is a file", "--out", "d.hdf5/r")
    refused("no phase of td3 has --gap", "--gap", "0.5")
    refused("d.hdf5", words=("run", "wsrl", *WORDS[2:], "--dataset", "d.hdf5"))
    refused("give two or more different values", "--sweep", "utd=2")
    with lock.hold(Path("r")):
        refused(f"r is in use by process {os.getpid()}", "--out", "r", "--resume")
    with lock.hold(Path("r")):  # it was given back
        pass


def test_shapes_of_a_run_with_data(plan_of):
    plan = plan_of("wsrl")
    carry, rows = rehearsal.shapes(plan)
    found = rehearsal.parts(carry, rows)
    assert found["dataset"] == 40 * ring.width(1, 1) * 4 and found["agents"] == rehearsal.size(carry.seeds.agent)
    assert [rehearsal.moments(plan, n).updates for n in range(3)] == [20, 0, 20 * 2]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.04, "0.0 s"), (12.3, "12 s"), (125, "2 min 5 s"), (12_000, "3 h 20 min"), (200_000, "2 d 7 h")],
)
def test_durations(seconds, words):
    assert dry_run.duration(seconds) == words


def test_small_numbers():
    assert [dry_run.short(x) for x in (0.0041, 3.2e-5, 1.234)] == ["4.1 ms", "32 us", "1.23 s"]
    assert [dry_run.amount(x) for x in (96_000, 5_140_000, 2_310_000_000)] == ["96 kB", "5.1 MB", "2.31 GB"]
