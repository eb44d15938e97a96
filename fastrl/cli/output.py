"""Standard output and error when they are closed, full, cut by a reader, or cannot spell a name. Standard library only.

Knows no command: it is handed one as a function.
"""

import contextlib
import errno
import io
import os
import signal
import sys
from collections.abc import Callable
from typing import Any, TextIO

OUTSIDE = (
    *(errno.EACCES, errno.EBADF, errno.EDQUOT, errno.EIO, errno.EMFILE),
    *(errno.ENFILE, errno.ENOSPC, errno.EPERM, errno.EROFS, errno.ESTALE),
)
"""What a machine does to a command that is right: one line, where any other error keeps its trace."""


def prepare() -> None:
    """Puts the null device where a stream is closed; what a stream's encoding lacks is written as an escape."""
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "r+"))  # noqa: SIM115  # takes the number that is free: the closed one's
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def delivered(command: Callable[[], int]) -> int:
    """The exit code of `command`, once all that it printed has left.

    128 + SIGPIPE, without a word, where a reader had enough (`fastrl envs | head -1`), as other tools end; 1 and one
    line where the machine is at fault.
    """
    try:
        try:
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
    """Drops what cannot be written, so that the interpreter does not try once more when it ends."""
    streams: tuple[tuple[TextIO | Any, int], ...] = ((sys.stdout, 1), (sys.stderr, 2))
    for stream, number in streams:
        try:
            stream.flush()
        except OSError:
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, number)
            os.close(null)
