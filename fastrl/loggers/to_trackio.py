"""Trackio: a run of its project `fastrl`, on this machine unless TRACKIO_SPACE_ID or TRACKIO_SERVER_URL says where."""

import io
import sys
import threading
from typing import Any

from fastrl.loggers.continued import Continued
from fastrl.loggers.logger import About, Place

PROJECT = "fastrl"


class Trackio(Continued):
    """The run there, with its curves at their steps."""

    FILE = "trackio.json"

    def _begun(self, about: About, place: Place) -> Any:
        with Aside():
            import trackio

            return trackio.init(
                project=PROJECT,
                name=f"{about.name}-{place.id}",
                group=about.group,
                config=about.config,
                resume="allow",
                embed=False,
            )

    def _send(self, number: int, step: int, found: dict[str, Any]) -> None:
        self._step = step
        self._run.log(found, step=step)

    def finish(self, summary: dict[str, float], complete: bool) -> None:
        """Adds the last and the best evaluation of a run that is done."""
        if self._run is None:
            return
        if complete:
            self._run.log(summary, step=self._step)
        with Aside():
            self._run.finish()


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
