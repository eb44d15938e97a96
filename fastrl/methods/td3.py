"""Options of TD3 and TD3+BC."""

import dataclasses
from typing import ClassVar

from fastrl.config import ActorCritic, option


@dataclasses.dataclass(frozen=True)
class TD3(ActorCritic):
    """TD3: a deterministic actor, two critics, smoothed targets, a delayed actor."""

    factory = "fastrl.algorithms.td3:td3"
    unused: ClassVar[tuple[str, ...]] = ("std", "fixed_std", "dropout")

    num_critics: int = option(2, "critics in the ensemble")
    layer_norm: bool = option(False, "LayerNorm after every hidden layer of actor and critic")
    kernel_scale_final: float | None = option(
        None, "orthogonal gain of the last hidden layer; none is that of the others", static=True
    )
    actor_lr: float = option(3e-4, "Adam learning rate of the actor")
    target_noise: float = option(0.2, "std of the noise on the target's action")
    noise_limit: float = option(0.5, "that noise is clipped at +- this")
    exploration_noise: float = option(0.1, "std of the noise on actions in the environment")
    policy_delay: int = option(2, "critic updates for one of the actor and of all targets")


@dataclasses.dataclass(frozen=True)
class TD3BC(TD3):
    """TD3+BC: TD3 offline, with a behaviour-cloning term in the actor's loss."""

    factory = "fastrl.algorithms.td3:td3"

    q_weight: float = option(2.5, "weight of Q against behaviour cloning, over the batch's mean of |Q|")
    normalize_observations: bool = option(
        True, "observations are normalised by the dataset's mean and std, which are part of the agent"
    )
