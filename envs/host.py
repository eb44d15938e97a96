"""Simulators on the host, in worker processes, seen as a pure function of an episode: its seed and its actions.

A simulator that has played all but the last action of an episode plays that one; otherwise one plays the episode from
its seed. So workers are a cache, and no checkpoint holds their state. This module imports no jax.
"""

import contextlib
import dataclasses
import os
import signal
import socket
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import numpy as np

from fastrl.errors import UserError

BACKEND = "gymnasium"
"""The backend of a spec whose simulators are here."""

MOST = 256
"""Simulators kept for episodes that were left before their end; a larger batch has as many as it needs."""

Name = tuple[int, int]
"""An episode: the seed of its reset, and a number that distinguishes it from others."""

_pools: "weakref.WeakSet[Pool]" = weakref.WeakSet()


class Worker:
    """A process and its simulators. What they print is not shown; what they raise is."""

    def __init__(self, source: tuple[str | None, str, dict[str, Any]]):
        here, there = socket.socketpair()
        script = Path(__file__).with_name("worker.py")
        with there:
            self.process = subprocess.Popen(
                [sys.executable, "-P", str(script), str(there.fileno())],
                pass_fds=[there.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        self.link = Connection(here.detach())
        self.link.send((sys.path, source))
        self.count = 0  # simulators made
        self.free: list[int] = []

    @property
    def running(self) -> int:
        """Simulators in the middle of an episode."""
        return self.count - len(self.free)

    def take(self) -> int:
        """A free simulator, a new one if there is none."""
        if self.free:
            return self.free.pop()
        self.count += 1
        return self.count - 1

    def close(self) -> None:
        """Ends the process and those that its simulators have started, whatever they do."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.link.close()
        self.process.wait()


@dataclasses.dataclass
class Seat:
    """Where an episode is simulated, and how far it has come."""

    worker: Worker
    simulator: int
    played: bytes  # the actions so far


@dataclasses.dataclass(frozen=True)
class Job:
    """One row of a batch: what a worker is asked, and for which episode."""

    row: int
    name: Name
    plays: int
    seat: Seat
    seed: int | None  # None goes on
    actions: np.ndarray  # [K, A]


class Pool:
    """Worker processes of one kind of simulator, started when they are needed."""

    def __init__(self, title: str, source: tuple[str | None, str, dict[str, Any]], width: int, timeout: float):
        self.title, self.source, self.width, self.timeout = title, source, width, timeout
        self.failure: UserError | None = None
        self._workers: list[Worker] = []
        self._seats: dict[Name, Seat] = {}  # the one used longest ago first
        self._lock = threading.RLock()
        self._ends = weakref.finalize(self, _close, self._workers)
        _pools.add(self)

    def __call__(self, header: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """What each episode shows after its last action: `[..., W]`, observation, reward, terminated, truncated.

        `header` `[..., 3]` is (seed, number, how many of `actions` [..., H, A] are played), 0 at the reset, -1 for
        nothing to do (zeros). A failure is kept for `check`, and shown as NaN: a callback must not raise.
        """
        rows, histories = np.asarray(header).reshape(-1, 3), np.asarray(actions)
        histories = histories.reshape(-1, *histories.shape[-2:])
        shown = np.zeros((len(rows), self.width), np.float32)
        with self._lock:
            if self.failure is None:
                try:
                    self._answer(rows, histories, shown)
                except UserError as error:
                    self.failure = error
                    self.close()
            if self.failure is not None:
                shown[:, :-2], shown[:, -2:] = np.nan, 1.0
        return shown.reshape(*np.shape(header)[:-1], self.width)

    def close(self) -> None:
        """Ends the processes; the next call starts others."""
        with self._lock:
            self._seats.clear()
            _close(self._workers)

    def _answer(self, rows: np.ndarray, histories: np.ndarray, shown: np.ndarray) -> None:
        jobs: dict[Worker, list[Job]] = {}
        for row, (seed, number, plays) in enumerate(rows.tolist()):
            if plays >= 0:
                job = self._job(row, (seed, number), plays, histories[row], len(rows))
                jobs.setdefault(job.seat.worker, []).append(job)
        for worker, todo in jobs.items():
            with contextlib.suppress(BrokenPipeError):  # a dead worker is noticed below
                worker.link.send([(job.seat.simulator, job.seed, job.actions) for job in todo])
        for worker, todo in jobs.items():
            shown[[job.row for job in todo]] = self._receive(worker, todo)
        for todo in jobs.values():
            for job in todo:
                if shown[job.row, -2:].any() or job.plays == histories.shape[1]:
                    self._free(job.name)

    def _job(self, row: int, name: Name, plays: int, history: np.ndarray, batch: int) -> Job:
        """The way to `plays` actions of an episode: one more from where its simulator is, or all of them."""
        seat, before = self._seats.pop(name, None), history[: max(0, plays - 1)].tobytes()
        goes_on = seat is not None and plays > 0 and seat.played == before
        if seat is None:
            worker = self._quietest(batch)
            seat = Seat(worker, worker.take(), b"")
        seat.played = history[:plays].tobytes()
        self._seats[name] = seat
        if goes_on:
            return Job(row, name, plays, seat, None, history[plays - 1 : plays])
        return Job(row, name, plays, seat, name[0], history[:plays])

    def _quietest(self, batch: int) -> Worker:
        """The worker with the fewest running simulators; there are at most as many workers as processors."""
        if len(self._seats) >= max(MOST, batch):
            self._free(next(iter(self._seats)))
        idle = next((worker for worker in self._workers if not worker.running), None)
        if idle is None and len(self._workers) < (os.cpu_count() or 1):
            idle = Worker(self.source)
            self._workers.append(idle)
        return idle or min(self._workers, key=lambda worker: worker.running)

    def _free(self, name: Name) -> None:
        seat = self._seats.pop(name, None)
        if seat is not None:
            seat.worker.free.append(seat.simulator)

    def _receive(self, worker: Worker, jobs: list[Job]) -> np.ndarray:
        """The results of a worker's jobs [n, W]."""
        try:
            if not worker.link.poll(self.timeout * sum(max(1, len(job.actions)) for job in jobs)):
                raise self._failed(jobs, f"took more than {self.timeout:g} s a step", "raise the timeout")
            answer = worker.link.recv()
        except (EOFError, ConnectionResetError):
            code = worker.process.wait()
            raise self._failed(jobs, f"ended its process with exit code {code}", "mend the simulator") from None
        if isinstance(answer, tuple):
            number, what, mend = answer
            raise self._failed([jobs[number]], what, mend)
        return answer

    def _failed(self, jobs: list[Job], what: str, mend: str) -> UserError:
        where = " or ".join(
            f"copy {job.row}, {f'step {job.plays}' if job.plays else 'the reset'} of the episode of seed {job.name[0]},"
            for job in jobs
        )
        return UserError(f"{self.title}: {where} {what}; {mend} (a run goes on with --resume)")


def check() -> None:
    """Raises the failure of a simulator, if one has failed since the last time."""
    for pool in list(_pools):
        failure, pool.failure = pool.failure, None
        if failure is not None:
            raise failure


@contextlib.contextmanager
def session() -> Iterator[None]:
    """Closes the simulators that were started inside, however it is left."""
    try:
        yield
    finally:
        close()


def close() -> None:
    """Ends every worker process; a simulator that is used again starts again where it was."""
    for pool in list(_pools):
        pool.close()


def _close(workers: list[Worker]) -> None:
    while workers:
        workers.pop().close()
