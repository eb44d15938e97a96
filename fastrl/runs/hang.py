"""Ends a process that no longer gets anywhere: a device or a file system that does not answer raises no error."""

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Iterator


def _end(line: str) -> None:
    print(f"fastrl: {line}", file=sys.stderr, flush=True)
    os._exit(1)


@contextlib.contextmanager
def watched(minutes: float | None, end: Callable[[str], None] = _end) -> Iterator[None]:
    """Ends the process, with a line, where what is within takes longer than so many minutes; None waits for ever."""
    if minutes is None:
        yield
        return
    said = (
        f"no answer from the device for {minutes:g} minutes; this process ends, --resume auto continues what is saved"
    )
    timer = threading.Timer(60 * minutes, end, [said])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
