"""Actor-Critic Alignment (Yu and Zhang, ICML 2023): SAC+ML offline, then SAC with the offline policy's density in Q.

Policy and baselines go on, the critics stay behind: the learned part of the new ones is the baseline, for every action.
The ring starts with the best trajectories of the dataset, or empty.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from fastrl.algorithms import transfer
from fastrl.algorithms.aca import from_baselines
from fastrl.algorithms.group import synchronise
from fastrl.engine.phase import Phase
from fastrl.planning.builder import Builder
from fastrl.recipes.wsrl import adopt_all
from fastrl.replay import fills
from fastrl.types import State, UserError

LONG = {"pretrain_steps": 500_000, "steps": 100_000, "eval_every": 1_000, "eval_episodes": 10}
RUN: dict[str, dict[str, Any]] = {
    "locomotion": LONG,
    "antmaze": LONG | {"eval_every": 5_000, "eval_episodes": 100, "reward_scale": 1.0, "reward_bias": -1.0},
}
"""Run options by domain."""

KINDS: dict[str, tuple[float, float, float, int]] = {
    # density_floor, density_steps, density_end, initial_trajectories
    "antmaze": (3.0, 200_000.0, 0.5, 0),
    "random": (7.0, 10_000.0, 0.0, 0),
    "replay": (7.0, 40_000.0, 0.5, 50),
    "expert": (15.0, 100_000.0, 1.0, 50),
    "medium": (7.0, 40_000.0, 0.5, 0),
}
"""By dataset: what is left of the density after how many updates, and what the ring starts with (released files)."""


def aca(builder: Builder) -> list[Phase]:
    """SAC+ML -> SAC whose critics are aligned with the offline policy."""
    online: Any = builder.config("aca", **_defaults(builder))
    shared = ("actor_hidden", "critic_hidden", "layer_norm", "std", "squash", "num_critics", "target_entropy")
    shapes = {name: getattr(online, name) for name in (*shared, "kernel_scale_final", "shared_head", "subset_size")}
    count = online.initial_trajectories
    fill = fills.best(builder.data, count) if count else None
    return [
        builder.offline(builder.config("sacml", **shapes)),
        *builder.online(online, warmup=0, fill=fill, entry=from_offline),
    ]


def from_offline(fresh: State, previous: State | None) -> State:
    """The policy, which is pi0 too, with its optimiser, and critics R(s, a) = Z(s); the temperature starts anew."""
    if previous is None or type(previous) is type(fresh):
        return adopt_all(fresh, previous)
    if not hasattr(previous, "baseline"):
        raise UserError("ACA starts from the baselines of SAC+ML, which this agent has not; pre-train one of sacml")
    state = transfer.adopt(fresh, previous, ("actor",))
    params = from_baselines(fresh.critic.params, previous.baseline.params)
    critic = synchronise(dataclasses.replace(fresh.critic, params=params))
    return dataclasses.replace(state, critic=critic, offline=jax.tree.map(jnp.copy, state.actor.params))


def kind_of(dataset: str, domain: str) -> str:
    """The dataset's kind, by its name; one without a known word is of the kind medium."""
    if domain == "antmaze":
        return domain
    return next((kind for kind in ("random", "replay", "expert") if kind in dataset.lower()), "medium")


def _defaults(builder: Builder) -> dict[str, Any]:
    """The paper's options for this task and dataset; PointMaze fades in the same share of its run as `medium`."""
    domain, data = builder.spec.domain, builder.data
    names = ("density_floor", "density_steps", "density_end", "initial_trajectories")
    found: dict[str, Any] = dict(zip(names, KINDS[kind_of(builder.dataset, domain)], strict=True))
    finished = 0 if data is None else int(np.sum(data.boundary))
    found |= {"num_critics": 2, "initial_trajectories": min(found["initial_trajectories"], finished)}
    if domain == "pointmaze":
        found["density_steps"] = found["density_steps"] / 100_000.0 * (builder.options.steps or 1)
    else:
        found |= {"actor_hidden": (256, 256), "critic_hidden": (256, 256)}
    if domain == "antmaze":
        found |= {"squash": False, "std": "uniform", "target_entropy": -0.5 * builder.spec.action_size}
    return found
