"""The identity of a run: all that decides its bits, which a resume must share."""

from typing import Any

from fastrl.config import RunOptions
from fastrl.data.datasets import Dataset
from fastrl.engine.plan import Plan
from fastrl.envs import host
from fastrl.methods import describe
from fastrl.planning import sweep as sweeps
from fastrl.planning.request import Request
from fastrl.runs import digests

ENTRY = ("initialise", "reset_optimizers")
"""Run options that are seen in nothing of a phase but what it takes over; named where they are not the default."""

PATIENCE = (host.BACKEND, "timeout")
"""A backend's option that decides no bits: a simulator that took too long may be given longer."""


def _identity_of(data: Dataset) -> dict[str, Any]:
    order = {"order": list(data.order)} if data.order else {}
    reading = {"reading": list(data.reading)} if data.reading else {}
    return {"rows": data.rows, "sha256": data.sha256, **order, **reading}


def identity(request: Request, plan: Plan) -> dict[str, Any]:
    """All that decides the bits of a run; a resume must have the same."""
    task, data, spec = plan.task, plan.dataset, plan.task.spec
    phases = [
        {
            "name": phase.name,
            "steps": phase.steps,
            "updates": phase.updates,
            "offline_ratio": phase.offline_ratio,
            "online": phase.online,
            "fill": None if phase.fill is None else phase.fill.name,
            "annealed": None if phase.draw is None or phase.draw.annealed is None else list(phase.draw.annealed),
            "behaviour": None if phase.behaviour is None else phase.behaviour.name,
            "algorithm": describe(phase.config),
        }
        for phase in plan.phases
    ]
    return {
        "recipe": request.name,
        **{name: value for name in ENTRY if (value := getattr(request.options, name)) != getattr(RunOptions, name)},
        "env": task.spec.name,
        "env_options": {key: value for key, value in request.env_options.items() if (spec.backend, key) != PATIENCE},
        "dataset": _identity_of(data) if data else None,
        "seeds": plan.seeds // len(plan.points),
        "seed": plan.seed,
        **({"first_seed": plan.first_seed} if plan.first_seed else {}),
        **({"points": [dict(point) for point in sweeps.rows(request.sweep)]} if request.sweep else {}),
        "num_envs": task.num_envs,
        "capacity": plan.capacity,
        "eval_every": plan.eval_every,
        "eval_episodes": plan.eval_episodes,
        "eval_switch": plan.eval_switch,
        "probe_every": plan.probe_every,
        "eval_sampled": plan.eval_sampled,
        "reward_scale": task.reward_scale,
        "reward_bias": task.reward_bias,
        "start": None if plan.start is None else digests.total(plan.start),
        "side_by_side": plan.block is None if plan.block in (None, 1) else plan.block,
        "phases": phases,
    }
