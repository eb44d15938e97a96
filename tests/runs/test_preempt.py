import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from fastrl.runs import preempt
from fastrl.runs.preempt import SIGNALS, StopRequest


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_is_noted_and_nothing_else_happens(number):
    before = [signal.getsignal(n) for n in SIGNALS]
    with StopRequest() as stop:
        assert stop.requested is None
        os.kill(os.getpid(), number)
        assert stop.requested == number
    assert [signal.getsignal(n) for n in SIGNALS] == before


def test_what_is_ignored_stays_ignored():
    """`nohup` ignores SIGHUP so that a run outlives its terminal."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with StopRequest() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert stop.requested is None
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_second_ctrl_c_interrupts_and_handlers_return():
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), StopRequest() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.requested == signal.SIGINT
        os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_repeated_sigterm_never_interrupts_the_save():
    with StopRequest() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGINT)
    assert stop.requested == signal.SIGTERM


def test_outside_the_main_thread_signals_are_left_alone():
    before = signal.getsignal(signal.SIGTERM)
    seen = []

    def work():
        with StopRequest() as stop:
            seen.append(stop.requested)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [None] and signal.getsignal(signal.SIGTERM) is before


CODE = """
import hashlib, os, signal, sys
from fastrl.runs import preempt
preempt.GRACE = float(sys.argv[1])
with preempt.StopRequest() as stop:
    if sys.argv[3] == "early":
        os.kill(os.getpid(), signal.SIGTERM)
    with stop.compiling():
        print("compiling", flush=True)
        hashlib.pbkdf2_hmac("sha256", b"", b"", int(sys.argv[2]))  # as the compiler: in C, and deaf
    print("compiled", stop.requested, flush=True)
"""


@pytest.mark.parametrize(
    ("grace", "work", "when", "code"),
    [(0.2, 1_000_000_000, "meanwhile", 143), (0.2, 1_000_000_000, "early", 143), (60.0, 1_000_000, "meanwhile", 0)],
)
def test_a_compiler_that_answers_nothing_is_left_after_a_while(grace, work, when, code):
    """In a process of its own, as it ends; with a compiler that ends in time, the run goes on and sees the request."""
    words = [sys.executable, "-c", CODE, str(grace), str(work), when]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "compiling\n"
    started = time.monotonic()
    if when == "meanwhile":
        process.send_signal(signal.SIGTERM)
    out, error = process.communicate(timeout=60)
    assert process.returncode == code
    if code:
        assert time.monotonic() - started < 10
        assert error == "fastrl: stopped by signal 15 while XLA compiled; everything is saved, --resume continues\n"
    else:
        assert (out, error) == ("compiled 15\n", "")


def test_outside_of_the_compiler_nobody_leaves():
    left, before = [], signal.set_wakeup_fd(-1)
    signal.set_wakeup_fd(before)
    with StopRequest(left.append) as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.requested == signal.SIGTERM
    assert left == [] and signal.set_wakeup_fd(before) == before


def test_the_wait_begins_with_the_signal_not_with_each_program(monkeypatch):
    monkeypatch.setattr(preempt, "GRACE", 0.3)
    left: list[int] = []
    stop = StopRequest(left.append)
    stop.requested = signal.SIGTERM
    with stop.compiling():
        pass
    time.sleep(0.4)
    assert left == []
    with stop.compiling():
        time.sleep(0.1)
    assert left == [signal.SIGTERM]
