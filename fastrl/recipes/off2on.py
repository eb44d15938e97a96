"""Off2On (arXiv 2107.00591): an ensemble of CQL agents, then SAC of them all on the rows of both kinds, by priority.

Actors and critics go on; optimisers, temperature and targets start anew, and so does the density ratio. The first steps
that learn make several updates each.
"""

import dataclasses
from typing import Any

from fastrl.algorithms import group, transfer
from fastrl.engine.phase import Phase
from fastrl.planning.builder import Builder
from fastrl.replay.balanced import balanced
from fastrl.types import State, UserError

SHARE = 0.5  # of offline rows by priority among the first rows (1 - f)

LONG = {"pretrain_steps": 1_000_000, "steps": 250_000, "eval_every": 5_000, "eval_episodes": 10}
RUN: dict[str, dict[str, Any]] = {"locomotion": LONG, "antmaze": LONG | {"eval_episodes": 100}, "adroit": LONG}
"""Run options by domain."""

SMALL = {"members": 3, "num_critics": 2, "density_hidden": (64, 64), "density_lr": 1e-3, "first_steps": 200}
SMALL |= {"layer_norm": True, "alpha": 1.0}
"""PointMaze, in minutes on a CPU."""


def off2on(builder: Builder) -> list[Phase]:
    """N CQL agents -> a first stretch of rows -> several updates a step -> one."""
    options = builder.options
    if options.offline_ratio_end is not None:
        raise UserError("--offline-ratio-end: the share of offline rows follows from their priorities; leave it out")
    if options.warmup_by == "dataset":
        raise UserError("--warmup-by dataset: the dataset's rows are drawn by priority already; leave it out")
    small = SMALL if builder.spec.domain == "pointmaze" else {}
    penalty = builder.domain.algorithms.get("cql", {})
    offline = builder.config("off2on", stage="pretrain", actor_lr=builder.config("cql").actor_lr, **penalty, **small)
    config: Any = builder.config("off2on", stage="finetune", **small)
    share = SHARE if options.offline_ratio is None else options.offline_ratio
    warmup = config.first_steps if options.warmup is None else options.warmup
    rows = balanced(1.0 - share, builder.first_update(config, warmup, 0.0, filled=False))
    online = builder.online(config, warmup=warmup, rows=rows, entry=from_agents)
    return [builder.offline(offline), *online[:-1], *split(builder, online[-1], config)]


def split(builder: Builder, learn: Phase, config: Any) -> list[Phase]:
    """The online phase with its first steps as a phase of their own, of more updates a step."""
    copies = builder.options.num_envs
    steps = -(-config.first_steps // copies) * copies
    if steps >= learn.steps:
        raise UserError(
            f"--steps leaves {learn.steps} steps that learn, and the first {steps} of them make more updates: raise "
            "--steps, or lower --first-steps"
        )
    own = builder.of_phase(config, "first")
    first = dataclasses.replace(
        learn, name="first", config=own, steps=steps, updates=learn.updates * config.first_updates
    )
    return [first, dataclasses.replace(learn, steps=learn.steps - steps)]


def from_agents(fresh: State, previous: State | None) -> State:
    """Actors and critics of the offline agents, with targets that are copies and optimisers that start anew."""
    if previous is None:
        return fresh
    if type(previous) is not type(fresh):
        raise UserError("Off2On goes on with an ensemble of agents, which this agent is not; pre-train one of off2on")
    state = transfer.adopt(fresh, previous, ("actor", "critic"), reset_optimizer=True)
    return dataclasses.replace(state, critic=group.synchronise(state.critic))
