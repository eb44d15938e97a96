"""All figures at once: which scripts run, and the exit code."""

import sys
from pathlib import Path

import pytest

from fastrl.benchmarks.reliability import __main__ as every
from fastrl.benchmarks.reliability import common


def test_the_table_has_every_script():
    folder = Path(every.__file__).parent
    scripts = {path.stem for path in folder.glob("*.py") if 'if __name__ == "__main__"' in path.read_text()}
    assert set(every.SCRIPTS) == scripts - {"__main__"}


@pytest.mark.parametrize("failing", [None, "chunks"])
def test_one_that_fails_is_the_exit_code(failing, monkeypatch, capsys):
    monkeypatch.setattr(every, "run", lambda name: name != failing)
    monkeypatch.setattr(sys, "argv", ["reliability", "locks", "chunks"])
    assert every.main() == (failing is not None)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in lines] == [["locks", "holds"], ["chunks", "FAILS" if failing else "holds"]]


def test_a_figure_says_what_wrote_it(tmp_path):
    path = tmp_path / "results" / "x.json"
    assert common.write(path, "It holds.", {"cases": 2}, True, [1, 2], 0.0) == 0
    assert common.write(path, "It holds.", {"cases": 2}, False, [1, 2], 0.0) == 1
    import json

    found = json.loads(path.read_text())
    assert found["figure"] == "It holds." and found["cases"] == [1, 2] and found["total"]["passed"] is False
    assert {"versions", "git_revision", "device", "utc", "seconds"} <= found["total"].keys()
