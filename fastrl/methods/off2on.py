"""Options of Off2On."""

import dataclasses
from typing import Literal

from fastrl.config import option
from fastrl.methods.soft import CQL


@dataclasses.dataclass(frozen=True)
class Off2On(CQL):
    """Off2On: independent CQL agents offline; online one SAC policy of them all, on rows drawn by a density ratio."""

    factory = "fastrl.algorithms.off2on:off2on"
    unused = ("actor_q", "bc_weight", "ghost_adam", "dropout")

    stage: Literal["pretrain", "finetune"] = option("pretrain", "which of the method's phases this is")
    members: int = option(5, "agents of the ensemble, each an actor and num_critics critics")
    num_critics: int = option(2, "critics of each agent, the minimum of which is its target")
    layer_norm: bool = option(False, "LayerNorm after every hidden layer of actor and critic")
    actor_lr: float = option(3e-4, "Adam learning rate of the actor")
    temperature_lr: float = option(3e-4, "Adam learning rate of the temperature")
    temperature_form: Literal["softplus", "exp"] = option("exp", "how the learned number maps to the temperature")
    temperature_obs: Literal["next", "current"] = option(
        "current", "entropy is measured on fresh samples at next_obs, or on the actor's own at obs (RLPD)"
    )
    backup: Literal["sample", "max_actions", "max_critics"] = option(
        "sample", "target over one next action, the max over backup_actions, or the max over critics"
    )
    penalized: Literal["subset", "all"] = option(
        "all", "critics with the penalty: a subset drawn anew (released code), or all of them"
    )
    density_hidden: tuple[int, ...] = option((256, 256), "hidden layers of the density ratio")
    density_lr: float = option(3e-4, "Adam learning rate of the density ratio")
    density_temperature: float = option(5.0, "a priority is the density ratio to the power of 1 over this")
    first_steps: int = option(1_000, "environment steps of the warm-up, and of the phase first after it")
    first_updates: int = option(5, "updates for each step of the phase first; later there is one")
