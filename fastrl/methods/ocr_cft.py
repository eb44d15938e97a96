"""Options of O2SAC, O2TD3 and O2PPO (OCR-CFT)."""

import dataclasses
from typing import Literal

from fastrl.config import option
from fastrl.methods.ppo import PPO
from fastrl.methods.soft import SAC
from fastrl.methods.td3 import TD3


@dataclasses.dataclass(frozen=True)
class Referenced:
    """What the three methods of OCR-CFT have beside their base: a reference policy, and stages."""

    stage: Literal["reevaluate", "align", "finetune"] = option("finetune", "which of the method's phases this is")
    reference: Literal["best", "interval", "polyak", "fixed"] = option(
        "best",
        "the reference policy: the best so far by evaluation, the current one every reference_interval evaluations, "
        "its Polyak average, or the one at the start",
    )
    constrain: bool = option(True, "OCR-CFT: fine-tune with the constraint, or the pull, to the reference policy")
    reference_interval: int = option(1, "evaluations from one reference to the next where it is interval")
    reference_tau: float = option(
        0.005, "step of the reference towards the policy, after each update, where it is polyak"
    )


@dataclasses.dataclass(frozen=True)
class Constrained(Referenced):
    """The constraint to the reference policy, with a learned multiplier (O2SAC, O2TD3)."""

    initial_multiplier: float = option(1.0, "multiplier of the constraint at the start")
    multiplier_lr: float = option(5e-5, "Adam learning rate of the multiplier's logarithm")
    constraint_start: float = option(0.125, "limit of the divergence to the reference at the start")
    constraint_end: float = option(2.0, "limit of the divergence after constraint_steps environment steps")
    alignment: Literal["aligned", "fixed", "followed"] = option(
        "aligned",
        "the critic while the policy is aligned: aligned with it, or what the paper compares that with, fixed as it "
        "was re-evaluated or following the policy by TD",
    )
    constraint_steps: float = option(100_000.0, "environment steps from the first limit to the last")


@dataclasses.dataclass(frozen=True)
class O2SAC(Constrained, SAC):
    """O2SAC: SAC from a policy whose critic is fitted anew, aligned with it, and fine-tuned under a constraint."""

    factory = "fastrl.algorithms.o2sac:o2sac"
    unused = (
        *("backup", "backup_actions", "backup_entropy", "subset_size", "subset_replacement", "actor_q", "bc_weight"),
        *("temperature_form", "temperature_obs", "ghost_adam", "critics_alone", "dropout"),
    )

    utd: int = option(10, "SAC updates per environment step, each on a minibatch of its own")
    actor_hidden: tuple[int, ...] = option((256, 256, 256), "hidden layers of the actor")
    critic_hidden: tuple[int, ...] = option((256, 256, 256), "hidden layers of each critic")
    actor_layer_norm: bool | None = option(False, "LayerNorm in the actor; none is as in the critics")
    std: Literal["exp", "softplus", "scaled", "uniform", "fixed"] = option(
        "scaled",
        "std of the policy: a head (exp, softplus; scaled has a learned scale and shift), state-independent (uniform), "
        "or fixed",
    )
    kernel_scale: float = option(1.0, "orthogonal gain of the critics' hidden layers", static=True)
    kernel_scale_final: float | None = option(
        None, "orthogonal gain of the last hidden layer; none is that of the others", static=True
    )
    num_critics: int = option(2, "critics in the ensemble")
    temperature_lr: float = option(3e-4, "Adam learning rate of the temperature")
    initial_temperature: float = option(0.2, "temperature at the start, and until fine-tuning")
    temperature_form: Literal["softplus", "exp"] = option("exp", "how the learned number maps to the temperature")
    temperature_obs: Literal["next", "current"] = option(
        "current", "entropy is measured on fresh samples at next_obs, or on the actor's own at obs (RLPD)"
    )
    backup_entropy: bool = option(True, "entropy term in the target")


@dataclasses.dataclass(frozen=True)
class O2TD3(Constrained, TD3):
    """O2TD3: TD3 from a policy whose critic is fitted anew, aligned with it, and fine-tuned under a constraint."""

    factory = "fastrl.algorithms.o2td3:o2td3"

    layer_norm: bool = option(True, "LayerNorm after every hidden layer of actor and critic")
    actor_layer_norm: bool | None = option(False, "LayerNorm in the actor; none is as in the critics")
    kernel_scale: float = option(1.0, "orthogonal gain of the critics' hidden layers", static=True)
    actor_lr: float = option(1e-4, "Adam learning rate of the actor")
    distance_weight: float = option(1.0, "k of the alignment's target: Q falls off by 1 + k * distance^2")
    distance_limit: float = option(0.2, "the distance in the alignment's target is clipped at this")
    constraint_start: float = option(0.0025, "limit of the divergence to the reference at the start")
    constraint_end: float = option(0.04, "limit of the divergence after constraint_steps environment steps")
    penalty: Literal["mean", "each"] = option(
        "mean", "the distance in the target: its mean over the batch, as the released code, or each row's own"
    )


@dataclasses.dataclass(frozen=True)
class O2PPO(Referenced, PPO):
    """O2PPO: PPO from a policy whose value is fitted to returns, pulled to the reference by an auxiliary advantage."""

    factory = "fastrl.algorithms.o2ppo:o2ppo"

    needs_returns = True

    critic_hidden: tuple[int, ...] = option((256, 256, 256), "hidden layers of each critic")
    actor_lr: float = option(3e-5, "Adam learning rate of the actor")
    critic_lr: float = option(2e-4, "Adam learning rate of the critics (and of V)")
    value_lr: float = option(1e-4, "Adam learning rate of V while it is fitted to returns")
    entropy_weight: float = option(0.01, "weight of the policy's entropy in its loss")
    linear_steps: int | None = option(250_000, "environment steps over which the learning rates fall to 0 on a line")
    auxiliary: Literal["per-sample", "outer", "none"] = option(
        "per-sample",
        "the pull to the reference: each row's own, the released code's N x N matrix, or none (plain PPO)",
    )
    return_scale: float = option(1.0, "rewards and returns are divided by this before V and the advantages see them")
    auxiliary_weight: float = option(2.0, "alpha of the auxiliary advantage")
    auxiliary_steps: float = option(250_000.0, "environment steps over which it fades to 0")
    max_log_std: float | None = option(None, "cap of the policy's log std", static=True)
