"""Options of SAC, CQL and Cal-QL, IQL and behaviour cloning, with WSRL's common values."""

import dataclasses
from typing import Literal

from fastrl.config import ActorCritic, option


@dataclasses.dataclass(frozen=True)
class SAC(ActorCritic):
    """Soft actor-critic with a REDQ ensemble at high UTD (WSRL, Algorithm 1; REDQ; RLPD)."""

    factory = "fastrl.algorithms.sac:sac"

    num_critics: int = option(10, "critics in the ensemble")
    subset_size: int = option(2, "critics drawn for the target's minimum")
    subset_replacement: bool = option(False, "draw that subset with replacement, as the released code")
    shared_head: bool = option(False, "one output layer for all critics, as the released code")
    utd: int = option(4, "critic updates per environment step, each on a batch of its own")
    temperature_lr: float = option(1e-4, "Adam learning rate of the temperature")
    initial_temperature: float = option(1.0, "temperature at the start")
    target_entropy: float | None = option(None, "entropy target; none is minus the action size")
    temperature_form: Literal["softplus", "exp"] = option("softplus", "how the learned number maps to the temperature")
    temperature_obs: Literal["next", "current"] = option(
        "next", "entropy is measured on fresh samples at next_obs, or on the actor's own at obs (RLPD)"
    )
    backup: Literal["sample", "max_actions", "max_critics"] = option(
        "sample", "target over one next action, the max over backup_actions, or the max over critics"
    )
    backup_actions: int = option(10, "next actions of backup=max_actions")
    backup_entropy: bool = option(False, "entropy term in the target")
    actor_q: Literal["min", "mean"] = option("min", "the actor climbs the minimum or the mean over all critics")
    bc_weight: float = option(0.0, "weight of a behaviour-cloning term in the actor's loss", static=True)
    ghost_adam: bool = option(False, "Adam also steps, on zero gradients, while its network rests (released code)")
    critics_alone: bool = option(False, "the critics learn and the actor rests (WSRL, figure 23)")


@dataclasses.dataclass(frozen=True)
class JSRL(SAC):
    """SAC whose episodes begin with a frozen policy, less and less often (JSRL)."""

    roll_in: float = option(0.5, "probability that an episode begins with the frozen policy, at first", static=True)
    roll_in_steps: int = option(100_000, "environment steps over which that probability falls to 0 on a line")
    roll_in_stay: float = option(0.99, "probability that the frozen policy goes on after a step of it", static=True)


@dataclasses.dataclass(frozen=True)
class CQL(SAC):
    """Conservative Q-learning, CQL(H) with importance sampling, fixed weight or Lagrange."""

    factory = "fastrl.algorithms.cql:cql"

    utd: int = option(1, "critic updates per environment step, each on a batch of its own")
    backup: Literal["sample", "max_actions", "max_critics"] = option(
        "max_actions", "target over one next action, the max over backup_actions, or the max over critics"
    )
    alpha: float = option(5.0, "weight of the conservative penalty (where there is no gap)")
    gap: float | None = option(None, "target of the penalty; set, the weight is learned (Lagrange), starting at 1")
    alpha_lr: float = option(3e-4, "Adam learning rate of the Lagrange weight")
    cql_actions: int = option(10, "candidate actions of each of the three kinds")
    cql_temperature: float = option(1.0, "temperature of the penalty's logsumexp")
    importance_sampling: bool = option(True, "subtract the candidates' log densities")
    clip_gap: float | None = option(None, "penalty per row is clipped to +- this")
    penalized: Literal["subset", "all"] = option(
        "subset", "critics with the penalty: a subset drawn anew (released code), or all of them"
    )


@dataclasses.dataclass(frozen=True)
class CalQL(CQL):
    """Cal-QL: CQL whose policy candidates are bounded below by the Monte-Carlo return."""

    needs_returns = True

    bound_random_actions: bool = option(False, "bound the uniform candidates too")


@dataclasses.dataclass(frozen=True)
class IQL(ActorCritic):
    """Implicit Q-learning with advantage-weighted regression."""

    factory = "fastrl.algorithms.iql:iql"

    num_critics: int = option(2, "critics in the ensemble")
    subset_size: int = option(2, "critics drawn for the minimum that V regresses on")
    actor_lr: float = option(3e-4, "Adam learning rate of the actor")
    layer_norm: bool = option(False, "LayerNorm after every hidden layer of actor and critic")
    std: Literal["exp", "softplus", "uniform", "fixed"] = option(
        "uniform", "std of the policy: a head (exp, softplus), state-independent (uniform), or fixed"
    )
    expectile: float = option(0.7, "expectile of V")
    inverse_temperature: float = option(3.0, "inverse temperature of the advantage weights")
    max_weight: float = option(100.0, "advantage weights are clipped at this")
    squash: bool = option(False, "tanh-Gaussian policy; WSRL from IQL needs it, IQL's own is a plain Gaussian")
    tanh_mean: bool = option(False, "the tanh of a plain Gaussian's mean (OCR-CFT)")


@dataclasses.dataclass(frozen=True)
class BC(ActorCritic):
    """Behaviour cloning: maximum likelihood of the data's actions."""

    factory = "fastrl.algorithms.bc:bc"

    warmup_steps: int = option(1000, "steps of the learning rate's linear warm-up")
    cosine_steps: int | None = option(1_000_000, "steps of a cosine decay of the learning rates to 0")
