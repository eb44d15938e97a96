"""What several processes agree on; whole jobs are in tests/engine/test_mesh.py."""

import contextlib
import threading
import time

import pytest

from fastrl.runs import hang, processes
from fastrl.types import Failure, UserError


@pytest.mark.parametrize(
    ("environment", "several"),
    [
        ({}, False),
        ({"JAX_COORDINATOR_ADDRESS": "host:1"}, True),
        ({"SLURM_STEP_NUM_TASKS": "1"}, False),
        ({"SLURM_STEP_NUM_TASKS": "4"}, True),
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, False),  # a notebook in a pod
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1", "JOB_COMPLETION_INDEX": "0"}, True),
        ({"TPU_WORKER_HOSTNAMES": "localhost"}, False),
        ({"TPU_WORKER_HOSTNAMES": "a,b"}, True),
    ],
)
def test_auto_asks_the_launcher(environment, several):
    assert processes.asked_for("auto", environment) == several
    assert processes.asked_for("on", environment) and not processes.asked_for("off", environment)


def test_numbers_of_a_launcher_that_are_none_are_refused(monkeypatch):
    monkeypatch.setenv("JAX_NUM_PROCESSES", "two")
    with pytest.raises(UserError, match="JAX_NUM_PROCESSES=two is not a whole number"):
        processes.start("on")


def test_one_process_agrees_with_itself(tmp_path):
    assert processes.agree(3, 0) == [3, 0] and processes.first() and processes.count() == 1
    with processes.by_the_first(contextlib.nullcontext):
        processes.wait()
    with pytest.raises(UserError, match="is not seen by process 0"):
        processes.share_a_folder(tmp_path)
    processes.leave(1)  # nobody else is there: this process goes on


def test_a_process_without_a_sign_for_a_minute_is_lost():
    seen = {0: ("", 0.0), 1: ("", 0.0)}
    assert processes.silent(seen, [(0, "1"), (1, "1")], 5.0) is None
    assert processes.silent(seen, [(0, "2"), (1, "1")], 64.0) is None
    assert processes.silent(seen, [(0, "3"), (1, "1")], 66.0) == 1
    assert (
        processes.silent({0: ("", 0.0), 1: ("", 0.0)}, [], 61.0) == 0
    )  # nobody answers: the first process holds what all are connected to


def test_a_lost_connection_is_said_and_other_errors_are_themselves(monkeypatch):
    monkeypatch.setattr(processes, "count", lambda: 2)
    with (
        pytest.raises(Failure, match=r"another process of this job is lost \(UNKNOWN: Gloo AllGather failed"),
        processes.explained(),
    ):
        raise ValueError("UNKNOWN: Gloo AllGather failed\nmore")
    with pytest.raises(ValueError, match="something else"), processes.explained():
        raise ValueError("something else")


def test_a_process_that_hangs_ends_itself_and_one_that_does_not_goes_on():
    said, over = [], threading.Event()

    def end(line):
        said.append(line)
        over.set()

    with hang.watched(0.02 / 60, end):
        assert over.wait(10)
    assert len(said) == 1 and "no answer from the device for" in said[0]
    with hang.watched(0.05 / 60, end), hang.watched(None, end):
        pass
    time.sleep(0.1)
    assert len(said) == 1
