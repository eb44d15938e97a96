"""The benchmark of damage, small: every format and kind of damage once, and it can tell silence."""

import dataclasses

import pytest

from fastrl.benchmarks.reliability import damage
from fastrl.types import UserError


@pytest.mark.parametrize("number", range(len(damage.FORMATS) * len(damage.DAMAGES)))
def test_no_damage_crashes_or_passes_a_checksum(number, monkeypatch):
    monkeypatch.setattr(damage.sources, "WORTH", 0)
    row = damage.case(number)
    assert row["outcome"] in ("refused", "repaired", "harmless", "silent") and "\n" not in row["line"]
    assert row["outcome"] != "silent" or row["format"] not in damage.CHECKSUMS
    assert row.get("with_sha256") in (None, "refused", "harmless")
    assert (row["outcome"] == "repaired") <= (row["format"] == "cache")


def test_outcomes_are_told_apart(tmp_path):
    want = damage.datasets.load(damage.good("d4rl", tmp_path))
    other = dataclasses.replace(want, reward=want.reward + 1)

    def fail(error):
        raise error

    assert damage.outcome(lambda: want, [], want)[0] == "harmless"
    assert damage.outcome(lambda: other, [], want)[0] == "silent"
    assert damage.outcome(lambda: want, ["told"], want) == ("repaired", "told")
    assert damage.outcome(lambda: other, ["told"], want)[0] == "crashed"
    assert damage.outcome(lambda: fail(UserError("a line")), [], want) == ("refused", "a line")
    assert damage.outcome(lambda: fail(UserError("two\nlines")), [], want)[0] == "crashed"
    assert damage.outcome(lambda: fail(IndexError("x")), [], want)[0] == "crashed"
