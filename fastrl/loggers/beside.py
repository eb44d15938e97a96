"""The loggers of a run, each in a thread of its own: the run hands rows over and never waits, before its end.

An error of a logger is one line, and the run goes on. At the end they have `PATIENCE` seconds to finish.
"""

import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastrl.errors import told
from fastrl.loggers.logger import About, Row, about
from fastrl.loggers.names import Named

PATIENCE = 20.0
"""Seconds that all loggers together have at the end of a run."""


class Thread:
    """One logger and the calls that wait for it."""

    def __init__(self, named: Named):
        self.name = named.name
        self.error: str | None = None
        self.calls: queue.SimpleQueue[tuple[str, Any] | None] = queue.SimpleQueue()
        self._make = named.make
        self._thread = threading.Thread(target=self._work, name=f"fastrl --log {named.name}", daemon=True)
        self._thread.start()

    def call(self, method: str, *arguments: Any) -> None:
        """Has the logger's method called, soon."""
        if self.error is None:
            self.calls.put((method, arguments))

    def finish(self, found: dict[str, float], complete: bool) -> None:
        """Has the logger end, when all calls before are answered."""
        self.call("finish", found, complete)
        self.calls.put(None)

    def wait(self, seconds: float) -> None:
        """Waits for that, so many seconds."""
        self._thread.join(seconds)
        if self._thread.is_alive():
            self.error = f"it has not finished {PATIENCE:g} seconds after the run"

    def _work(self) -> None:
        try:
            logger = self._make()
            while (call := self.calls.get()) is not None:
                getattr(logger, call[0])(*call[1])
        except BaseException as error:  # whatever another library does, the run goes on
            self.error = told(error)


class Loggers:
    """All loggers of a run in a folder; `tell` shows the user a line, and is called in the caller's thread alone."""

    def __init__(self, folder: Path, named: tuple[Named, ...], tell: Callable[[str], None]):
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._named, self._tell, self._folder = named, tell, folder
        self._threads: list[Thread] = []
        self._about: About | None = None
        self._rows = 0

    def start(self, rows: list[Row]) -> None:
        """Begins, with the rows that the log has."""
        self._about = about(self._folder, self._lines.put)
        self._threads = [Thread(named) for named in self._named]
        for thread in self._threads:
            thread.call("start", self._about)
        for row in rows:
            self.append(row)

    def append(self, row: Row) -> None:
        """Hands the next row of the log over."""
        for thread in self._threads:
            thread.call("log", self._rows, row)
        self._rows += 1
        self._speak()

    def finish(self, rows: list[Row], complete: bool) -> None:
        """Ends all of them, at once; `rows` is the whole log."""
        if self._about is None or not self._threads:
            return
        from fastrl.loggers.curves import summary  # its statistics take long to import, and a run starts at once

        found, deadline = summary(self._about, rows), time.monotonic() + PATIENCE
        for thread in self._threads:
            thread.finish(found, complete)
        for thread in self._threads:
            thread.wait(max(0.0, deadline - time.monotonic()))
        self._speak()
        self._threads = []

    def _speak(self) -> None:
        """Shows what loggers have to say, and drops those that failed."""
        while not self._lines.empty():
            self._tell(self._lines.get())
        for thread in [thread for thread in self._threads if thread.error is not None]:
            self._tell(f"--log {thread.name} is off: {thread.error}; the run goes on without it")
            self._threads.remove(thread)
