"""TensorBoard: event files in the run's folder, under `tensorboard`."""

import shutil
from pathlib import Path

import numpy as np
from tensorboardX import SummaryWriter

from fastrl.loggers.logger import About, Row
from fastrl.runs.log import ADDRESS

BOARD = "tensorboard"


class TensorBoard:
    """Scalars at the run's own count: online steps after pre-training, gradient steps in it.

    The files are written anew where a run is continued.
    """

    def __init__(self) -> None:
        self._folder: Path | None = None
        self._board: SummaryWriter | None = None

    def start(self, about: About) -> None:
        """Removes the files of the run that is continued."""
        self._folder = about.folder / BOARD
        shutil.rmtree(self._folder, ignore_errors=True)

    def log(self, number: int, row: Row) -> None:
        """The mean of the seeds, and every seed."""
        if row.get("kind") == "frozen":
            return
        if self._board is None:
            self._board = SummaryWriter(str(self._folder), flush_secs=30)
        step = int(row.get("online") or row.get("offline") or row.get("step") or 0)
        prefix = f"{row.get('phase', 'run')}/{row.get('kind', 'train')}"
        for name, value in row.items():
            if name in ADDRESS or not isinstance(value, (int, float, list)):
                continue
            known = [x for x in value if x is not None] if isinstance(value, list) else [value]
            if known:
                self._board.add_scalar(f"{prefix}/{name}", float(np.mean(known)), step)
            for seed, x in enumerate(value if isinstance(value, list) else []):
                if x is not None:
                    self._board.add_scalar(f"{prefix}/{name}/seed {seed}", x, step)

    def finish(self, summary: dict[str, float], complete: bool) -> None:
        """Closes the files."""
        if self._board is not None:
            self._board.close()
            self._board = None
