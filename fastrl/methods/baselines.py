"""Options of AWAC, PEX and SO2, methods that the two papers compare with."""

import dataclasses
from typing import Literal

from fastrl.config import ActorCritic, option
from fastrl.methods.soft import IQL, SAC


@dataclasses.dataclass(frozen=True)
class AWAC(ActorCritic):
    """AWAC: SAC's critics without entropy, and a policy that imitates rows by their advantage."""

    factory = "fastrl.algorithms.awac:awac"
    unused = ("dropout",)

    num_critics: int = option(2, "critics in the ensemble")
    layer_norm: bool = option(False, "LayerNorm after every hidden layer of actor and critic")
    actor_lr: float = option(3e-4, "Adam learning rate of the actor")
    std: Literal["exp", "softplus", "uniform", "fixed"] = option(
        "uniform", "std of the policy: a head (exp, softplus), state-independent (uniform), or fixed"
    )
    weighting: Literal["clip", "softmax"] = option(
        "clip", "weights of the rows: exp(A / lambda) up to max_weight, or a softmax of it over the batch"
    )
    advantage_temperature: float = option(1.0, "lambda, the temperature of the advantage weights")
    max_weight: float = option(100.0, "advantage weights are clipped at this")
    squash: bool = option(False, "tanh-Gaussian policy; WSRL from AWAC needs it, AWAC's own is a plain Gaussian")
    tanh_mean: bool = option(False, "the tanh of a plain Gaussian's mean (jaxrl)")


@dataclasses.dataclass(frozen=True)
class PEX(IQL):
    """Policy expansion: a frozen offline policy and a new one, of which Q chooses; IQL's losses."""

    factory = "fastrl.algorithms.pex:pex"
    unused = ("squash", "dropout")

    tanh_mean: bool = option(True, "the tanh of a plain Gaussian's mean")
    min_log_std: float | None = option(-5.0, "floor of a state-independent log std", static=True)
    inverse_temperature: float = option(10.0, "inverse temperature of the advantage weights")
    choice_temperature: float = option(10.0, "inverse temperature of the choice between the two policies")
    greedy_epsilon: float = option(0.1, "probability of a sampled choice where the policy is evaluated", static=True)


@dataclasses.dataclass(frozen=True)
class SO2(SAC):
    """SO2: high-UTD SAC whose target's action is perturbed (arXiv 2312.07685)."""

    target_noise: float = option(0.3, "std of the noise on the target's action")
    noise_limit: float = option(0.6, "that noise is clipped at +- this")
