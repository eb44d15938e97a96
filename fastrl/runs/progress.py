"""How far a run is, for a person: a bar on a terminal, a line every ten seconds elsewhere.

It writes to one stream and keeps no record; the wall time that it reads enters no result.
"""

import sys
import time
from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

_SECONDS = 10.0  # between two lines where the stream is no terminal


class Progress:
    """Shows one phase at a time: its name, steps done, steps/s, time left and a note."""

    def __init__(self, stream: TextIO | None = None):
        self._stream = sys.stderr if stream is None else stream
        self._bar: Bar | None = None
        self._task: TaskID | None = None
        self._open = False
        self._name, self._total, self._start, self._done, self._note = "", 0, 0, 0, ""
        self._began = self._printed = 0.0
        self._first: tuple[int, float] | None = None  # steps done at the first update, and when: compiling is over

    def phase(self, name: str, total: int, start: int = 0) -> None:
        """Begins a phase of `total` steps of which `start` are already done (after a resume)."""
        self._finish()
        self._name, self._total, self._start, self._done = name, total, start, start
        self._note, self._open, self._first = "", True, None
        self._began = self._printed = time.monotonic()
        if self._stream.isatty():
            self._bar = self._bar or self._new_bar()
            self._task = self._bar.add_task(name, total=total, completed=start, rate="", note="")
        else:
            resumed = f", from {start:,}" if start else ""
            self._line(f"{name}: {total:,} steps{resumed}")

    def update(self, done: int, note: str = "") -> None:
        """Shows that `done` steps of the phase are done; an empty note keeps the last one."""
        self._done, self._note = done, note or self._note
        self._first = self._first or (done, time.monotonic())
        if self._bar is not None and self._task is not None:
            rate = f"{self._rate():,.0f} steps/s"
            self._bar.update(self._task, completed=done, rate=rate, note=self._note)
        elif time.monotonic() - self._printed >= _SECONDS:
            self._printed = time.monotonic()
            self._line(self._state())

    def message(self, text: str) -> None:
        """Shows one line above the bar."""
        if self._bar is not None:
            self._bar.console.print(text, markup=False, highlight=False)
        else:
            self._line(text)

    def close(self) -> None:
        """Ends the phase and leaves the terminal as it was."""
        self._finish()
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _finish(self) -> None:
        if self._open and self._bar is None:
            seconds = time.monotonic() - self._began
            ended = "done" if self._done >= self._total else "stopped"
            self._line(f"{self._state(left=False)}  {ended} in {_duration(seconds)}")
        self._open = False

    def _new_bar(self) -> Bar:
        bar = Bar(
            TextColumn("{task.description:>9}"),
            BarColumn(bar_width=32),
            TextColumn("{task.completed:,.0f}/{task.total:,.0f}"),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(elapsed_when_finished=True),
            TextColumn("{task.fields[note]}"),
            console=Console(file=self._stream),
        )
        bar.start()
        return bar

    def _rate(self) -> float:
        """Steps per second since the first update; with no more than that, since this process began the phase."""
        start, began = (self._first if self._measured() else None) or (self._start, self._began)
        return (self._done - start) / max(time.monotonic() - began, 1e-9)

    def _measured(self) -> bool:
        return self._first is not None and self._done > self._first[0]

    def _state(self, left: bool = True) -> str:
        rate = self._rate()
        parts = [f"{self._name}: {self._done:,}/{self._total:,}"]
        if self._measured() or not left:
            parts.append(f"{rate:,.0f} steps/s")
        if self._measured() and left:
            parts.append(f"{_duration((self._total - self._done) / rate)} left")
        return "  ".join([*parts, self._note] if self._note else parts)

    def _line(self, text: str) -> None:
        self._stream.write(text + "\n")
        self._stream.flush()


def _duration(seconds: float) -> str:
    """Seconds as `1:02:03`, `2:03` or `3.1 s`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
