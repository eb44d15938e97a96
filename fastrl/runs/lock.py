"""A lock that lets one process at a time write to a folder; the kernel releases it however that process ends.

`flock` on a file belongs to one opening of it, so that two runs in one process exclude one another too, and Linux turns
it into a lock of the server on NFS, which holds across hosts. On a file system without locks nothing is locked.
"""

import contextlib
import errno
import fcntl
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from fastrl.types import UserError

LOCK = ".lock"
NONE = (errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)


def check(folder: Path) -> None:
    """Raises `UserError` where another process holds the lock; writes nothing."""
    with contextlib.suppress(FileNotFoundError, PermissionError), (folder / LOCK).open() as file:
        _locked(file, folder)


@contextlib.contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Locks an existing folder; raises `UserError` with the process and host that hold it already.

    The file stays when the lock is released: if it were removed, a third process could lock the deleted file.
    """
    try:
        file = (folder / LOCK).open("a+")
    except OSError as error:
        raise UserError(f"{folder} cannot be written to ({error.strerror}); choose another place") from error
    with file:
        _locked(file, folder)
        with contextlib.suppress(OSError):  # a full disk: the lock holds all the same
            file.truncate(0)
            os.write(file.fileno(), f"process {os.getpid()} on {socket.gethostname()}\n".encode())
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                fcntl.flock(file, fcntl.LOCK_UN)  # at once, even where a child still has a copy of the descriptor


def _locked(file: TextIO, folder: Path) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        line = f"{folder} is in use by {_holder(file)}; wait until it has ended, or name another folder"
        raise UserError(line) from None
    except OSError as error:
        if error.errno not in NONE:
            raise


def _holder(file: TextIO) -> str:
    """Who holds the lock, which it writes a moment after it has it."""
    for _ in range(20):
        file.seek(0)
        if found := file.read().strip():
            return found
        time.sleep(0.05)
    return "another process"
