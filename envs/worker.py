"""The process that runs Gymnasium simulators for `fastrl.envs.host`, as a script: it reads jobs and sends results.

It imports neither jax nor fastrl, so that it starts fast and holds no accelerator. What a simulator returns is read by
the rule of `fastrl.envs.spaces`; an error says what was wrong and how to mend it.
"""

import contextlib
import importlib.util
import os
import re
import select
import signal
import sys
import threading
import traceback
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

RESET = "let reset take seed=None and options=None, call super().reset(seed=seed), and return obs, info"
STEP = "let step return obs, reward, terminated, truncated, info"
SPACE = "let reset and step return what observation_space says"


class Fault(Exception):
    """What a simulator did, and how to mend it."""


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
            obs, _ = returned("reset", self.env.reset(seed=seed), 2, RESET)
        for action in actions:
            action = action.reshape(self.actions.shape).astype(self.actions.dtype)
            action = np.clip(action, self.actions.low, self.actions.high)  # float32 may round it out of its bounds
            obs, reward, terminated, truncated, _ = returned("step", self.env.step(action), 5, STEP)
        last = (number("reward", reward), flag("terminated", terminated), flag("truncated", truncated))
        with np.errstate(over="ignore"):
            shown = np.concatenate([*numbers(self.observations, obs, "an observation"), last]).astype(np.float32)
        if not np.isfinite(shown).all():
            what = "an observation" if not np.isfinite(shown[:-3]).all() else f"the reward {last[0]:g}"
            raise Fault(f"returned {what}, which is not finite", "bound it, or end the episode before")
        return shown


def returned(where: str, values: Any, count: int, mend: str) -> tuple[Any, ...]:
    """The values of `reset` or `step`, which are a tuple of so many."""
    if not isinstance(values, tuple) or len(values) != count:
        found = f"{len(values)} values" if isinstance(values, tuple) else f"one {type(values).__name__}"
        raise Fault(f"returned {found} from {where}, not {count}", mend)
    return values


def short(value: Any) -> str:
    """A value in a few words."""
    return f"{' '.join(repr(value).split()):.60}"


def number(what: str, value: Any, kind: str = "one number") -> float:
    """One number, or an array of one element."""
    try:
        array = np.asarray(value)
    except ValueError:  # lists of different lengths
        array = np.empty(0)
    if array.dtype.kind not in "biuf" or array.size != 1:
        found = f"an array of shape {array.shape}" if isinstance(value, np.ndarray) else short(value)
        raise Fault(f"returned {found} as {what} from step", f"let {what} be {kind}: {STEP}")
    return float(array.item())


def flag(what: str, value: Any) -> float:
    """0 or 1."""
    found = number(what, value, "True or False")
    if found not in (0.0, 1.0):
        raise Fault(f"returned {found:g} as {what} from step", f"let {what} be True or False: {STEP}")
    return found


def numbers(space: Any, value: Any, what: str) -> list[np.ndarray]:
    """The numbers of an observation, as parts, in the order of its space."""
    if isinstance(space, gymnasium.spaces.Dict):
        if not isinstance(value, Mapping):
            raise Fault(f"returned {what} {short(value)}, not a Dict of {', '.join(space.spaces)}", SPACE)
        for key in space.spaces:
            if key not in value:
                raise Fault(f"returned {what} without {key!r}, which is in its space", SPACE)
        return [part for key in space.spaces for part in numbers(space[key], value[key], f"an observation {key!r}")]
    try:
        array = np.asarray(value)
    except ValueError:
        array = np.asarray(value, object)
    if array.dtype.kind not in "biuf":
        raise Fault(f"returned {what} {short(value)}, not an array of numbers", SPACE)
    if array.size != (size := int(np.prod(space.shape))):
        raise Fault(f"returned {what} of {array.size} numbers, and its space has {size}", SPACE)
    return [array.ravel()]


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

    An answer is results [jobs, O + 3], or the number of the job that failed, what it did and how to mend it.
    """
    paths, source = link.recv()
    sys.path[:] = paths
    simulators: list[Simulator] = []
    while True:
        shown, jobs = [], link.recv()
        try:
            for simulator, seed, actions in jobs:
                if simulator == len(simulators):
                    simulators.append(Simulator(*source))
                shown.append(simulators[simulator].play(seed, actions))
        except Fault as fault:
            link.send((len(shown), *fault.args))
            return
        except Exception as error:
            link.send((len(shown), f"raised {told(error)}", mend(error)))
            return
        link.send(np.stack(shown))


def told(error: Exception) -> str:
    """As `fastrl.errors.told`: type and text, or where it comes from if it has no text."""
    kind, text = type(error).__name__, " ".join(str(error).split())
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{kind}: {text}" if text else f"{kind} at line {last.lineno} of {Path(last.filename).name}, `{last.line}`"


def mend(error: Exception) -> str:
    """How to mend what an environment raised, where it is a known misunderstanding."""
    if isinstance(error, TypeError) and re.search("reset.*unexpected keyword argument '(seed|options)'", str(error)):
        return RESET
    if isinstance(error, gymnasium.error.UnregisteredEnv):
        return "register it in a module, and name that too: gymnasium:MODULE:ID"
    return "mend the simulator"


def leave_with(descriptor: int) -> None:
    """Ends this process and what it has started once the other end of a socket is gone, even where a step hangs."""
    hang_up = select.poll()
    hang_up.register(descriptor, 0)
    hang_up.poll()
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    ignored = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
    for ending in ignored:  # the process that asks decides when to end
        signal.signal(ending, signal.SIG_IGN)
    threading.Thread(target=leave_with, args=[int(sys.argv[1])], daemon=True).start()
    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        serve(Connection(int(sys.argv[1])))
