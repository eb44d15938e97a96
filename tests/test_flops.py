import dataclasses
import runpy
from pathlib import Path

import pytest

flops = runpy.run_path(str(Path(__file__).parents[1] / "benchmarks" / "flops.py"))
Shape, learner_step = flops["Shape"], flops["learner_step"]


def test_published_numbers():
    locomotion = Shape(17, 6)
    assert flops["critic"](locomotion)[0] == 143_360
    assert flops["actor"](locomotion)[0] == 145_920
    assert flops["critic_update"](locomotion) / 1e9 == pytest.approx(1.182, abs=1e-3)
    assert flops["critic_update"](dataclasses.replace(locomotion, targets=10)) / 1e9 == pytest.approx(1.475, abs=1e-3)
    assert flops["actor_update"](locomotion) / 1e9 == pytest.approx(3.436, abs=1e-3)
    assert learner_step(locomotion) / 1e9 == pytest.approx(8.16, abs=5e-3)
    antmaze = Shape(29, 8, critic_layers=4, heads=1, backup_actions=10)
    assert learner_step(antmaze) / 1e9 == pytest.approx(30.0, abs=5e-2)
    assert learner_step(dataclasses.replace(antmaze, targets=10)) / 1e9 == pytest.approx(63.8, abs=5e-2)
    calql = Shape(17, 6, utd=1, candidates=30, targets=10)
    assert learner_step(calql) / 1e9 == pytest.approx(34.5, abs=5e-2)
