"""A command that stands in for `fastrl run`, with a fault that a benchmark must notice."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fastrl.benchmarks.reliability import common

STAND_IN = Path(__file__).parent / "stand_in.py"


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """`command(fault)`: from then on the scripts' processes are those of stand_in.py."""

    def replace(fault: str = "") -> None:
        def start(words: Any, home: Path, said: Any = subprocess.DEVNULL, devices: int = 1, **more: str) -> Any:
            phases = " ".join(common.phases(words[1]))
            variables = {**os.environ, "FAULT": fault, "PHASES": phases, "JAX_NUM_CPU_DEVICES": str(devices), **more}
            stderr = said if isinstance(said, int) else said.open("ab")
            told = [sys.executable, "-S", str(STAND_IN), *words]
            process = subprocess.Popen(told, env=variables, stdout=subprocess.DEVNULL, stderr=stderr, text=True)
            if not isinstance(said, int):
                stderr.close()
            return process

        monkeypatch.setattr(common, "start", start)

    return replace
