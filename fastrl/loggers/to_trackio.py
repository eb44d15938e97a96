"""Trackio: a run of its project `fastrl`, on this machine unless TRACKIO_SPACE_ID or TRACKIO_SERVER_URL says where."""

import io
import sys
import threading
from typing import Any

from fastrl.loggers import curves
from fastrl.loggers.logger import About, Place, Row

PROJECT = "fastrl"


class Trackio:
    """The run there; it begins with the first row that is not there yet."""

    def __init__(self) -> None:
        self._about: About | None = None
        self._place: Place | None = None
        self._run: Any = None
        self._step = 0

    def start(self, about: About) -> None:
        """Reads which run of theirs this one is."""
        self._about, self._place = about, Place(about.folder / "trackio.json")

    def log(self, number: int, row: Row) -> None:
        """The curves of a row at its environment or gradient steps."""
        assert self._about is not None and self._place is not None
        found = curves.curves(self._about, row) if number >= self._place.rows else {}
        if not found:
            return
        if self._run is None:
            self._run = _begun(self._about, self._place.id)
        if self._place.take(number):
            name, self._step = curves.axis(self._about, row)
            self._run.log({**found, name: self._step, "phase": row["phase"]}, step=self._step)

    def finish(self, summary: dict[str, float], complete: bool) -> None:
        """Adds the last and the best evaluation of a run that is done."""
        if self._run is None:
            return
        if complete:
            self._run.log(summary, step=self._step)
        with Aside():
            self._run.finish()


def _begun(about: About, identifier: str) -> Any:
    """Their run of our name and id, new or continued."""
    with Aside():
        import trackio

        return trackio.init(
            project=PROJECT,
            name=f"{about.name}-{identifier}",
            group=about.group,
            config=about.config,
            resume="allow",
            embed=False,
        )


class Aside(io.TextIOBase):
    """Takes what this thread prints away from standard output, where a command's results go; others print as before."""

    def __enter__(self) -> "Aside":
        self._thread, self._out = threading.get_ident(), sys.stdout
        sys.stdout = self  # type: ignore[assignment]
        return self

    def __exit__(self, *error: object) -> None:
        if sys.stdout is self:
            sys.stdout = self._out

    def write(self, text: str) -> int:
        """Writes it where it belongs, or nowhere."""
        return len(text) if threading.get_ident() == self._thread else self._out.write(text)

    def flush(self) -> None:
        """Flushes standard output."""
        self._out.flush()
