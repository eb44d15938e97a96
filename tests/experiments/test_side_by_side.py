"""Commands side by side: cores of their own, as many at once as there are cores, a failure and a signal end all."""

import io
import os
import signal
import sys
import threading
import time

import pytest

from fastrl.engine.run import Interrupted
from fastrl.errors import Failure, UserError
from fastrl.experiments import side_by_side
from fastrl.runs.progress import Progress

SLEEP = "import signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(print('saved')))"


def python(code):
    return [sys.executable, "-c", code]


def test_each_has_a_core_and_says_what_it_says_into_its_log(tmp_path):
    before = side_by_side.cores()
    text = io.StringIO()
    commands = {f"a/{n}": python("import os; print(sorted(os.sched_getaffinity(0)))") for n in range(3)}
    side_by_side.run(commands, tmp_path, Progress(text))
    found = [(tmp_path / f"a-{n}.log").read_text().strip() for n in range(3)]
    assert all(one in [f"[{core}]" for core in before] for one in found) and found[0] == f"[{before[0]}]"
    assert side_by_side.cores() == before
    assert [f"({n} of 3)" in text.getvalue() for n in (1, 2, 3)] == [True] * 3


def test_one_at_a_time_on_one_core(tmp_path, monkeypatch):
    monkeypatch.setattr(side_by_side, "cores", lambda: sorted(os.sched_getaffinity(0))[:1])
    line = "import time; f = open({!r}, 'a'); f.write('begin '); f.flush(); time.sleep(0.3); f.write('end ')"
    code = line.format(str(tmp_path / "seen"))
    side_by_side.run({"one": python(code), "two": python(code)}, tmp_path, Progress(io.StringIO()))
    assert (tmp_path / "seen").read_text() == "begin end begin end "


@pytest.mark.parametrize(("code", "error"), [(2, UserError), (1, Failure)])
def test_the_first_that_fails_ends_all(tmp_path, monkeypatch, code, error):
    monkeypatch.setattr(side_by_side, "cores", lambda: sorted(os.sched_getaffinity(0))[:1] * 2)
    failing = f"import sys; print('fastrl: no such thing', file=sys.stderr); sys.exit({code})"
    commands = {
        "long": python(f"{SLEEP}; print('on', flush=True); time.sleep(60)"),
        "bad": python(f"import time; time.sleep(1); {failing}"),
    }
    began = time.monotonic()
    with pytest.raises(error, match=r"^bad: no such thing \(all of it in .*bad.log\)$"):
        side_by_side.run(commands, tmp_path, Progress(io.StringIO()))
    assert time.monotonic() - began < 30 and "saved" in (tmp_path / "long.log").read_text()


def test_a_signal_lets_all_save_and_ends_with_its_number(tmp_path):
    def later():
        while not (tmp_path / "long.log").exists() or "on" not in (tmp_path / "long.log").read_text():
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=later).start()
    with pytest.raises(Interrupted) as caught:
        side_by_side.run(
            {"long": python(f"{SLEEP}; print('on', flush=True); time.sleep(60)")}, tmp_path, Progress(io.StringIO())
        )
    assert caught.value.signal == signal.SIGTERM and "saved" in (tmp_path / "long.log").read_text()
