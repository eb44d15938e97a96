import json
import re
import sys

import pytest

from fastrl.benchmarks import suite
from fastrl.cli import main as cli
from fastrl.errors import Failure, UserError


def refused(capsys, words, match):
    assert cli.main(["bench", *words]) == 2
    out, error = capsys.readouterr()
    assert out == "" and len(error.splitlines()) == 1 and re.search(match, error), error


@pytest.mark.parametrize(
    ("words", "match"),
    [
        (["lerner"], "unknown benchmark 'lerner'; did you mean 'learner'"),
        (["all", "env"], "all is every part"),
        (["loop", "--launches", "0"], "--launches must be above 0"),
        (["loop", "--launches", "two"], "--launches"),
        (["loop", "--out", "nowhere/a.jsonl"], "there is no folder nowhere"),
        (["loop", "--against", "nowhere"], "no checkout of fastrl"),
        (["loop", "compile"], "compile comes first"),
        (["loop", "show"], "show comes first"),
        (["--peer", "a.py"], "--peer goes with one part"),
        (["loop", "env", "--peer", "a.py"], "--peer goes with one part"),
        (["show"], "FILE"),
        (["show", "nothing.jsonl"], "nothing.jsonl cannot be read"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_is_one_line(capsys, tmp_path, monkeypatch, words, match):
    monkeypatch.chdir(tmp_path)
    refused(capsys, words, match)


def test_an_older_file_is_refused_by_name(capsys, tmp_path):
    path = tmp_path / "bench.jsonl"
    path.write_text('{"benchmark": "learner", "workload": "small", "milliseconds": 3}\n')
    refused(capsys, ["show", str(path)], r"bench.jsonl, line 1: it has no schema.*measure again")


def test_all_is_every_part_and_shorter():
    everything = suite.chosen(["all"])
    assert {words[0] for words in everything} >= {words[0] for group in suite.PARTS.values() for words in group}
    assert ["learner", "antmaze"] in suite.chosen(["learner"]) and ["learner", "antmaze"] not in everything
    assert suite.chosen(["loop", "memory"]) == [["loop"], ["memory"]]


def test_launches_go_by_turns_and_are_numbered(made, tmp_path, monkeypatch, capsys):
    calls, other = [], tmp_path / "other"
    (other / "fastrl").mkdir(parents=True)
    (other / "fastrl" / "__init__.py").touch()

    def launch(words, root):
        calls.append((words[0], root == other))
        return [made(workload=words[0])]

    monkeypatch.setattr(suite, "launch", launch)
    out = tmp_path / "a.jsonl"
    assert suite.run(["loop", "memory"], 2, out, other) == 0
    turns = ((False, True), (True, False))
    assert calls == [(name, side) for sides in turns for name in ("loop", "memory") for side in sides]
    lines = [json.loads(row) for row in out.read_text().splitlines()]
    assert [line["provenance"]["mode"] for line in lines[::4]] == [f"launch {n} of 2, by turns" for n in (1, 2)]
    assert [line.get("checkout") for line in lines] == [None, "abc"] * 2 + ["abc", None] * 2
    assert capsys.readouterr().out == out.read_text()


def test_a_part_that_fails_costs_only_itself(made, monkeypatch, capsys):
    def launch(words, root):
        if words[0] == "loop":
            raise Failure("loop ended with exit code 3")
        return [made()]

    monkeypatch.setattr(suite, "launch", launch)
    assert suite.run(["loop", "memory"], 1) == 1
    out, error = capsys.readouterr()
    assert error == "fastrl: loop ended with exit code 3\n" and len(out.splitlines()) == 1


def test_the_other_checkout_is_the_one_that_is_measured(tmp_path, made):
    (tmp_path / "fastrl" / "benchmarks").mkdir(parents=True)
    for folder in ("fastrl", "fastrl/benchmarks"):
        (tmp_path / folder / "__init__.py").touch()
    line = repr(json.dumps(made(workload="here")))
    (tmp_path / "fastrl" / "benchmarks" / "loop.py").write_text(
        f"import fastrl\nprint({line}.replace('here', fastrl.__file__))"
    )
    (found,) = suite.launch(["loop"], tmp_path)
    assert found["workload"] == str(tmp_path / "fastrl" / "__init__.py")


def test_a_process_is_read_and_checked(made, monkeypatch, tmp_path):
    (tmp_path / "fastrl" / "benchmarks").mkdir(parents=True)
    for folder in ("fastrl", "fastrl/benchmarks"):
        (tmp_path / folder / "__init__.py").touch()
    part = tmp_path / "fastrl" / "benchmarks" / "loop.py"
    part.write_text(f"print('noise')\nprint({json.dumps(made())!r})\n")
    assert sys.executable and suite.launch(["loop"], tmp_path) == [made()]
    part.write_text("print('{\"milliseconds\": 3}')")
    with pytest.raises(UserError, match=r"loop of .*it has no schema"):
        suite.launch(["loop"], tmp_path)
    part.write_text("raise SystemExit(3)")
    with pytest.raises(Failure, match="exit code 3"):
        suite.launch(["loop"], tmp_path)
