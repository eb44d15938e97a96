"""What W&B and Trackio have in common: a run of theirs that begins with the first row that it lacks, and goes on."""

import abc
from typing import Any, ClassVar

from fastrl.loggers import curves
from fastrl.loggers.logger import About, Place, Row


class Continued(abc.ABC):
    """The run there; what is below the curves says how one begins, and how a row is sent."""

    FILE: ClassVar[str]  # in our run's folder: which run of theirs it is, and how many rows it has

    def __init__(self) -> None:
        self._about: About | None = None
        self._place: Place | None = None
        self._run: Any = None

    def start(self, about: About) -> None:
        """Reads which run of theirs this one is."""
        self._about, self._place = about, Place(about.folder / self.FILE)

    def log(self, number: int, row: Row) -> None:
        """The curves of a row at its environment or gradient steps."""
        assert self._about is not None and self._place is not None
        found = curves.curves(self._about, row) if number >= self._place.rows else {}
        if not found:
            return
        if self._run is None:
            self._run = self._begun(self._about, self._place)
        if self._place.take(number):
            name, step = curves.axis(self._about, row)
            self._send(number, step, {**found, name: step, "phase": row["phase"]})

    @abc.abstractmethod
    def _begun(self, about: About, place: Place) -> Any:
        """Their run with our id, new or continued."""

    @abc.abstractmethod
    def _send(self, number: int, step: int, found: dict[str, Any]) -> None:
        """Row `number`, at a step of its axis."""
