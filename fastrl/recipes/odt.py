"""ODT's offline part (arXiv 2202.05607): a sequence model of the dataset, from which other recipes can start."""

from typing import Any

from fastrl.engine.phase import Phase
from fastrl.planning.builder import Builder

LONG = {"pretrain_steps": 5_000, "eval_every": 1_000, "eval_episodes": 10}
RUN: dict[str, dict[str, Any]] = {
    "locomotion": LONG,
    "antmaze": LONG | {"eval_episodes": 100},
    "pointmaze": {"pretrain_steps": 1_000, "eval_every": 250},
}
"""Run options by domain."""


def odt(builder: Builder) -> list[Phase]:
    """The model, evaluated with its memory; no online phase."""
    return [builder.offline(builder.config("odt"))]
