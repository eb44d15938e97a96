import errno
import fcntl
import os
import signal
import subprocess
import sys
import threading

import pytest

from fastrl.runs import lock
from fastrl.types import UserError

HOLDER = """
import sys, time
from pathlib import Path
from fastrl.runs import lock
with lock.hold(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def test_the_kernel_gives_back_what_a_killed_process_held(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    with pytest.raises(UserError, match=f"is in use by process {process.pid} on "), lock.hold(tmp_path):
        pass
    process.send_signal(signal.SIGKILL)
    process.communicate()
    with lock.hold(tmp_path):
        assert (tmp_path / lock.LOCK).read_text().startswith(f"process {os.getpid()} on ")


def test_a_child_does_not_keep_it(tmp_path):
    """Simulators' worker processes outlive a killed run for a moment."""
    with lock.hold(tmp_path):
        child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, close_fds=False)
    with lock.hold(tmp_path):
        child.communicate(b"\n")
    assert child.returncode == 0


def test_a_file_system_without_locks_has_none(tmp_path, monkeypatch):
    def flock(file, how):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    with lock.hold(tmp_path), lock.hold(tmp_path):
        assert (tmp_path / lock.LOCK).is_file()


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path):
    with pytest.raises(UserError, match="cannot be written to"), lock.hold(tmp_path / "nowhere"):
        pass


def test_a_holder_that_has_not_said_who_it_is_gets_a_moment(tmp_path):
    with (tmp_path / lock.LOCK).open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        timer = threading.Timer(0.2, lambda: (file.write("process 7 on here\n"), file.flush()))
        timer.start()
        with pytest.raises(UserError, match="is in use by process 7 on here; wait"):
            lock.check(tmp_path)
        timer.join()
