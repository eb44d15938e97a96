"""Options of SAC+ML, and of Actor-Critic Alignment, which goes on from it online."""

import dataclasses
from typing import ClassVar, Literal

from fastrl.config import option
from fastrl.methods.soft import SAC


@dataclasses.dataclass(frozen=True)
class SACML(SAC):
    """SAC+ML: SAC offline with maximum likelihood in the actor's loss, and baselines Z(s) beside the critics."""

    factory = "fastrl.algorithms.sacml:sacml"
    unused: ClassVar[tuple[str, ...]] = (
        *("bc_weight", "temperature_form", "temperature_obs", "ghost_adam", "critics_alone", "critic", "dropout"),
    )

    num_critics: int = option(2, "critics in the ensemble")
    utd: int = option(1, "critic updates per environment step, each on a batch of its own")
    layer_norm: bool = option(False, "LayerNorm after every hidden layer of actor and critic")
    kernel_scale_final: float | None = option(
        None, "orthogonal gain of the last hidden layer; none is that of the others", static=True
    )
    actor_lr: float = option(3e-4, "Adam learning rate of the actor")
    temperature_lr: float = option(3e-4, "Adam learning rate of the temperature")
    temperature_form: Literal["softplus", "exp"] = option("exp", "how the learned number maps to the temperature")
    temperature_obs: Literal["next", "current"] = option(
        "current", "entropy is measured on fresh samples at next_obs, or on the actor's own at obs (RLPD)"
    )
    backup_entropy: bool = option(True, "entropy term in the target")
    squash: bool = option(True, "tanh-Gaussian policy; else a plain Gaussian with a tanh on its mean")
    min_log_std: float | None = option(-5.0, "floor of a state-independent log std", static=True)
    max_log_std: float | None = option(0.0, "cap of a state-independent log std", static=True)
    q_weight: float = option(30.0, "weight of Q against maximum likelihood, over the batch's mean of |Q|")


@dataclasses.dataclass(frozen=True)
class ACA(SACML):
    """Actor-Critic Alignment: SAC whose Q is a learned part plus the offline policy's log density, which fades."""

    factory = "fastrl.algorithms.aca:aca"
    unused = (*("bc_weight", "temperature_form", "temperature_obs", "ghost_adam", "critic", "dropout", "q_weight"),)

    actor_grad_clip: float | None = option(
        0.25, "global norm at which the actor's gradient is clipped; none is as grad_clip"
    )
    density_floor: float = option(7.0, "the log density is floored at that of so many stds from the mean")
    density_end: float = option(0.5, "weight of the log density in Q, at last; it starts at 1")
    density_steps: float = option(40_000.0, "actor updates in which that weight would fall from 1 to 0")
    initial_trajectories: int = option(0, "trajectories of the dataset, the best, that the ring starts with")
