"""Turns SIGTERM, Ctrl-C and a scheduler's warnings into a request that the run's loop answers between chunks."""

import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
"""Signals that end a run: a person's, a closed terminal's, and Slurm's before it takes a machine away (`--signal`)."""


class StopRequest:
    """While entered in the main thread, `SIGNALS` only set `requested`.

    In another thread no signal is handled. A signal that is ignored stays ignored (`nohup` ignores SIGHUP).
    A second Ctrl-C raises KeyboardInterrupt at once. On leaving, the previous handlers are restored.
    """

    def __init__(self) -> None:
        self.requested: int | None = None
        self._interrupts = 0
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is not threading.main_thread():
            return self  # Python delivers signals to the main thread only
        for number in SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._previous[number] = signal.signal(number, self._handle)
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

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.requested = self.requested or number
        if number == signal.SIGINT:
            self._interrupts += 1
            if self._interrupts > 1:
                raise KeyboardInterrupt
