"""The processes of one job on several hosts: how they find each other, what they agree on, how one that is lost shows.

All of them compute; the first one writes what is not an array, and talks. Whatever a clock or a signal decides is
agreed on (`agree`), so that all of them call the same programs in the same order. A process that shows no sign of life
ends the others within `LOST` seconds, with a line that names it: a collective operation would wait without end.
"""

import contextlib
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from fastrl.errors import Failure, UserError

LOST = 60.0
"""Seconds without a sign of life after which a process counts as lost."""

CONNECTION = re.compile("Gloo|NCCL|UNAVAILABLE|DEADLINE|coordination|connection", re.IGNORECASE)
AGAIN = "--resume auto continues from what is saved"
SIGNS = 5.0  # seconds between two signs of life


def asked_for(mode: str, environment: dict[str, str]) -> bool:
    """Whether this process is one of several: `on`, or `auto` where a launcher says so in the environment."""
    if mode != "auto":
        return mode == "on"
    several = {
        "JAX_COORDINATOR_ADDRESS": True,
        "SLURM_STEP_NUM_TASKS": environment.get("SLURM_STEP_NUM_TASKS", "1") != "1",
        "JOB_COMPLETION_INDEX": "KUBERNETES_SERVICE_HOST" in environment,
        "TPU_WORKER_HOSTNAMES": "," in environment.get("TPU_WORKER_HOSTNAMES", ""),
    }
    return any(name in environment and says for name, says in several.items())


def start(mode: str) -> None:
    """Joins the other processes, before jax starts: as Slurm, Kubernetes or the TPU's own service say.

    Elsewhere JAX_COORDINATOR_ADDRESS, JAX_NUM_PROCESSES and JAX_PROCESS_ID do.
    """
    if not asked_for(mode, dict(os.environ)):
        return
    given = {name: os.environ.get(f"JAX_{name.upper()}") for name in ("num_processes", "process_id")}
    if bad := next((name for name, text in given.items() if text is not None and not text.isdigit()), None):
        raise UserError(f"JAX_{bad.upper()}={given[bad]} is not a whole number; say which process this is of how many")
    numbers: dict[str, Any] = {name: None if text is None else int(text) for name, text in given.items()}
    jax.config.update("jax_enable_preemption_service", False)  # signals are agreed on between chunks
    try:
        jax.distributed.initialize(**numbers, initialization_timeout=300)
    except (ValueError, RuntimeError) as error:
        raise UserError(
            f"--distributed {mode}: the processes of this job do not find each other "
            f"({str(error).splitlines()[0].rstrip('.')}); set JAX_COORDINATOR_ADDRESS=HOST:PORT, JAX_NUM_PROCESSES and "
            "JAX_PROCESS_ID in each, or give --distributed off"
        ) from error
    if count() > 1:
        threading.Thread(target=_watch, args=(end,), daemon=True).start()


def count() -> int:
    """How many processes this job has."""
    return jax.process_count()


def joined() -> bool:
    """Whether this process is one of a job; jax need not have started."""
    return jax.distributed.is_initialized()


def first() -> bool:
    """Whether this is the process that writes and talks."""
    return jax.process_index() == 0


def agree(*numbers: int) -> list[int]:
    """The largest of each number over all processes; all of them wait for each other here."""
    if count() == 1:
        return list(numbers)
    with explained():
        found = multihost_utils.process_allgather(np.array(numbers, np.int32))
    return [int(number) for number in np.asarray(found).reshape(count(), -1).max(0)]


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Makes the error of a lost connection a `Failure` that says so; each transport raises its own kind."""
    try:
        yield
    except Exception as error:
        line = next(iter(str(error).splitlines()), "")
        if isinstance(error, Failure) or count() == 1 or not CONNECTION.search(line):
            raise
        raise Failure(f"another process of this job is lost ({line}); {AGAIN}") from error


def wait() -> None:
    """All processes wait for each other."""
    agree(0)


@contextlib.contextmanager
def by_the_first(context: Callable[[], contextlib.AbstractContextManager[None]]) -> Iterator[None]:
    """Enters a context in the first process alone; where that refuses, the others end too."""
    if count() == 1:
        with context():
            yield
        return
    with contextlib.ExitStack() as stack:
        refused: UserError | None = None
        if first():
            try:
                stack.enter_context(context())
            except UserError as error:
                refused = error
        if agree(refused is not None)[0]:
            raise refused or UserError("the first process of this job has refused; its line says why")
        yield


def share_a_folder(folder: Path) -> None:
    """Refuses a folder that not all processes see: each writes its part of a checkpoint there."""
    missing = not (folder / "config.json").exists()
    if agree(missing)[0]:
        here = f"{folder} is not seen by process {jax.process_index()}" if missing else "a process does not see --out"
        raise UserError(f"{here}; name a folder on a file system that all processes share")


def leave(code: int) -> None:
    """Ends this process at once where there are others, so that they see it: jax would wait for them."""
    if joined():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def silent(seen: dict[int, tuple[str, float]], signs: Sequence[tuple[int, str]], now: float) -> int | None:
    """The process whose sign has not changed for `LOST` seconds; `seen` keeps what each showed last, and when."""
    for process, sign in signs:
        if process not in seen or seen[process][0] != sign:
            seen[process] = (sign, now)
    return next((process for process, (_, at) in seen.items() if now - at > LOST), None)


def _watch(lost: Callable[[str], None]) -> None:
    """Shows this process's signs of life to the others, and looks at theirs."""
    from jax._src import distributed  # the only way to the service that all processes are connected to

    client: Any = distributed.global_state.client
    seen = {process: ("", time.monotonic()) for process in range(count())}
    for number in range(sys.maxsize):
        try:
            client.key_value_set(f"fastrl/alive/{jax.process_index()}", str(number), allow_overwrite=True)
            found = client.key_value_dir_get("fastrl/alive/")
        except Exception:  # the first process holds the service
            found = []
        signs = [(int(name.rpartition("/")[2]), sign) for name, sign in found]
        if (process := silent(seen, signs, time.monotonic())) is not None:
            lost(f"process {process} of {count()} is lost: no sign of life for {LOST:.0f} seconds")
        time.sleep(SIGNS)


def end(line: str) -> None:
    """Ends this process at once, whatever it waits for, with a line that says why."""
    print(f"fastrl: this job ends: {line}; {AGAIN}", file=sys.stderr, flush=True)
    os._exit(1)
