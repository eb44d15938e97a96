"""The exceptions that a user sees. Standard library only, so that every part can raise it."""

import difflib
import traceback
from collections.abc import Iterable
from pathlib import Path


class UserError(Exception):
    """Bad input, in one line: what, where, how to fix. The command line prints it and exits with code 2."""


class Failure(Exception):
    """What was asked for is right and cannot be done now, in one line with the cause; exit code 1.

    Nothing on disk is changed by it.
    """


def unknown(what: str, word: str, known: Iterable[str], hint: str = "") -> UserError:
    """The error for a word that names nothing, with the nearest one that does."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.0)[0]
    return UserError(f"unknown {what} {word!r}; did you mean {near!r}?{f' ({hint})' if hint else ''}")


def told(error: BaseException) -> str:
    """Another's exception in one line: its type and text, or where it comes from if it has no text."""
    kind, text = type(error).__name__, " ".join(str(error).split())
    frames = traceback.extract_tb(error.__traceback__)
    if text or not frames:
        return f"{kind}: {text}" if text else kind
    return f"{kind} at line {frames[-1].lineno} of {Path(frames[-1].filename).name}, `{frames[-1].line}`"
