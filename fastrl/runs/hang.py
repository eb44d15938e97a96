"""Ends a process that no longer gets anywhere: a device or a file system that does not answer raises no error."""

import contextlib
import threading
from collections.abc import Callable, Iterator

from fastrl.runs import processes


@contextlib.contextmanager
def watched(minutes: float | None, end: Callable[[str], None] = processes.end) -> Iterator[None]:
    """Ends the process, with a line, where what is within takes longer than so many minutes; None waits for ever."""
    if minutes is None:
        yield
        return
    timer = threading.Timer(60 * minutes, end, [f"no answer from the device for {minutes:g} minutes"])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
