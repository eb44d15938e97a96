import json
import os

import jax.numpy as jnp
import numpy as np
import pytest

from fastrl.runs import log
from fastrl.runs.log import MetricsLog
from fastrl.types import UserError


def row(step: int) -> dict:
    values = jnp.array([0.1, 2.0], jnp.float32) * step
    return {"kind": "train", "phase": "finetune", "step": step, "online": step, "offline": 9, "loss": values}


def test_rows_read_back_with_arrays_as_lists_and_non_finite_as_null(tmp_path):
    metrics = MetricsLog(tmp_path / "run")
    plain = metrics.append(row(1))
    metrics.append({"kind": "eval", "step": 2, "return": np.array([np.nan, np.inf, -3.0]), "x": float("nan")})
    assert metrics.rows == 2
    first, second = log.read(tmp_path / "run")  # before closing: every row is flushed
    metrics.close()
    assert first == plain and first["loss"] == pytest.approx([0.1, 2.0]) and first["step"] == 1
    assert second["return"] == [None, None, -3.0] and second["x"] is None
    for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines():
        json.loads(line, parse_constant=lambda name: pytest.fail(name))


def test_float32_round_trips_exactly(tmp_path):
    values = np.random.default_rng(0).normal(size=200).astype(np.float32)
    metrics = MetricsLog(tmp_path)
    metrics.append({"a": values, "b": values.astype(np.float64) / 3, "c": np.int64(2**60), "d": True})
    metrics.close()
    (found,) = log.read(tmp_path)
    assert (np.array(found["a"], np.float32) == values).all()
    assert (np.array(found["b"]) == values.astype(np.float64) / 3).all()
    assert found["c"] == 2**60 and found["d"] is True


def test_truncate_forgets_later_rows_and_a_resumed_file_equals_an_uninterrupted_one(tmp_path):
    whole, cut = MetricsLog(tmp_path / "whole"), MetricsLog(tmp_path / "cut")
    for step in range(1, 7):
        whole.append(row(step))
    for step in range(1, 6):
        cut.append(row(step))
    cut.close()
    path = tmp_path / "cut" / "metrics.jsonl"
    path.write_bytes(path.read_bytes()[:-5])  # the last line was torn by the kill
    resumed = MetricsLog(tmp_path / "cut")
    assert resumed.rows == 4
    resumed.truncate(3)
    assert [r["step"] for r in resumed.read()] == [1, 2, 3]
    for step in range(4, 7):
        resumed.append(row(step))
    resumed.close()
    whole.close()
    assert path.read_bytes() == (tmp_path / "whole" / "metrics.jsonl").read_bytes()


def test_a_log_shorter_than_the_checkpoint_knew_is_refused(tmp_path):
    metrics = MetricsLog(tmp_path)
    metrics.append(row(1))
    with pytest.raises(UserError, match="has 1 rows but the checkpoint was made after 4"):
        metrics.truncate(4)
    metrics.truncate(0)
    assert metrics.rows == 0 and log.read(tmp_path) == []
    metrics.close()


def test_a_folder_without_a_log_has_no_rows(tmp_path):
    assert log.read(tmp_path) == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="Linux has a device that is always full")
def test_a_row_that_finds_no_room_is_one_line(tmp_path):
    metrics = MetricsLog(tmp_path)
    metrics.close()
    with open("/dev/full", "ab") as full:
        metrics._file = full
        with pytest.raises(UserError, match=r"metrics.jsonl cannot be written \(No space left on device\); .*room"):
            metrics.append(row(1))
        metrics.close()  # what it still holds is refused again


def test_rows_that_are_not_those_of_the_last_save_are_refused(tmp_path):
    metrics = MetricsLog(tmp_path)
    for step in range(1, 4):
        metrics.append(row(step))
    path, timing = tmp_path / "metrics.jsonl", tmp_path / "timing.json"
    log.verify(tmp_path)  # of an earlier version: nothing is known
    timing.write_text(json.dumps({"phases": [], "log": metrics.sum(2)}))
    metrics.append(row(4))
    metrics.close()
    log.verify(tmp_path)
    good = path.read_bytes()
    path.write_bytes(good.replace(b'"offline": 9', b'"offline": 8'))
    assert len(log.read(tmp_path)) == 4  # it is JSON all the same
    for damaged in (path.read_bytes(), good[: good.index(b"\n") + 9]):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match="is damaged: its first 2 rows are not those that were written; restore"):
            log.verify(tmp_path)
    path.write_bytes(good[:-9] + b"\xb5" + good[-8:])
    log.verify(tmp_path)  # that row is after the save
    with pytest.raises(UserError, match=r"metrics.jsonl: line 4 is damaged .*; restore the file from a copy"):
        log.read(tmp_path)
    timing.write_text("{")
    log.verify(tmp_path)
