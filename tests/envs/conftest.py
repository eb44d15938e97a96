"""Gymnasium's C simulation beside ours, in float64, one compiled step a task; and a simulator that fails."""

import dataclasses
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fastrl.envs import make

ODD = """
import os, time
import gymnasium, numpy as np
from gymnasium.spaces import Box, Dict

class Odd(gymnasium.Env):
    observation_space = Dict({"late": Box(-9, 9, (2,)), "early": Box(0, 99, (1,))})
    action_space = Box(-1, 1, (1,))

    def __init__(self, fault="", flag="", end=0, pause=0.0, whole=False):
        self.fault, self.flag, self.end, self.pause = fault, flag, end, pause
        if whole:
            self.action_space = Box(0, 5, (1,), int)

    def reset(self, seed=None, options=None):
        super().reset(seed=seed)
        self.time, self.place = 0, self.np_random.uniform(-1, 1, 2)
        return self.observe(), {}

    def observe(self):
        return {"late": self.place, "early": np.array([self.time])}

    def step(self, action):
        time.sleep(self.pause)
        self.time += 1
        self.place = 0.9 * self.place + action + self.np_random.normal(0, 0.1, 2)
        if self.time == 3 and (not self.flag or os.path.exists(self.flag)):
            self.go_wrong()
        return self.observe(), float(self.place.sum()), self.time == self.end, False, {}

    def go_wrong(self):
        if self.fault == "raise":
            raise RuntimeError("out of\\nfuel")
        if self.fault == "hang":
            time.sleep(60)
        if self.fault == "nan":
            self.place = self.place * np.nan
        if self.fault == "shape":
            self.place = np.zeros(3)
        if self.fault == "exit":
            os._exit(7)

gymnasium.register("Odd-v0", entry_point=Odd, max_episode_steps=8)
"""

IDS = {"hopper": "Hopper", "halfcheetah": "HalfCheetah", "walker2d": "Walker2d", "ant": "Ant"}


class Beside:
    """A task in C and our compiled step of it, `chunk` rows at a time."""

    def __init__(self, name: str, chunk: int = 100) -> None:
        self.c = gymnasium.make(f"{IDS[name]}-v5").unwrapped
        self.ours: Any = make(name)
        self.chunk = chunk
        self.traces = 0

        def step(qpos, qvel, warmstart, torso, action):
            self.traces += 1
            state, before = self.ours.from_physics(qpos, qvel)
            inner = state.env
            if hasattr(inner, "torso"):
                physics = dataclasses.replace(inner.physics, warmstart=warmstart)
                inner = dataclasses.replace(inner, physics=physics, torso=torso)
            else:
                inner = dataclasses.replace(inner, warmstart=warmstart)
            timed, out = self.ours.step(jax.random.key(0), dataclasses.replace(state, env=inner), action)
            return out, before, self.ours.physics(timed)

        self.step = jax.jit(lambda *rows: jax.lax.map(lambda row: step(*row), rows))

    def row(self, warm: bool = True) -> list[np.ndarray]:
        """Where C stands: qpos, qvel, warm start and the torso's place."""
        data = self.c.data
        warmstart = data.qacc_warmstart.copy() if warm else np.zeros(len(data.qvel))
        return [data.qpos.copy(), data.qvel.copy(), warmstart, data.xpos[1, :2].copy()]

    def ours_from(self, rows: Any) -> Any:
        """Our step from each row (qpos, qvel, warmstart, torso, action)."""
        with jax.enable_x64(True):
            return jax.tree.map(np.array, self.step(*[jnp.array(np.array(x)) for x in rows]))

    def rollout(self, steps: int, warm: bool = True) -> list[np.ndarray]:
        """Random episodes in C: the columns of `row`, action, obs, reward, terminated; a reset where one ends."""
        random = np.random.default_rng(0)
        self.c.reset(seed=0)
        start, rows = True, []
        for _ in range(steps):
            # C resets the warm start to the acceleration of the reset pose; we start from zero.
            row = self.row(warm and not start)
            action = random.uniform(self.c.action_space.low, self.c.action_space.high)
            obs, reward, start, _, _ = self.c.step(action)
            rows.append([*row, action, obs, reward, start])
            if start:
                self.c.reset()
        return [np.array(column) for column in zip(*rows, strict=True)]

    def agree(self, columns: list[np.ndarray]) -> None:
        """Our steps from C's states give C's observations, rewards and terminations."""
        *rows, obs, reward, terminated = columns
        for i in range(0, len(reward), self.chunk):
            part = slice(i, i + self.chunk)
            out, _, _ = self.ours_from([r[part] for r in rows])
            assert out.obs.dtype == np.float64
            np.testing.assert_allclose(out.obs, obs[part], rtol=0, atol=1e-8)
            np.testing.assert_allclose(out.reward, reward[part], rtol=0, atol=1e-8)
            np.testing.assert_array_equal(out.terminated, terminated[part])
        assert self.traces == 1


@pytest.fixture(scope="session")
def beside() -> Iterator[Callable[[str], Beside]]:
    """`(name) -> Beside`, one a session."""
    made: dict[str, Beside] = {}

    def get(name: str) -> Beside:
        if name not in made:
            with jax.enable_x64(True):
                made[name] = Beside(name)
        return made[name]

    return get


@pytest.fixture(scope="session")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The name of the environment; it observes (time, place [2]), fails at step 3 and may end at `end`."""
    folder: Path = tmp_path_factory.mktemp("simulators")
    (folder / "odd.py").write_text(ODD)
    sys.path.insert(0, str(folder))
    yield "odd:Odd-v0"
    sys.path.remove(str(folder))
