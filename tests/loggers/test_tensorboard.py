import struct
from pathlib import Path

import pytest
from tensorboardX.proto.event_pb2 import Event

from fastrl.loggers import names
from fastrl.loggers.beside import Loggers
from fastrl.runs.log import MetricsLog


def scalars(folder: Path, tag: str) -> list[tuple[int, float]]:
    """(step, value) of a tag in the event files: records of length, checksum, bytes, checksum."""
    found = []
    for path in sorted(folder.iterdir()):
        data = path.read_bytes()
        while data:
            (length,) = struct.unpack("<Q", data[:8])
            event = Event.FromString(data[12 : 12 + length])
            found += [(event.step, v.simple_value) for v in event.summary.value if v.tag == tag]
            data = data[16 + length :]
    return found


def row(step: int) -> dict:
    values = [0.1 * step, 2.0 * step]
    return {"kind": "train", "phase": "finetune", "step": step, "online": step, "offline": 9, "loss": values}


def write(folder: Path, steps: range, kept: int = 0) -> None:
    """A run of these steps, continued where `kept` rows are there."""
    log = MetricsLog(folder)
    log.truncate(kept)
    loggers = Loggers(folder, names.find("tensorboard"), pytest.fail)
    loggers.start(log.read())
    for step in steps:
        loggers.append(log.append(row(step)))
    log.close()
    loggers.finish(log.read(), complete=True)


def test_the_files_of_a_continued_run_have_each_step_once(tmp_path):
    write(tmp_path / "whole", range(1, 7))
    write(tmp_path / "cut", range(1, 6))
    write(tmp_path / "cut", range(4, 7), kept=3)
    cut_board, whole_board = (tmp_path / name / "tensorboard" for name in ("cut", "whole"))
    means = scalars(cut_board, "finetune/train/loss")
    assert means == scalars(whole_board, "finetune/train/loss")
    assert [step for step, _ in means] == [1, 2, 3, 4, 5, 6]
    assert means[1][1] == pytest.approx(2.1)
    assert scalars(cut_board, "finetune/train/loss/seed_1") == [(n, 2.0 * n) for n in range(1, 7)]
