"""Options of PPO."""

import dataclasses
from typing import Literal

from fastrl.config import ActorCritic, option


@dataclasses.dataclass(frozen=True)
class PPO(ActorCritic):
    """Proximal policy optimisation with GAE: a plain Gaussian whose mean is a tanh, and a state value."""

    factory = "fastrl.algorithms.ppo:ppo"
    unused = ("tau", "utd", "kernel_scale", "cosine_steps", "dropout")

    batch_size: int = option(128, "rows of one minibatch")
    rollout: int = option(2048, "environment steps of one iteration, those of all copies together")
    epochs: int = option(10, "passes over an iteration's rows")
    trace: float = option(0.95, "lambda of the generalised advantage estimate")
    clip: float = option(0.2, "the ratio of densities is clipped at 1 +- this")
    entropy_weight: float = option(0.0, "weight of the policy's entropy in its loss")
    layer_norm: bool = option(False, "LayerNorm after every hidden layer of actor and critic")
    std: Literal["exp", "softplus", "scaled", "uniform", "fixed"] = option(
        "uniform",
        "std of the policy: a head (exp, softplus; scaled has a learned scale and shift), state-independent (uniform), "
        "or fixed",
    )
    kernel_scale_final: float | None = option(
        None, "orthogonal gain of the last hidden layer; none is that of the others", static=True
    )
    actor_lr: float = option(3e-4, "Adam learning rate of the actor")
    critic_lr: float = option(3e-4, "Adam learning rate of the critics (and of V)")
    grad_clip: float | None = option(0.5, "global norm at which gradients are clipped")
    linear_steps: int | None = option(None, "environment steps over which the learning rates fall to 0 on a line")
