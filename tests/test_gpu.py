"""The script for a GPU, dry: every step ends and writes figures; one that fails or hangs costs only itself."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fastrl.benchmarks import card, card_basics, card_checks, card_speed, gpu

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_all_of_it_at_toy_sizes(tmp_path):
    words = [sys.executable, str(ROOT / "benchmarks" / "gpu.py"), "--dry", "--out", str(tmp_path / "out")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(words, env=environment, cwd=tmp_path, capture_output=True, text=True)
    rows = [json.loads(line) for line in (tmp_path / "out/gpu.jsonl").read_text().splitlines()]
    ended = {row["step"]: row["ended"] for row in rows if "ended" in row}
    assert ended == {step.name: "done" for step in gpu.STEPS}, (ended, done.stderr[-2000:])
    assert done.returncode == 0
    found = {step.name: [row for row in rows if row["step"] == step.name and "what" in row] for step in gpu.STEPS}
    assert all(found.values())
    assert [row["value"] for row in found["correctness"]] == [0.0] * 5  # the CPU against itself
    assert [row["value"] for row in found["bits"]] == [True] * 3
    for step in ("learner", "loop", "choices", "flags", "memory", "profile"):
        assert all(np.isfinite(row["value"]) and row["value"] > 0 for row in found[step]), found[step]
    assert {row["what"].partition(": ")[0] for row in found["flags"]} == {
        flag or "no flag" for flag in card_speed.FLAGS
    }
    assert found["profile"][1]["kernels"] and found["learner"][0]["of_ceiling"] > 0
    table = (tmp_path / "out/table.txt").read_text()
    assert done.stdout.endswith(table) and "critic updates/s" in table


def python(code):
    return (sys.executable, "-c", code)


def test_a_step_that_fails_or_hangs_costs_only_itself(tmp_path):
    line = json.dumps({"step": "x", "what": "kept", "value": 1.5, "unit": "s"})
    write = f"open({str(tmp_path / 'gpu.jsonl')!r}, 'a').write({line!r} + chr(10))"
    steps = [
        gpu.Step("crash", 60, python("raise SystemExit('no such card')")),
        gpu.Step("hang", 2, python(f"{write}; import time; time.sleep(600)")),
        gpu.Step("good", 60, python(write)),
        gpu.Step("late", 60, python(write)),
    ]
    rows = gpu.run(steps[:3], tmp_path, dry=True)
    ended = {row["step"]: row for row in rows if "ended" in row}
    assert ended["crash"]["ended"] == "exit code 1" and ended["crash"]["said"] == "no such card"
    assert ended["hang"]["ended"] == "cut off after 2 s" and ended["good"]["ended"] == "done"
    assert sum(row.get("what") == "kept" for row in rows) == 2
    assert "kept  1.5 s" in gpu.table(rows) and "hang         cut off after 2 s" in gpu.table(rows)
    (rows,) = gpu.run(steps[3:], tmp_path / "spent", dry=True, budget=1.0)
    assert rows == {"step": "late", "ended": "not reached", "seconds": 0.0}


def test_the_limits_fit_the_budget():
    assert gpu.BUDGET < 8 * 60 and max(step.seconds for step in gpu.STEPS) <= 140


def test_an_error_is_seen_where_it_is():
    expected = {"a": jnp.array([1.0, -4.0]), "b": jnp.array([100.0])}
    assert card_basics.worst(expected, expected) == (0.0, "")
    error, leaf = card_basics.worst({"a": jnp.array([1.0, -4.02]), "b": jnp.array([100.1])}, expected)
    assert leaf == "a" and error == pytest.approx(0.005, rel=1e-4)
    assert card_basics.worst({"a": jnp.array([jnp.nan, -4.0]), "b": jnp.array([100.0])}, expected)[0] == float("inf")


def test_a_program_that_fails_costs_only_itself(tmp_path):
    report = card.Report("learner", tmp_path / "lines", float("inf"), dry=True)

    def job(what, broken):
        def lower():
            if broken:
                raise MemoryError("RESOURCE_EXHAUSTED\nmore")
            return jax.jit(lambda x: x + 1).lower(1.0), 2.0

        return card.Job(what, lower, lambda compiled, x, seconds: report.tell(what, float(compiled(x)), "apples"))

    card.in_turn(report, [job("a", False), job("b", True), job("c", False)])
    assert {row["what"]: row["value"] for row in report.lines()} == {
        "a": 3.0,
        "b": "failed: MemoryError: RESOURCE_EXHAUSTED",
        "c": 3.0,
    }
    late = card.Report("learner", tmp_path / "late", 0.0, dry=True)
    card.in_turn(late, [job("a", False)])
    assert late.lines()[0]["value"] == "not reached"


def test_kernels_are_counted_on_the_device_alone():
    def name(kind, pid, text, tid=None):
        return {"ph": "M", "name": kind, "pid": pid, "args": {"name": text}, **({} if tid is None else {"tid": tid})}

    events = [
        name("process_name", 1, "/device:GPU:0"),
        name("process_name", 2, "/host:CPU"),
        name("thread_name", 1, "Stream #14(Compute)", 5),
        name("thread_name", 1, "XLA Modules", 6),
        {"ph": "X", "pid": 1, "tid": 5, "name": "fusion", "dur": 2.0},
        {"ph": "X", "pid": 1, "tid": 5, "name": "fusion", "dur": 3.0},
        {"ph": "X", "pid": 1, "tid": 5, "name": "gemm", "dur": 7.5},
        {"ph": "X", "pid": 1, "tid": 6, "name": "jit_run", "dur": 99.0},
        {"ph": "X", "pid": 2, "tid": 1, "name": "python", "dur": 99.0},
    ]
    assert card_checks.kernels(events) == {"fusion": (2, 5.0), "gemm": (1, 7.5)}
    assert card_checks.kernels(events[-1:]) == {"python": (1, 99.0)}
