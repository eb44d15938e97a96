import io

import pytest

from fastrl.runs import progress
from fastrl.runs.progress import Progress


@pytest.fixture
def clock(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_plain_lines_at_the_ends_and_at_most_one_in_ten_seconds(clock):
    stream = io.StringIO()
    shown = Progress(stream)
    shown.phase("finetune", 1000, 200)
    for done in range(210, 1001, 10):  # a chunk a second, 80 of them
        clock[0] += 1.0
        shown.update(done, "return 12.50" if done == 300 else "")
    shown.message("checkpoint 20: using checkpoint 10")
    shown.close()
    lines = stream.getvalue().splitlines()
    assert lines[0] == "finetune: 1,000 steps, from 200"
    assert lines[1] == "finetune: 300/1,000  10 steps/s  1:10 left  return 12.50"
    assert len(lines) == 1 + 8 + 1 + 1
    assert lines[-2] == "checkpoint 20: using checkpoint 10"
    assert lines[-1] == "finetune: 1,000/1,000  10 steps/s  return 12.50  done in 1:20"
    assert "\x1b" not in stream.getvalue()


def test_compiling_before_the_first_steps_counts_for_no_rate_and_no_forecast(clock):
    stream = io.StringIO()
    shown = Progress(stream)
    shown.phase("collect", 400)
    for seconds, done in ((30.0, 4), (10.0, 104)):
        clock[0] += seconds
        shown.update(done)
    assert stream.getvalue().splitlines() == [
        "collect: 400 steps",
        "collect: 4/400",
        "collect: 104/400  10 steps/s  29.6 s left",
    ]


def test_phases_follow_each_other_and_closing_twice_is_harmless(clock):
    stream = io.StringIO()
    shown = Progress(stream)
    shown.phase("pretrain", 10)
    shown.phase("warmup", 20)
    clock[0] += 3.06
    shown.update(5)
    shown.close()
    shown.close()
    lines = stream.getvalue().splitlines()
    assert lines == [
        "pretrain: 10 steps",
        "pretrain: 0/10  0 steps/s  stopped in 0.0 s",
        "warmup: 20 steps",
        "warmup: 5/20  2 steps/s  stopped in 3.1 s",
    ]


def test_a_terminal_gets_a_bar_and_it_is_released():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    stream = Terminal()
    shown = Progress(stream)
    shown.phase("pretrain", 100)
    shown.update(100, "return 3.00")
    shown.message("a [line]")
    shown.phase("finetune", 50, 10)
    shown.update(20)
    shown.close()
    text = stream.getvalue()
    assert "pretrain" in text and "100/100" in text and "return 3.00" in text and "a [line]" in text
    assert "finetune" in text and text.rstrip().endswith("\x1b[?25h")  # the cursor is back
