"""The papers' defaults by domain, found by the environment's domain. Plain data, without jax.

WSRL (arXiv 2412.07762), tables of the appendix and the released launch scripts. Where the two disagree, PAPERS.md says
which is followed.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from fastrl.config import ActorCritic, RunOptions
from fastrl.errors import UserError


@dataclasses.dataclass(frozen=True)
class Domain:
    """What the papers set per domain."""

    reward_scale: float = 1.0
    reward_bias: float = 0.0
    failure: float | None = None  # scaled reward of a step without success, where rewards are sparse
    pretrainer: str = "calql"  # WSRL's offline agent
    pretrain_steps: int = 250_000
    mixed_ratio: float = 0.5  # offline rows of a batch where data is retained
    shared: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # options of every algorithm
    algorithms: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)
    rlpd_subset: int = 2
    run: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # run options, where the domain has its own


_SMALL_IQL = {"actor_hidden": (256, 256), "critic_hidden": (256, 256)}

DOMAINS: dict[str, Domain] = {
    "locomotion": Domain(
        pretrainer="cql",
        algorithms={"iql": {"expectile": 0.7, "inverse_temperature": 3.0}},
    ),
    "antmaze": Domain(
        reward_scale=10.0,
        reward_bias=-5.0,
        failure=-5.0,
        pretrain_steps=1_000_000,
        shared={"critic_hidden": (256, 256, 256, 256), "std": "uniform"},
        algorithms={
            "sac": {"backup": "max_actions"},
            "jsrl": {"backup": "max_actions"},
            "so2": {"backup": "max_actions"},
            "awac": {**_SMALL_IQL, "advantage_temperature": 0.1},
            "pex": {**_SMALL_IQL, "expectile": 0.9},
            "cql": {"gap": 0.8},
            "calql": {"gap": 0.8},
            "iql": {**_SMALL_IQL, "expectile": 0.9, "inverse_temperature": 10.0},
            "odt": {"return_scale": 1.0},
        },
        rlpd_subset=1,
    ),
    "adroit": Domain(
        reward_scale=10.0,
        reward_bias=5.0,
        failure=-5.0,
        pretrain_steps=20_000,
        shared={"actor_hidden": (512, 512), "critic_hidden": (512, 512, 512)},
        algorithms={
            "cql": {"alpha": 1.0},
            "calql": {"alpha": 1.0},
            "awac": {"advantage_temperature": 0.1},
            "iql": {**_SMALL_IQL, "dropout": 0.1, "expectile": 0.7, "inverse_temperature": 0.5},
        },
    ),
    "kitchen": Domain(
        reward_bias=-4.0,
        mixed_ratio=0.25,
        shared={
            "actor_hidden": (512, 512, 512),
            "critic_hidden": (512, 512, 512),
            "kernel_scale_final": None,
        },
        algorithms={
            "cql": {"importance_sampling": False},
            "calql": {"importance_sampling": False},
            "iql": {**_SMALL_IQL, "dropout": 0.1, "expectile": 0.7, "inverse_temperature": 0.5},
        },
    ),
    "pointmaze": Domain(  # no paper: AntMaze's reward, small networks, minutes on a CPU
        reward_scale=10.0,
        reward_bias=-5.0,
        failure=-5.0,
        pretrain_steps=3_000,
        shared={
            "actor_hidden": (64, 64),
            "critic_hidden": (64, 64),
            "discount": 0.97,
            "tau": 0.02,
            "batch_size": 128,
            "actor_lr": 1e-3,
            "critic_lr": 1e-3,
            "temperature_lr": 1e-3,
            "alpha_lr": 1e-3,
            "num_critics": 5,
            "cql_actions": 4,
            "backup_actions": 4,
            "roll_in_steps": 2_000,
        },
        algorithms={
            "pex": {"expectile": 0.9, "inverse_temperature": 1.0, "choice_temperature": 1.0},  # of rewards times 10
            "odt": {
                "token_width": 64,
                "layers": 2,
                "heads": 2,
                "context": 10,
                "return_scale": 1.0,
                "warmup_steps": 100,
            },
        },
        run={"steps": 4_000, "warmup": 1_000, "eval_every": 250, "eval_episodes": 50},
    ),
    "default": Domain(),
}


def find(domain: str) -> Domain:
    """The domain's defaults; a domain that no paper has gets the common ones."""
    return DOMAINS.get(domain, DOMAINS["default"])


def configure(
    kind: type[ActorCritic], name: str, domain: Domain, recipe: Mapping[str, Any], overrides: Mapping[str, Any]
) -> ActorCritic:
    """The options of one algorithm: class default < domain < recipe < the user's, each where the field exists."""
    fields = {field.name for field in dataclasses.fields(kind)}
    merged: dict[str, Any] = {}
    for layer in (domain.shared, domain.algorithms.get(name, {}), recipe, overrides):
        merged.update({key: value for key, value in layer.items() if key in fields})
    return kind(**merged)


POSITIVE = (
    *("seeds", "steps", "pretrain_steps", "num_envs", "capacity", "eval_every", "eval_episodes", "chunk"),
    *("reevaluate_steps", "align_steps", "distil_steps", "offline_ratio_steps", "switch_eval_every"),
    *("checkpoint_minutes", "reward_scale", "devices_per_seed", "hang_minutes"),
)
"""Run options that must be above 0 where they are set."""


def check_positive(options: Any, fields: tuple[str, ...]) -> None:
    """Refuses a field that is there, is not None and is not above 0; of a tuple, each of its numbers."""
    for field in fields:
        value = getattr(options, field, None)
        if any(not number > 0 for number in (value if isinstance(value, tuple) else (value,)) if number is not None):
            raise UserError(f"--{field.replace('_', '-')} must be above 0, not {value}")


def resolve(options: RunOptions, domain: Domain, recipe: Mapping[str, Any] | None = None) -> RunOptions:
    """Run options with every `None` that a domain or a recipe decides filled in, and checked."""
    defaults = {"pretrain_steps": domain.pretrain_steps, **PAPER_RUN, **domain.run, **(recipe or {})}
    paper = defaults.pop("eval_every")
    if "warmup" not in (recipe or {}):
        del defaults["warmup"]  # the recipe function's own
    filled = {key: value for key, value in defaults.items() if getattr(options, key) is None}
    options = dataclasses.replace(options, **filled)
    if options.eval_every is None:
        options = dataclasses.replace(options, eval_every=min(paper, max(1, (options.steps or 0) // 10)))
    check_positive(options, POSITIVE)
    if options.first_seed < 0:
        raise UserError(f"--first-seed must be 0 or more, not {options.first_seed}")
    if (options.warmup or 0) < 0:
        raise UserError(f"--warmup must be 0 or more, not {options.warmup}")
    if not 0.0 <= (options.offline_ratio or 0.0) < 1.0:
        raise UserError(f"--offline-ratio must be at least 0 and below 1, not {options.offline_ratio}")
    if not 0.0 <= (options.offline_ratio_end or 0.0) <= 1.0:
        raise UserError(f"--offline-ratio-end must be at least 0 and at most 1, not {options.offline_ratio_end}")
    if options.freeze_actor < 0:
        raise UserError(f"--freeze-actor must be 0 or more, not {options.freeze_actor}")
    if (options.steps or 0) % options.num_envs:
        raise UserError(f"--steps {options.steps} must be a multiple of --num-envs {options.num_envs}")
    return options


def warmup(domain: Domain) -> int:
    """Steps of the frozen policy before the first update (WSRL: K = 5000)."""
    return int({**PAPER_RUN, **domain.run}["warmup"])


PAPER_RUN: dict[str, Any] = {"steps": 500_000, "warmup": 5_000, "eval_every": 20_000, "eval_episodes": 20}
