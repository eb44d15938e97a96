"""Options of PROTO: XQL before it, and its two online forms, on SAC and on TD3."""

import dataclasses
from typing import Literal

from fastrl.config import option
from fastrl.methods.soft import IQL, SAC
from fastrl.methods.td3 import TD3


@dataclasses.dataclass(frozen=True)
class XQL(IQL):
    """Extreme Q-learning: IQL whose V is a soft maximum of Q, by a Gumbel regression."""

    factory = "fastrl.algorithms.xql:xql"
    unused = ("expectile",)

    layer_norm: bool = option(True, "LayerNorm after every hidden layer of actor and critic")
    actor_layer_norm: bool | None = option(False, "LayerNorm in the actor; none is as in the critics")
    tanh_mean: bool = option(True, "the tanh of a plain Gaussian's mean")
    min_log_std: float | None = option(-5.0, "floor of a state-independent log std", static=True)
    inverse_temperature: float = option(0.5, "inverse temperature of the advantage weights")
    value_temperature: float = option(2.0, "temperature of V's soft maximum, on the scale of the rewards")
    value_limit: float = option(7.0, "the exponent of V's regression is clipped at this")


@dataclasses.dataclass(frozen=True)
class Regularised:
    """The divergence from the last policies, which fades (PROTO)."""

    regularization_weight: float = option(2.0, "weight of the divergence from the last policies, at first")
    regularization_steps: float = option(1e6 / 0.9, "environment steps over which that weight falls to 0 on a line")
    regularization_tau: float = option(0.005, "step of the last policies' average towards the policy")
    backup_regularization: bool = option(True, "the divergence, and SAC's entropy, in the target")


@dataclasses.dataclass(frozen=True)
class PROTO(Regularised, SAC):
    """PROTO on SAC: a pull to the average of the last policies, from an offline policy on."""

    factory = "fastrl.algorithms.proto:proto"
    unused = (
        *("backup", "backup_actions", "backup_entropy", "bc_weight", "temperature_form", "temperature_obs"),
        *("ghost_adam", "dropout"),
    )

    num_critics: int = option(2, "critics in the ensemble")
    utd: int = option(1, "critic updates per environment step, each on a batch of its own")
    actor_layer_norm: bool | None = option(False, "LayerNorm in the actor; none is as in the critics")
    std: Literal["exp", "softplus", "uniform", "fixed"] = option(
        "uniform", "std of the policy: a head (exp, softplus), state-independent (uniform), or fixed"
    )
    min_log_std: float | None = option(-5.0, "floor of a state-independent log std", static=True)
    actor_lr: float = option(3e-4, "Adam learning rate of the actor")
    temperature_lr: float = option(3e-4, "Adam learning rate of the temperature")
    initial_temperature: float = option(0.01, "temperature at the start")
    target_entropy: float | None = option(None, "entropy target; none is minus half of the action size")
    actor_q: Literal["min", "mean"] = option("mean", "the actor climbs the minimum or the mean over all critics")
    initial_rows: int = option(10_000, "rows of the dataset, drawn at random, that the ring starts with")


@dataclasses.dataclass(frozen=True)
class PROTOTD3(Regularised, TD3):
    """PROTO on TD3: the same Gaussian policy at its mode, pulled by the squared distance."""

    factory = "fastrl.algorithms.prototd3:prototd3"
    unused = ("fixed_std", "dropout")

    subset_size: int = option(2, "critics drawn for the target's minimum")
    layer_norm: bool = option(True, "LayerNorm after every hidden layer of actor and critic")
    actor_layer_norm: bool | None = option(False, "LayerNorm in the actor; none is as in the critics")
    std: Literal["exp", "softplus", "uniform", "fixed"] = option(
        "uniform", "std of the policy: a head (exp, softplus), state-independent (uniform), or fixed"
    )
    exploration_noise: float = option(0.2, "std of the noise on actions in the environment")
    q_weight: float = option(2.5, "weight of Q against the divergence, over the batch's mean of |Q|")
    initial_rows: int = option(25_000, "rows of the dataset, drawn at random, that the ring starts with")
