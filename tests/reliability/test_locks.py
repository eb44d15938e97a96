"""The benchmark of locks, on a command that stands in."""

import pytest

from fastrl.benchmarks.reliability import common, locks


@pytest.mark.parametrize("fault", ["", "shares"])
def test_two_winners_are_noticed(fault, command, tmp_path):
    command(fault)
    common.done(locks.words(tmp_path / "alone"), tmp_path)
    row = locks.pair(tmp_path, 0, common.end(tmp_path / "alone"))
    assert row["refused"] is (row["codes"] == [0, 2]) is (fault == "")


def test_a_refusal_must_be_one_line_that_names_the_other(monkeypatch):
    monkeypatch.setattr(locks.socket, "gethostname", lambda: "here")
    line = "fastrl: run is in use by process 7 on here; wait"
    assert locks.judged([7, 8], [0, 2], [[], [line]])["refused"]
    assert not locks.judged([8, 7], [0, 2], [[], [line]])["refused"]
    assert not locks.judged([7, 8], [0, 2], [[], [line, "more"]])["refused"]
    assert not locks.judged([7, 8], [0, 1], [[], [line]])["refused"]
