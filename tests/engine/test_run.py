import io
import os
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from fastrl.engine.run import Interrupted, upload
from fastrl.engine.schedule import divisor
from fastrl.runs import digests, manifest
from fastrl.runs.progress import Progress
from fastrl.types import UserError

pytestmark = pytest.mark.usefixtures("quick")


@pytest.mark.parametrize(("number", "most", "expected"), [(70, 50, 35), (70, 7, 7), (70, 1, 1), (7, 50, 7), (9, 0, 1)])
def test_divisor(number, most, expected):
    assert divisor(number, most) == expected


def test_the_chunk_changes_no_bit(plan_of, execute, tmp_path):
    """Chunks of 2, 7 and 50 (35, the largest that divides the log's 70 steps), and a resume with 7 amid those of 2."""
    options = {"utd": 1, "eval_every": 700, "steps": 280, "warmup": 140}
    plans = {chunk: plan_of("sac", "probe-action", chunk=chunk, **options) for chunk in (2, 7, 50)}
    found = [execute(plan) for plan in plans.values()]
    with pytest.raises(Interrupted):
        execute(plans[2], tmp_path, Impatient("warmup", 16, signal.SIGTERM))
    found.append(execute(plans[7], tmp_path))
    assert len({digests.total(outcome.carry) for outcome in found}) == 1
    assert all(outcome.rows == found[0].rows for outcome in found)
    assert [row["online"] for row in found[0].rows if row["kind"] == "train"] == [70, 140, 210, 280]


class Impatient(Progress):
    """Sends this process a signal once a phase has come to a step."""

    def __init__(self, phase, step, number):
        super().__init__(io.StringIO())
        self.at, self.number, self.now = (phase, step), number, ""

    def phase(self, name, total, start=0):
        self.now = name
        super().phase(name, total, start)

    def update(self, done, note=""):
        super().update(done, note)
        if (self.now, done) == self.at:
            os.kill(os.getpid(), self.number)


def test_a_run_stopped_in_every_phase_ends_in_the_same_bits(plan_of, execute, tmp_path):
    plan = plan_of("wsrl", checkpoint_minutes=1000.0)
    reference = execute(plan, tmp_path / "whole")
    path = tmp_path / "stopped"
    stops = (("pretrain", signal.SIGTERM), ("warmup", signal.SIGINT), ("finetune", signal.SIGTERM))
    for phase, number in stops:
        with pytest.raises(Interrupted, match="everything is saved, --resume continues") as caught:
            execute(plan, path, Impatient(phase, 10, number))
        assert caught.value.signal == number
    text = io.StringIO()
    outcome = execute(plan, path, Progress(text))
    assert "resumed at step 10 of finetune" in text.getvalue()
    assert digests.total(outcome.carry) == digests.total(reference.carry)
    assert (path / "metrics.jsonl").read_bytes() == (tmp_path / "whole" / "metrics.jsonl").read_bytes()
    assert outcome.rows == reference.rows
    found = [(row["phase"], row["step"]) for row in outcome.rows if row["kind"] == "eval"]
    assert found == [("pretrain", 0), ("pretrain", 20), ("warmup", 20), ("finetune", 10), ("finetune", 20)]
    spent = [row["eval_steps"] for row in outcome.rows if row["kind"] == "eval"]
    assert spent == [10, 20, 30, 40, 50]  # two episodes of five steps each time
    assert [(t["name"], t["steps"]) for t in outcome.timing] == [("pretrain", 20), ("warmup", 20), ("finetune", 20)]
    again = execute(plan, path)  # a finished run, resumed, is the finished run
    assert digests.total(again.carry) == digests.total(reference.carry) and again.rows == reference.rows


def test_a_run_whose_first_save_was_cut_short_starts_again(plan_of, execute, tmp_path):
    plan = plan_of("wsrl")
    with pytest.raises(Interrupted):
        execute(plan, tmp_path, Impatient("pretrain", 10, signal.SIGTERM))
    (only,) = (tmp_path / "checkpoints").glob("*/fastrl_manifest.json")
    only.unlink()
    text = io.StringIO()
    outcome = execute(plan, tmp_path, Progress(text))
    assert "checkpoint 10: fastrl_manifest.json is missing (the save was cut short)" in text.getvalue()
    assert int(outcome.carry.step) == 20
    steps = [(row["kind"], row["phase"], row["step"]) for row in outcome.rows]
    assert len(set(steps)) == len(steps)  # nothing logged twice


def test_evaluations_are_where_they_should_be(plan_of, driver_of):
    driver = driver_of(plan_of("wsrl", eval_every=10, pretrain_steps=25, steps=50, warmup=25))
    assert driver.schedule.log_every(driver.plan.phases[0]) == 1
    found = [
        (phase.name, done)
        for number, phase in enumerate(driver.plan.phases)
        for done in range(1, phase.steps + 1)
        if driver.schedule.evaluates(number, done)
    ]
    learning = [("finetune", 1), ("finetune", 10), ("finetune", 20), ("finetune", 25)]
    assert found == [("pretrain", 10), ("pretrain", 20), ("pretrain", 25), ("warmup", 25), *learning]


def test_nothing_crosses_to_the_host_within_a_chunk(plan_of, driver_of):
    driver = driver_of(plan_of("sac"))
    carry = driver._enter(0, None)
    program = driver._compile(0, 10, carry)
    with jax.transfer_guard("disallow"):
        carry = program(carry, driver.data)
    assert int(carry.step) == 10


def test_the_data_is_uploaded_once_scaled_and_biased_once(plan_of):
    plan = plan_of("calql", reward_scale=10.0, reward_bias=-5.0, discount=0.5)
    rows = upload(plan)
    assert rows.shape == (40, 7) and (np.asarray(rows[:, -4]) == 5).all()  # raw 1
    np.testing.assert_allclose(rows[3:5, -2], [5 + 0.5 * 5, 5])  # returns of the scaled reward
    assert upload(plan_of("wsrl", pretrain_steps=20, retention="none")) is not None
    assert upload(plan_of("sac")) is None


def test_a_plan_without_phases_is_refused(plan_of, execute):
    with pytest.raises(UserError, match="nothing to run"):
        execute(plan_of(lambda builder: []))


SMALL = [
    *("--seeds", "2", "--actor-hidden", "8", "--critic-hidden", "8", "--batch-size", "8", "--num-critics", "2"),
    *("--utd", "2", "--steps", "600", "--warmup", "200", "--eval-every", "100", "--eval-episodes", "2"),
]


@pytest.mark.slow
def test_killed_and_resumed_by_the_command_line(tmp_path):
    """kill -9 in the middle, and SIGTERM before the end; both are resumed by the same words, each in chunks of its own.

    Compiled as for a user, where a chunk of 1, whose loop XLA takes away, changes no bit either.
    """
    environment = {**os.environ, "HOME": str(tmp_path), "JAX_PLATFORMS": "cpu", "XLA_FLAGS": ""}

    def start(out, *more):
        words = [sys.executable, "-m", "fastrl.cli", "run", "sac", "--env", "probe-action", *SMALL]
        words += ["--checkpoint-minutes", "0.001", "--out", str(tmp_path / out), *more]
        return subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    def rows(out):
        path = tmp_path / out / "metrics.jsonl"
        return path.read_bytes().count(b"\n") if path.exists() else 0

    def stop(process, out, after, number):
        while process.poll() is None and rows(out) < after:
            time.sleep(0.02)
        process.send_signal(number)
        error = process.communicate(timeout=120)[1]
        return process.returncode, error

    whole = start("whole", "--chunk", "50")
    assert whole.communicate(timeout=300) and whole.returncode == 0
    assert stop(start("cut", "--chunk", "1"), "cut", 10, signal.SIGKILL)[0] == -signal.SIGKILL
    code, error = stop(start("cut", "--resume", "--chunk", "1"), "cut", rows("cut") + 10, signal.SIGTERM)
    assert code == 128 + signal.SIGTERM and error.splitlines()[-1].startswith("fastrl: stopped by signal 15")
    last = start("cut", "--resume", "--chunk", "7")
    assert "resumed at step" in last.communicate(timeout=300)[1] and last.returncode == 0
    assert (tmp_path / "cut" / "metrics.jsonl").read_bytes() == (tmp_path / "whole" / "metrics.jsonl").read_bytes()
    path = "checkpoints/600/fastrl_manifest.json"
    sums = {manifest.read(tmp_path / out / path)["sha256"] for out in ("whole", "cut")}
    assert len(sums) == 1


def test_a_signal_while_a_program_is_compiled_ends_the_run_before_it_starts(plan_of, driver_of):
    driver = driver_of(plan_of("sac"))
    compiled = driver._compile_probe

    def signalled(number, carry):
        driver.stop.requested = signal.SIGTERM
        return compiled(number, carry)

    driver._compile_probe = signalled
    with pytest.raises(Interrupted, match="stopped by signal 15"):
        driver.run()
    assert driver.record.rows == []
