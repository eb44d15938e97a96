"""Every format that a version has written is read with its bits, or refused in one line; a changed bit is noticed."""

import json

import pytest

from fastrl.benchmarks.reliability import formats
from fastrl.runs import manifest
from fastrl.types import UserError

INDEX = json.loads((formats.FIXTURES / "index.json").read_text())


@pytest.mark.parametrize("name", INDEX)
def test_a_fixture_is_read_or_refused(name, tmp_path):
    entry = INDEX[name]
    found = formats.case(name, entry, tmp_path)
    assert found["ok"] and found["checkpoint"] == {"outcome": "same"}
    if entry["agent_format"] == 1:
        assert found["agent"]["outcome"] == "refused" and "train the agent again" in found["agent"]["line"]
    else:
        assert found["agent"] == {"outcome": "same"}
    (wrong,) = [formats.case(name, {**entry, "carry": "0" * 64}, tmp_path / "again")]
    assert wrong["checkpoint"] == {"outcome": "other"} and not wrong["ok"]


def test_every_readable_format_has_a_fixture():
    assert {entry["manifest_format"] for entry in INDEX.values()} == set(manifest.READABLE)
    assert any(entry["pieces"] for entry in INDEX.values())


def test_outcomes_are_told_apart():
    def fail(error):
        raise error

    assert formats.outcome(lambda: "a", "a") == {"outcome": "same"}
    assert formats.outcome(lambda: "b", "a") == {"outcome": "other"}
    assert formats.outcome(lambda: fail(UserError("old; train again")), "a")["outcome"] == "refused"
    assert formats.outcome(lambda: fail(UserError("old; train\nagain")), "a")["outcome"] == "failed"
    assert formats.outcome(lambda: fail(KeyError("x")), "a")["outcome"] == "failed"
