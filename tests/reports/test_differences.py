"""Which options of several runs are shown side by side, and which are folded away."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from fastrl.reports import differences, html, report
from fastrl.reports.results import Results
from fastrl.reports.tables import Table

ZERO = np.zeros(1, int)
BASE = Results(
    *(Path("slow"), {"identity": {"seeds": 2}}, [], "return", np.ones((2, 1)), ["finetune"], ZERO, ZERO, [0, 1], [])
)


def test_a_phase_that_a_run_lacks_is_folded_unless_others_differ_in_it():
    def run(*phases, **changes):
        return dataclasses.replace(BASE, config={"identity": {"phases": list(phases), **changes}})

    online, pretrain = {"name": "finetune", "steps": 9}, {"name": "pretrain", "steps": 5, "updates": 1}
    others = [run(pretrain, online, env_options={"version": "v4"}), run(pretrain | {"steps": 6}, online)]
    found = differences.of([run(online), *others], ["a", "b", "c"])
    assert found.partial.rows == [["pretrain.updates", "-", "1", "1"]]
    assert found.differing.rows == [
        ["phases", "finetune", "pretrain, finetune", "pretrain, finetune"],
        ["env_options.version", "-", "v4", "-"],
        ["pretrain.steps", "-", "5", "6"],
    ]
    assert found.common.rows == [["finetune.steps", "9"]]
    page = html.page([run(online), others[0], others[0]], [Table(["run"], [[""]] * 3)], [["# own"]]).decode()
    assert "<summary>2 options of phases that not every run has</summary>" in page
    twice = differences.of([run(online), run(online, online)], ["a", "b"])
    assert twice.partial.rows == [["finetune 2.steps", "-", "9"]]


@pytest.mark.parametrize(
    ("start", "shown"), [("my runs/calql:2", "my runs/calql:2 (0123abcd)"), (None, "an agent (0123abcd)")]
)
def test_the_agent_at_the_start_is_named(start, shown):
    identity = BASE.config["identity"] | {"start": "0123abcd" * 8}
    begun = dataclasses.replace(BASE, config=BASE.config | {"start": start, "identity": identity})
    found = differences.of([begun, BASE], ["p", "q"])
    assert ["start", shown, "-"] in found.differing.rows
    (table,) = (
        part for part in report.blocks(begun, [begun]) if isinstance(part, Table) and part.head[0] == "what ran"
    )
    assert ["agent at the start", shown] in table.rows and BASE.start is None
