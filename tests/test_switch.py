"""The table of the first claim, on a run made by hand."""

import json

import numpy as np
import pytest

from fastrl.benchmarks import switch
from fastrl.reports import results

ROWS = [  # phase, online steps, the return of each of four seeds
    ("pretrain", 0, [9, 9, 9, 9]),
    ("reevaluate", 0, [10, 20, 30, 40]),
    ("reevaluate", 0, [12, 22, 32, 42]),
    ("align", 0, [13, 23, 33, 43]),
    ("warmup", 50, [1, 1, 1, 1]),
    ("finetune", 100, [10, 20, 30, 40]),
    ("finetune", 150, [30, 10, 50, 30]),
    ("finetune", 200, [16, 26, 36, 46]),
]


@pytest.fixture
def run(tmp_path):
    rows = [{"kind": "eval", "phase": p, "step": 0, "online": n, "offline": 0, "return": x} for p, n, x in ROWS]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return results.load(tmp_path)


def test_the_score_is_the_frozen_policys_and_only_fine_tuning_counts(run):
    np.testing.assert_array_equal(switch.pretrained(run), [11, 21, 31, 41])
    cells = switch.table([run]).splitlines()[-1].split(" | ")
    assert cells[1:] == ["4", "26", "2 [2, 2]", "-1 [-1, -1] at 100", "5 [5, 5]", "1 of 3 |"]


def test_without_a_re_evaluation_it_is_the_last_of_the_pre_training(run):
    run.phase[1:3] = ["pretrain", "pretrain"]
    np.testing.assert_array_equal(switch.pretrained(run), [12, 22, 32, 42])
