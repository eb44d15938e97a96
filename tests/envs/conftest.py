"""A Gymnasium environment to go wrong in worker processes: `odd:Odd-v0`, from a module that this writes."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ODD = """
import os, time
import gymnasium, numpy as np
from gymnasium.spaces import Box, Dict

class Odd(gymnasium.Env):
    observation_space = Dict({"late": Box(-9, 9, (2,)), "early": Box(0, 99, (1,))})
    action_space = Box(-1, 1, (1,))

    def __init__(self, fault="", flag="", end=0):
        self.fault, self.flag, self.end = fault, flag, end

    def reset(self, seed=None, options=None):
        super().reset(seed=seed)
        self.time, self.place = 0, self.np_random.uniform(-1, 1, 2)
        return self.observe(), {}

    def observe(self):
        return {"late": self.place, "early": np.array([self.time])}

    def step(self, action):
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
        if self.fault == "exit":
            os._exit(7)

gymnasium.register("Odd-v0", entry_point=Odd, max_episode_steps=8)
"""


@pytest.fixture(scope="session")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The name of the environment; it observes (time, place [2]), fails at step 3 and may end at `end`."""
    folder: Path = tmp_path_factory.mktemp("simulators")
    (folder / "odd.py").write_text(ODD)
    sys.path.insert(0, str(folder))
    yield "odd:Odd-v0"
    sys.path.remove(str(folder))
