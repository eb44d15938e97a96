"""The exceptions that a user sees. Standard library only, so that every part can raise it."""

import contextlib
import difflib
import os
import re
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path

CUTOFF = 0.7
"""Likeness of two words, from 0 to 1, from which one may be a slip for the other."""

LISTED = 40
"""Most names that an error lists."""


class UserError(Exception):
    """Bad input, in one line: what, where, how to fix. The command line prints it and exits with code 2."""


class Failure(Exception):
    """What was asked for is right and cannot be done now, in one line with the cause; exit code 1.

    Nothing on disk is changed by it.
    """


@contextlib.contextmanager
def writing(what: str) -> Iterator[None]:
    """Makes a `UserError` of what the system refuses within, a full disk as one that may only be read.

    A writer in C++ has no `OSError`: it ends its text with `[os_error_code='28']`.
    """
    try:
        yield
    except (OSError, ValueError) as error:
        code = re.search(r"os_error_code='(\d+)'", str(error))
        if code is None and isinstance(error, ValueError):
            raise
        cause = os.strerror(int(code[1])) if code else getattr(error, "strerror", None) or str(error)
        raise UserError(f"{what} ({cause}); choose another place or make room") from error


MEMORY = ("RESOURCE_EXHAUSTED", "Cannot allocate memory", "failed to map segment", "can't start new thread")
"""What XLA, the system and its loader say when there is no memory left."""


def short_of_memory(error: BaseException) -> Failure | None:
    """What to say of an error where it is for want of memory, of the host or of a device; None for any other."""
    line = next((each for each in str(error).splitlines() if any(word in each for word in MEMORY)), None)
    if line is None and not isinstance(error, MemoryError):
        return None
    cause = f" ({line:.200})" if line else ""
    return Failure(
        f"there is not enough memory{cause}; ask for less (--seeds, --capacity, --batch-size), or give it more: "
        "--dry-run says what a run needs, `ulimit -v` what a process may have"
    )


def printable(text: str) -> str:
    """`text` as a terminal may show it: what would steer it, or turn the direction of writing, is an escape.

    Names come from files, and a file may be a stranger's.
    """
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape", "surrogatepass").decode() for c in text
    )


def unknown(what: str, word: str, known: Iterable[str], hint: str = "") -> UserError:
    """The error for a word that names nothing: the nearest one that does, else `hint`, else all where they are few."""
    names = {name.lower(): name for name in known}
    near = difflib.get_close_matches(word.lower(), names, n=1, cutoff=CUTOFF)
    if near:
        return UserError(f"unknown {what} {word!r}; did you mean {names[near[0]]!r}?{f' ({hint})' if hint else ''}")
    if not hint:
        hint = f"there are {', '.join(names.values())}" if len(names) <= LISTED else "no name is near it"
    return UserError(f"unknown {what} {word!r}; {hint}")


def told(error: BaseException) -> str:
    """Another's exception in one line: its type and text, or where it comes from if it has no text."""
    kind, text = type(error).__name__, " ".join(str(error).split())
    frames = traceback.extract_tb(error.__traceback__)
    if text or not frames:
        return f"{kind}: {text}" if text else kind
    return f"{kind} at line {frames[-1].lineno} of {Path(frames[-1].filename).name}, `{frames[-1].line}`"
