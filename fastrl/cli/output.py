"""Exit codes when standard output or error is closed, full, cut off by its reader, or cannot encode a character.

Only the standard library is imported here, and `fastrl.errors`, which does the same.
"""

import contextlib
import errno
import io
import os
import signal
import sys
from collections.abc import Callable
from typing import Any, TextIO

from fastrl.errors import printable

OUTSIDE = (
    *(errno.EACCES, errno.EBADF, errno.EDQUOT, errno.EIO, errno.EMFILE),
    *(errno.ENFILE, errno.ENOSPC, errno.EPERM, errno.EROFS, errno.ESTALE),
)
"""Errors that the machine causes, not a bug: they become one line, where any other `OSError` keeps its trace."""


def prepare() -> None:
    """Replaces a closed stream by the null device; characters that a stream cannot encode are written as escapes."""
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "r+"))  # noqa: SIM115  # gets the free descriptor, the closed stream's
    if sys.unraisablehook is sys.__unraisablehook__:
        sys.unraisablehook = _shown
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _shown(found: "sys.UnraisableHookArgs") -> None:
    """Shows what nobody can catch.

    It leaves out a write in C++ that ends after another one of its checkpoint has failed, and a lack of memory, which
    is said where it is caught and then met again by whatever cleans up.
    """
    if str(found.exc_value) != "Event loop is closed" and not isinstance(found.exc_value, MemoryError):
        sys.__unraisablehook__(found)


class _Harmless:
    """A stream that shows what would steer a terminal as escapes."""

    def __init__(self, stream: TextIO):
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write(printable(text))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def delivered(command: Callable[[], int]) -> int:
    """Runs `command` and returns its exit code once all of its output is written, harmless to a terminal.

    The code is 128 + SIGPIPE, without a message, where the reader closed the pipe (`fastrl envs | head -1`), and 1,
    with one line, where the machine is at fault.
    """
    try:
        try:
            with contextlib.redirect_stdout(_Harmless(sys.stdout)):  # type: ignore[type-var]
                return command()
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        _discard()
        return 128 + signal.SIGPIPE
    except OSError as error:
        if error.errno not in OUTSIDE:
            raise
        where = "the output" if error.filename is None else os.fsdecode(error.filename)
        with contextlib.suppress(OSError):
            print(f"fastrl: {where}: {error.strerror}", file=sys.stderr)
        _discard()
        return 1


def _discard() -> None:
    """Drops unwritten output, so that the interpreter does not try to write it again when it exits."""
    streams: tuple[tuple[TextIO | Any, int], ...] = ((sys.stdout, 1), (sys.stderr, 2))
    for stream, number in streams:
        try:
            stream.flush()
        except OSError:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, number)
            os.close(null)
