"""Turns SIGTERM, Ctrl-C and a scheduler's warnings into a request that the run's loop answers between chunks.

XLA's compiler answers nothing, for minutes where a program is large. While it works all that matters is on disk, so
that another thread may end the process.
"""

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType, TracebackType
from typing import Any, Self

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
"""Signals that end a run: a person's, a closed terminal's, and Slurm's before it takes a machine away (`--signal`)."""


GRACE = 5.0
"""Seconds after a signal in which the compiler may still end; a scheduler waits ten or more before it kills."""


class Interrupted(Exception):
    """A signal asked the run to stop; everything is saved."""

    def __init__(self, signal: int, how: str = "--resume"):
        super().__init__(f"stopped by signal {signal}; everything is saved, {how} continues")
        self.signal = signal


def leave(number: int) -> None:
    """Ends this process at once, as a signal that was asked for."""
    line = f"stopped by signal {number} while XLA compiled; everything is saved, --resume continues"
    print(f"fastrl: {line}", file=sys.stderr, flush=True)
    sys.stdout.flush()
    os._exit(128 + number)


class StopRequest:
    """While entered in the main thread, `SIGNALS` only set `requested`.

    In another thread no signal is handled. A signal that is ignored stays ignored (`nohup` ignores SIGHUP).
    A second Ctrl-C raises KeyboardInterrupt at once. On leaving, the previous handlers are restored.
    """

    def __init__(self, leave: Callable[[int], None] = leave) -> None:
        self.requested: int | None = None
        self._interrupts = 0
        self._previous: dict[int, Any] = {}
        self._leave = leave
        self._one = threading.Lock()
        self._section: object | None = None  # of the compiler's work
        self._ends: float | None = None  # when a process that was asked to leave no longer waits for the compiler
        self._pipe: tuple[int, int, int] | None = None  # where signals are read and written, and where before

    @contextlib.contextmanager
    def compiling(self) -> Iterator[None]:
        """Within, where everything is saved, a signal ends the process `GRACE` seconds after it came."""
        self._section = object()
        if self.requested is not None:  # it came when nobody compiled yet
            threading.Thread(target=self._leave_soon, args=(self.requested,), daemon=True).start()
        try:
            yield
        finally:
            self._section = None

    def __enter__(self) -> Self:
        if threading.current_thread() is not threading.main_thread():
            return self  # Python delivers signals to the main thread only
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._previous[number] = signal.signal(number, self._handle)
        read, write = os.pipe()
        os.set_blocking(write, False)
        self._pipe = read, write, signal.set_wakeup_fd(write, warn_on_full_buffer=False)
        threading.Thread(target=self._watch, args=(read,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous.clear()
        if self._pipe is not None:
            _, write, before = self._pipe
            signal.set_wakeup_fd(before)
            os.close(write)  # ends the thread
            self._pipe = None

    def _watch(self, read: int) -> None:
        """Sees each signal as it comes, whatever the main thread does, which alone may handle it."""
        while found := os.read(read, 1):
            person = found[0] == signal.SIGINT and hasattr(sys, "ps1")  # in a notebook, who would lose all of it
            if found[0] in self._previous and not person:
                self._leave_soon(found[0])
        os.close(read)

    def _leave_soon(self, number: int) -> None:
        """Ends the process if the compiler works now, and still does after a while."""
        self._ends = self._ends or time.monotonic() + GRACE
        if (section := self._section) is not None:
            time.sleep(max(0.0, self._ends - time.monotonic()))
            with self._one:  # two threads may have seen it
                if self._section is section:
                    self._leave(number)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.requested = self.requested or number
        if number == signal.SIGINT:
            self._interrupts += 1
            if self._interrupts > 1:
                raise KeyboardInterrupt
