"""The process that runs Gymnasium simulators for `fastrl.envs.host`, as a script: it reads jobs and shows results.

Imports neither jax nor fastrl, so that it starts fast and holds no accelerator. Knows no episode's name and no copy.
"""

import contextlib
import importlib.util
import os
import select
import signal
import sys
import threading
from multiprocessing.connection import Connection
from typing import Any

import gymnasium
import numpy as np


class Simulator:
    """One environment; it starts an episode or goes on with it, as a job says."""

    def __init__(self, file: str | None, name: str, options: dict[str, Any]):
        self.env = build(file, name, options)
        self.observations: Any = self.env.observation_space
        self.actions: Any = self.env.action_space

    def play(self, seed: int | None, actions: np.ndarray) -> np.ndarray:
        """Resets if there is a seed, then plays actions [K, A]: what came last, [O + 3] float32.

        That is the observation, reward, terminated and truncated.
        """
        reward: Any = 0.0
        terminated = truncated = False
        if seed is not None:
            obs, _ = self.env.reset(seed=seed)
        for action in actions:
            action = action.reshape(self.actions.shape).astype(self.actions.dtype)
            obs, reward, terminated, truncated, _ = self.env.step(action)
        flat: Any = gymnasium.spaces.flatten(self.observations, obs)
        if flat.size != (size := gymnasium.spaces.flatdim(self.observations)):
            raise ValueError(f"it returned an observation of {flat.size} numbers, and its space has {size}")
        shown = np.concatenate([flat, [reward, terminated, truncated]]).astype(np.float32)
        if not np.isfinite(shown).all():
            raise ValueError("it returned a value that is not finite")
        return shown


def build(file: str | None, name: str, options: dict[str, Any]) -> gymnasium.Env:
    """`gymnasium.make(name)` without a time limit, or what function `name` of a file returns."""
    if file is None:
        return gymnasium.make(name, max_episode_steps=-1, disable_env_checker=True, **options)
    spec = importlib.util.spec_from_file_location("simulator", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return getattr(module, name)(**options)


def serve(link: Connection) -> None:
    """Answers lists of jobs (simulator, seed or None, actions) until the other end closes.

    An answer is results [jobs, O + 3], or the number of the job that failed and why.
    """
    paths, source = link.recv()
    sys.path[:] = paths
    simulators: list[Simulator] = []
    while True:
        shown, jobs = [], link.recv()
        try:
            for number, seed, actions in jobs:
                if number == len(simulators):
                    simulators.append(Simulator(*source))
                shown.append(simulators[number].play(seed, actions))
        except Exception as error:
            link.send((len(shown), f"{type(error).__name__}: {' '.join(str(error).split())}"))
            return
        link.send(np.stack(shown))


def leave_with(descriptor: int) -> None:
    """Ends this process and what it has started once the other end of a socket is gone, even where a step hangs."""
    hang_up = select.poll()
    hang_up.register(descriptor, 0)
    hang_up.poll()
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    for number in (
        signal.SIGINT,
        signal.SIGTERM,
        signal.SIGHUP,
        signal.SIGUSR1,
        signal.SIGUSR2,
    ):  # the process that asks decides when to end
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=leave_with, args=[int(sys.argv[1])], daemon=True).start()
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        serve(Connection(int(sys.argv[1])))
